"""MLflow's artifact repository for `mlflow-artifacts:` under a workspace URI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository, verify_artifact_path

from mlflow_ws_plugin.artifacts.access import own_segments
from mlflow_ws_plugin.artifacts.directory import DirectoryRoot, missing
from mlflow_ws_plugin.stores.backend import WorkspaceBackend

__all__ = ["WorkspaceArtifactRepository"]


class WorkspaceArtifactRepository(ArtifactRepository):
    """The artifacts of one run, model or trace, in the directory root of an embedded workspace.

    The files are where a stock `mlflow server --artifacts-destination ROOT` looks for them. Writes
    are atomic and durable, and block until they are. Thread-safe.

    Raises:
        MlflowException: RESOURCE_DOES_NOT_EXIST where the URI is not of this workspace.
        WorkspaceConflict: `MLFLOW_WORKSPACE` or `mlflow.set_workspace` names another workspace.
    """

    def __init__(
        self,
        artifact_uri: str,
        backend: WorkspaceBackend,
        tracking_uri: str | None = None,
        registry_uri: str | None = None,
    ) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._backend = backend
        self._segments, self._bounds = own_segments(artifact_uri, backend)
        self._root = DirectoryRoot(backend.location.artifact_root)

    def log_artifact(self, local_file: str | Path, artifact_path: str | None = None) -> None:
        """Store one file; an existing one of that name is replaced atomically."""
        source = Path(local_file)
        self._backend.refuse_read_only()
        with self._backend.kept():
            self._root.put(source, self._writable(artifact_path) / source.name)

    def log_artifacts(self, local_dir: str | Path, artifact_path: str | None = None) -> None:
        """Store a directory tree: each file atomically, the tree not; empty directories too.

        What is not a directory stores nothing, as with MLflow's local store.
        """
        self._backend.refuse_read_only()
        with self._backend.kept():
            self._put_tree(Path(local_dir), self._writable(artifact_path))

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """The entries of one directory, by name; none for a file or what is not there."""
        directory = self._path(path)
        if not directory.is_dir():
            return []
        base = self._path(None)
        return [
            FileInfo(
                entry.relative_to(base).as_posix(),
                entry.is_dir(),
                None if entry.is_dir() else entry.stat().st_size,
            )
            for entry in sorted(directory.iterdir())
        ]

    def download_artifacts(self, artifact_path: str | None, dst_path: str | None = None) -> str:
        """Copy to `dst_path`; without one, the path in the home itself, as MLflow's local store."""
        if dst_path is None:
            return self.get_local_path(artifact_path or "")
        path: str = super().download_artifacts(artifact_path, dst_path)
        return path

    def get_local_path(self, artifact_path: str) -> str:
        """The path in the home. The caller must not change what is there."""
        path = self._path(artifact_path)
        if not path.exists():
            raise missing(artifact_path)
        return str(path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Remove a file or a tree; all artifacts of this repository without a path."""
        self._backend.refuse_read_only()
        self._root.delete(self._path(artifact_path))

    def for_workspace(self, workspace: str) -> WorkspaceArtifactRepository:
        """This repository: MLflow asks where a request names a workspace, which is checked."""
        return self

    def _is_directory(self, artifact_path: str | None) -> bool:
        # MLflow's own asks for a listing, which an empty directory does not have.
        return self._path(artifact_path).is_dir()

    def _download_file(self, remote_file_path: str, local_path: Any) -> None:
        source = self._path(remote_file_path)
        if not source.is_file():
            raise missing(remote_file_path)
        shutil.copy2(source, local_path)

    def _writable(self, artifact_path: str | None) -> Path:
        verify_artifact_path(artifact_path)
        return self._path(artifact_path)

    def _put_tree(self, source: Path, target: Path) -> None:
        for directory, _, files in os.walk(source, followlinks=True):
            into = target / Path(directory).relative_to(source)
            into.mkdir(parents=True, exist_ok=True)
            for name in files:
                self._root.put(Path(directory) / name, into / name)

    def _path(self, artifact_path: str | None) -> Path:
        # Here, because MLflow's client keeps repositories of runs for ever.
        self._backend.refuse_contradiction()
        self._backend.refuse_deleted()
        parts = [part for part in str(artifact_path or "").split("/") if part not in {"", "."}]
        if ".." in parts or str(artifact_path or "").startswith("/") or "\0" in "".join(parts):
            raise MlflowException.invalid_parameter_value(f"Invalid path: {artifact_path}")
        return self._root.path([*self._segments, *parts], self._bounds)
