"""A directory as artifact root."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

__all__ = ["DirectoryRoot"]

# Beside `workspaces/`, so on the same file system, and in no listing of any run.
_STAGING: Final = ".partial"
_STALE_AFTER_S: Final = 24 * 3600
_CHUNK_BYTES: Final = 1 << 20


class DirectoryRoot:
    """Files below one directory, addressed by path segments. Safe in threads and processes.

    A file appears under its name only when all of it is on disk (temporary name, fsync, rename), so
    a reader never sees half of one, and overwriting is atomic. Symbolic links that leave `bounds`
    are refused.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, segments: Sequence[str], bounds: Sequence[str]) -> Path:
        """The real path of `segments`, which may not exist.

        Args:
            segments: Plain names, below the root.
            bounds: The leading segments that a symbolic link must not leave.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE where a symbolic link leaves `bounds`.
        """
        path = self._root.joinpath(*segments)
        if not path.resolve().is_relative_to(self._root.joinpath(*bounds).resolve()):
            raise MlflowException.invalid_parameter_value(
                f"Invalid path: {'/'.join(segments)} leaves the artifacts of its workspace."
            )
        return path

    def put(self, source: Path, target: Path) -> None:
        """Copy one file to `target`, atomically and durably. Blocks until it is on disk.

        Raises:
            OSError: Of `source` or the disk; then `target` is as it was.
        """
        # Somebody may remove it between two looks, so there is one.
        with suppress(FileNotFoundError):
            if source.samefile(target):
                return
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as content, self._staged(target) as (partial, file):
            shutil.copyfileobj(content, file, _CHUNK_BYTES)
            shutil.copystat(source, partial)

    def delete(self, target: Path) -> None:
        """Remove a file or a directory with all it holds; nothing to remove is no error."""
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            # Nothing is below a file either.
            with suppress(FileNotFoundError, NotADirectoryError):
                target.unlink()

    def probe(self) -> str:
        """Write, sync and remove a small file; says where. Raises `OSError` where that fails."""
        target = self._root / _STAGING / f"probe-{uuid.uuid4().hex}"
        with self._staged(target) as (_, file):
            file.write(b"x" * 4096)
        target.unlink()
        return f"a file was written to {target.parent} and removed"

    @contextmanager
    def _staged(self, target: Path) -> Iterator[tuple[Path, BinaryIO]]:
        staging = self._root / _STAGING
        if not staging.exists():
            staging.mkdir(parents=True, exist_ok=True)
        _remove_stale(staging)
        partial = staging / uuid.uuid4().hex
        try:
            with partial.open("xb") as file:
                yield partial, file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
            _sync_directory(target.parent)
        finally:
            partial.unlink(missing_ok=True)


def missing(path: str) -> MlflowException:
    """MLflow's error for an artifact that is not there."""
    return MlflowException(f"No such artifact: '{path}'", error_code=RESOURCE_DOES_NOT_EXIST)


def _remove_stale(staging: Path) -> None:
    """What a killed process left behind; a day is longer than any upload."""
    limit = time.time() - _STALE_AFTER_S
    for partial in staging.iterdir():
        # Others clean up too.
        with suppress(FileNotFoundError):
            if partial.stat().st_mtime >= limit:
                continue
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink()


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable, where directories can be opened."""
    if os.name == "nt":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
