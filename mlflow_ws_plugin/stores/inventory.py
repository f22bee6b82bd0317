"""What a workspace holds, and removing it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities.workspace import WorkspaceDeletionMode
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_STATE, ErrorCode
from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from mlflow_ws_plugin import _mlflow
from mlflow_ws_plugin.errors import BackendRefused, WorkspaceError
from mlflow_ws_plugin.location import Location
from mlflow_ws_plugin.stores import settings
from mlflow_ws_plugin.stores.backend import MLFLOW_DEFAULT, WorkspaceBackend
from mlflow_ws_plugin.stores.provider import WorkspaceProvider

__all__ = ["Inventory", "delete", "inventory"]


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a workspace holds.

    Attributes:
        workspace: Its name.
        uri: Its absolute URI.
        description: As given when it was created, or None.
        settings: The plugin's own: `uuid`, `default_experiment_id`, `display_name`.
        experiments, runs, logged_models, registered_models, traces: How many, deleted ones too.
        last_run_ms: When the newest run started, in milliseconds since 1970, or None.
    """

    workspace: str
    uri: str
    description: str | None
    settings: Mapping[str, str]
    experiments: int
    runs: int
    logged_models: int
    registered_models: int
    traces: int
    last_run_ms: int | None


def inventory(backend: WorkspaceBackend) -> Inventory:
    """Count what an existing workspace holds."""
    experiments = select(_mlflow.SqlExperiment.experiment_id).where(
        _mlflow.SqlExperiment.workspace == backend.workspace
    )
    with backend.connect() as connection:
        return Inventory(
            workspace=backend.workspace,
            uri=str(backend.location.uri),
            description=_description(connection, backend.workspace),
            settings=settings.read(connection, backend.workspace),
            experiments=_count(connection, experiments),
            runs=_count(connection, _in(_mlflow.SqlRun.run_uuid, experiments)),
            logged_models=_count(connection, _in(_mlflow.SqlLoggedModel.model_id, experiments)),
            registered_models=_count(
                connection,
                select(_mlflow.SqlRegisteredModel.name).where(
                    _mlflow.SqlRegisteredModel.workspace == backend.workspace
                ),
            ),
            traces=_count(connection, _in(_mlflow.SqlTraceInfo.request_id, experiments)),
            last_run_ms=connection.scalar(_in(func.max(_mlflow.SqlRun.start_time), experiments)),
        )


def artifact_bytes(directory: Path) -> int:
    """The size of all files below `directory`; 0 where there is none."""
    return sum(
        entry.stat().st_size
        for parent, _, names in os.walk(directory)
        for entry in (Path(parent) / name for name in names)
        if entry.is_file()
    )


def delete(backend: WorkspaceBackend, *, cascade: bool) -> None:
    """Remove a workspace: rows, then files. An unused Default experiment does not count as content.

    Args:
        backend: The workspace.
        cascade: Remove what it holds too. Without it a workspace that holds anything is refused.

    Raises:
        WorkspaceError: It holds something, and `cascade` is false.
        BackendRefused: This user may only read, or not move the files away.
    """
    mode = WorkspaceDeletionMode.CASCADE if cascade else WorkspaceDeletionMode.RESTRICT
    moved: dict[Path, Path] = {}
    try:
        with WorkspaceProvider(backend).deletion(backend.workspace, mode) as session:
            # Before the commit: nobody makes a namesake until then, whose files would go too.
            doomed = _unused(session, backend.location)
            _set_aside(doomed, backend.location.artifact_root / ".partial", moved)
    except BaseException as error:
        for path, aside in moved.items():
            aside.rename(path)
        if not cascade and _is_refusal(error, backend.workspace):
            raise _refuse_content(backend, error) from error
        raise
    for aside in moved.values():
        # What it does not get rid of is removed a day later, by whoever stores a file.
        shutil.rmtree(aside, ignore_errors=True)


def _unused(session: Session, location: Location) -> list[Path]:
    """The directories of a workspace whose rows are gone, but for those that other rows name.

    Experiments that were moved to another workspace keep their files here.
    """
    parent = f"{_mlflow.ARTIFACT_ROOT}workspaces/{location.workspace}/"
    columns = (
        _mlflow.SqlExperiment.artifact_location,
        _mlflow.SqlRun.artifact_uri,
        _mlflow.SqlLoggedModel.artifact_location,
        _mlflow.SqlModelVersion.source,
        _mlflow.SqlModelVersion.storage_location,
    )
    used = {
        str(uri).removeprefix(parent).partition("/")[0]
        for column in columns
        for uri in session.execute(select(column).where(column.startswith(parent))).scalars()
    }
    directory = location.artifact_directory
    if not directory.exists():
        return []
    return [path for path in directory.iterdir() if path.name not in used] if used else [directory]


def _set_aside(paths: Iterable[Path], staging: Path, moved: dict[Path, Path]) -> None:
    """Move each to where no listing finds it, and note in `moved` what was moved where."""
    for path in paths:
        aside = staging / f"deleted-{uuid.uuid4().hex}"
        try:
            staging.mkdir(exist_ok=True)
            # However old it is: what is left there for a day is taken for that of a killed process.
            os.utime(path)
            path.rename(aside)
        except OSError as error:
            raise BackendRefused(
                f"{path} cannot be moved to {staging}: {error.strerror}. Nothing was deleted. Ask "
                "the owner of the home for permission to write there."
            ) from error
        moved[path] = aside


def _is_refusal(error: BaseException, workspace: str) -> bool:
    """Whether MLflow found something in the workspace; its own `default` it refuses anyway."""
    return (
        isinstance(error, MlflowException)
        and not isinstance(error, WorkspaceError)
        and error.error_code == ErrorCode.Name(INVALID_STATE)
        and workspace != MLFLOW_DEFAULT
    )


def _refuse_content(backend: WorkspaceBackend, error: BaseException) -> WorkspaceError:
    held = inventory(backend)
    return WorkspaceError(
        f"Workspace '{held.workspace}' holds {held.experiments} experiments, {held.runs} runs "
        f"and {held.registered_models} registered models; nothing was deleted. ({error}) To delete "
        f"all of it, files included: mlflow-ws workspace delete {held.uri} --cascade"
    )


def _description(connection: Connection, workspace: str) -> str | None:
    column = _mlflow.SqlWorkspace.description
    return connection.scalar(select(column).where(_mlflow.SqlWorkspace.name == workspace))


def _in(column: Any, experiments: Any) -> Any:
    table = column.class_ if hasattr(column, "class_") else _mlflow.SqlRun
    return select(column).where(table.experiment_id.in_(experiments))


def _count(connection: Connection, query: Any) -> int:
    return int(connection.scalar(select(func.count()).select_from(query.subquery())) or 0)
