"""What a workspace URI resolves to on this machine, in this process."""

from __future__ import annotations

import logging
import os
import re
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow_ws_plugin.config import default_home, find_config
from mlflow_ws_plugin.errors import WorkspaceError
from mlflow_ws_plugin.uri import WorkspaceUri

__all__ = ["Location", "resolve"]

# Under MLflow's logger, so that MLflow's handler and MLFLOW_LOGGING_LEVEL apply.
_logger = logging.getLogger("mlflow.ws")

_relative: dict[str, Location] = {}
_relative_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Location:
    """An embedded workspace on this machine.

    Attributes:
        uri: Absolute: means the same from any directory and in a child process.
        workspace: The name, as in the `workspaces` table.
        database: The SQLite file.
        artifact_root: The directory that `mlflow-artifacts:/` stands for.
        display_name: The name that an Azure config.json gave, where it is not a valid one here.
    """

    uri: WorkspaceUri
    workspace: str
    database: Path
    artifact_root: Path
    display_name: str | None = None

    @property
    def directory(self) -> Path:
        """The home, or the directory of an explicit database file."""
        return self.database.parent

    @property
    def artifact_directory(self) -> Path:
        """The directory of this workspace's own artifacts."""
        return self.artifact_root / "workspaces" / self.workspace

    def beside(self, workspace: str) -> Location:
        """The location of another workspace in the same database."""
        return replace(
            self, uri=replace(self.uri, name=workspace), workspace=workspace, display_name=None
        )

    @property
    def is_home(self) -> bool:
        """Whether the database lives in a home of its own (not an explicit file)."""
        return self.uri.scheme == "ws"


def resolve(text: str) -> Location:
    """Resolve a workspace URI. Reads config.json for `ws:`; opens and creates nothing.

    The relative forms (`ws:`, `ws://NAME`) are resolved once per process, because MLflow keeps one
    store per URI for ever: a later change of directory or of `MLFLOW_WS_HOME` does not split a
    process's data over two places. On that first resolution the relative form is replaced by the
    absolute one in `MLFLOW_TRACKING_URI` and `MLFLOW_REGISTRY_URI`, and a relative `MLFLOW_WS_HOME`
    too, so that workers in another directory find the same workspace. Thread-safe.

    Raises:
        InvalidWorkspaceUri: The text breaks the grammar.
        ConfigNotFound, InvalidConfig: For `ws:`.
        WorkspaceError: The door is not available in this version.
    """
    uri = WorkspaceUri.parse(text)
    if uri.is_absolute:
        return _locate(uri)
    with _relative_lock:
        key = str(uri)
        if key not in _relative:
            _relative[key] = _locate_config() if uri.door == "config" else _locate_in_home(uri)
        location = _relative[key]
    _replace_in_environment(text, str(location.uri))
    return location


def _locate_config() -> Location:
    config = find_config()
    if config.uri.is_absolute:
        return replace(_locate(config.uri), display_name=config.display_name)
    location = replace(_locate_in_home(config.uri), display_name=config.display_name)
    _logger.info(
        "Workspace '%s' of %s is local: %s", location.workspace, config.path, location.directory
    )
    return location


def _locate_in_home(uri: WorkspaceUri) -> Location:
    home = default_home().as_posix()
    if os.environ.get("MLFLOW_WS_HOME"):
        # A relative one would mean another home in a worker's directory.
        os.environ["MLFLOW_WS_HOME"] = home
    return _locate(replace(uri, path=home if home.startswith("/") else f"/{home}"))


def _locate(uri: WorkspaceUri) -> Location:
    if uri.door != "embedded":
        raise WorkspaceError(
            f"{uri}: the {uri.door} door comes with the shared doors, in a later release. Use an "
            "embedded workspace now: ws://NAME or ws:///ABS/DIR/NAME."
        )
    assert uri.name is not None
    assert uri.path is not None
    path = _local_path(uri.path)
    database = path if uri.scheme == "ws+sqlite" else path / "workspaces.db"
    return Location(uri, uri.name, database, database.parent / "artifacts")


def _local_path(path: str) -> Path:
    if os.name == "nt" and re.match(r"/[A-Za-z]:", path):
        return Path(path[1:])
    return Path(path)


def _replace_in_environment(relative: str, absolute: str) -> None:
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        if os.environ.get(variable) == relative:
            os.environ[variable] = absolute


def _after_fork() -> None:
    global _relative_lock
    # Another thread of the parent may have held it.
    _relative_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
