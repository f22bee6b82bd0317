"""What can be wrong with a workspace URI, looked at in order. Changes nothing."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points, version

from mlflow.exceptions import MlflowException

from mlflow_ws_plugin import _mlflow
from mlflow_ws_plugin.artifacts.directory import DirectoryRoot
from mlflow_ws_plugin.location import Location
from mlflow_ws_plugin.stores import settings
from mlflow_ws_plugin.stores.backend import WorkspaceBackend, open_backend
from mlflow_ws_plugin.stores.filesystem import is_network_path, is_private, is_writable
from mlflow_ws_plugin.uri import SCHEMES

__all__ = ["Finding", "diagnose"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: A word or two.
        ok: Whether it is as it should be.
        detail: What was seen; where it is not ok, what to do.
    """

    what: str
    ok: bool
    detail: str


class _Rollback(Exception):
    """Undoes the write test."""


def diagnose(location: Location, *, write: bool) -> Iterator[Finding]:
    """Look at one workspace; stops where the rest could not be looked at.

    Args:
        location: The resolved URI.
        write: Try a database write, which is rolled back, and an artifact, which is removed.
    """
    backend = open_backend(location)
    yield Finding("workspace", ok=True, detail=f"{location.workspace} ({location.uri})")
    yield Finding("versions", ok=True, detail=_versions())
    yield _attempt("MLflow's plugins", _registered)
    yield _attempt("workspace switch", lambda: _not_contradicted(backend))
    yield _attempt("directory", lambda: _directory(location))
    database = _attempt("database", lambda: _database(backend))
    yield database
    if not database.ok:
        return
    yield _attempt("file system", lambda: _file_system(location))
    yield _attempt("contents", lambda: _contents(backend))
    if write:
        yield _attempt("database write", lambda: _write_row(backend))
        yield _attempt("artifact write", lambda: _write_file(location))


def _attempt(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, ok=True, detail=look())
    except (MlflowException, OSError) as error:
        return Finding(what, ok=False, detail=str(getattr(error, "message", error)))


def _versions() -> str:
    return (
        f"mlflow-ws-plugin {version('mlflow-ws-plugin')}, MLflow {_mlflow.version}, "
        f"Python {platform.python_version()}"
    )


def _registered() -> str:
    groups = ("tracking_store", "model_registry_store", "workspace_provider")
    for group in groups:
        missing = set(SCHEMES) - {point.name for point in entry_points(group=f"mlflow.{group}")}
        if missing:
            raise OSError(
                f"MLflow does not see {', '.join(sorted(missing))} in mlflow.{group}. Run: pip "
                "install --force-reinstall mlflow-ws-plugin"
            )
    return "registered"


def _not_contradicted(backend: WorkspaceBackend) -> str:
    backend.refuse_contradiction()
    return "MLFLOW_WORKSPACE does not contradict the URI"


def _directory(location: Location) -> str:
    directory = location.directory
    if not directory.exists():
        return f"{directory} does not exist yet; the first write makes it"
    if not is_writable(location.database):
        return f"{directory} can be read, not written, by this user"
    return f"{directory} can be written"


def _database(backend: WorkspaceBackend) -> str:
    if not backend.has_database():
        return "none yet; the first write makes it"
    return f"{backend.location.database}, schema {_mlflow.latest_revision()} as MLflow expects"


def _file_system(location: Location) -> str:
    if not location.database.exists():
        return "nothing to look at yet"
    where = "network: a rollback journal is used" if is_network_path(location.database) else "local"
    others = "nobody else can write it" if is_private(location.database) else "shared with others"
    return f"{where}; {others}"


def _contents(backend: WorkspaceBackend) -> str:
    if not backend.exists():
        names = ", ".join(backend.neighbours()) or "none"
        return f"the workspace does not exist yet; the first write makes it (there are: {names})"
    from mlflow_ws_plugin.stores.inventory import inventory

    held = inventory(backend)
    return (
        f"{held.experiments} experiments, {held.runs} runs, {held.registered_models} registered "
        f"models, {held.traces} traces"
    )


def _write_row(backend: WorkspaceBackend) -> str:
    backend.refuse_read_only()
    if not backend.has_database():
        return "not tried: there is no database yet"
    with suppress(_Rollback), backend.connect() as connection, connection.begin():
        settings.write(connection, backend.workspace, {f"doctor-{uuid.uuid4().hex}": "x" * 1024})
        raise _Rollback
    return "a row was written and rolled back"


def _write_file(location: Location) -> str:
    if not location.directory.exists():
        return "not tried: the directory does not exist yet"
    return DirectoryRoot(location.artifact_root).probe()
