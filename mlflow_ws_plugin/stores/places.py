"""Where the artifacts of a workspace may live: what is refused when a location is given by hand.

The default locations are logical, `mlflow-artifacts:/workspaces/NAME/...`. A given one could reach
into another workspace, so those inside a home and those with `..` are refused.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from mlflow_ws_plugin.location import Location

__all__ = ["check_experiment_location", "check_source", "logical_segments"]


def logical_segments(uri: str) -> list[str] | None:
    """The decoded path segments of a `mlflow-artifacts:` URI; None where they are not plain.

    Not plain are `..`, an encoded slash, a backslash, control characters, and a server's name:
    whatever could mean another file to another program.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.netloc or parts.query or parts.fragment:
        return None
    segments = [unquote(part) for part in parts.path.split("/") if part not in {"", "."}]
    unsafe = any(
        part == ".."
        or "/" in part
        or "\\" in part
        # A drive or a stream, on Windows.
        or (os.name == "nt" and ":" in part)
        or any(ord(char) < 0x20 for char in part)
        # A second decoding by another program must not change the meaning.
        or unquote(part) in {".", ".."}
        or "%2f" in part.lower()
        or "%5c" in part.lower()
        for part in segments
    )
    return None if unsafe else segments


def check_experiment_location(uri: str, workspace: Location) -> None:
    """Refuse an experiment's artifact location that could reach another workspace's files.

    Raises:
        MlflowException: INVALID_PARAMETER_VALUE.
    """
    _check("artifact_location", uri, workspace, own=None)


def check_source(uri: str, workspace: Location) -> None:
    """Refuse a model version's source by the same rule; the workspace's own files may be one.

    Raises:
        MlflowException: INVALID_PARAMETER_VALUE.
    """
    _check("source", uri, workspace, own=workspace.artifact_directory)


def _check(what: str, uri: str, workspace: Location, own: Path | None) -> None:
    try:
        scheme = urlsplit(uri).scheme
    except ValueError:
        raise _refused(what, uri, "it is no URI") from None
    if scheme == "mlflow-artifacts":
        _check_logical(what, uri, workspace.workspace)
    elif scheme in {"", "file"} or (os.name == "nt" and len(scheme) == 1):
        _check_directory(what, uri, workspace, own)
    elif ".." in unquote(urlsplit(uri).path).split("/"):
        raise _refused(what, uri, "it contains '..'")


def _check_logical(what: str, uri: str, workspace: str) -> None:
    segments = logical_segments(uri)
    if segments is None or segments[:2] != ["workspaces", workspace] or len(segments) < 3:
        raise _refused(
            what, uri, f"only mlflow-artifacts:/workspaces/{workspace}/... is of this workspace"
        )


def _check_directory(what: str, uri: str, workspace: Location, own: Path | None) -> None:
    # MLflow decodes both forms, a plain path too.
    path = Path(url2pathname(urlsplit(uri).path if uri.startswith("file:") else uri))
    if ".." in path.parts:
        raise _refused(what, uri, "it contains '..'")
    given, resolved = path.absolute(), path.resolve()
    if own is not None and resolved.is_relative_to(own.resolve()):
        return
    for directory in (resolved, *resolved.parents, given, *given.parents):
        if directory == workspace.artifact_root or _is_root_of_home(directory):
            raise _refused(
                what, uri, f"it is inside the home {directory.parent}, which manages it itself"
            )


def _is_root_of_home(directory: Path) -> bool:
    return directory.name == "artifacts" and (directory.parent / "workspaces.db").exists()


def _refused(what: str, value: str, reason: str) -> MlflowException:
    return MlflowException(f"{what} {value!r} is refused: {reason}.", INVALID_PARAMETER_VALUE)
