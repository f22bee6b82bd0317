"""What a workspace holds, and removing it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities.workspace import WorkspaceDeletionMode
from mlflow.exceptions import MlflowException
from sqlalchemy import Connection, func, select

from mlflow_ws_plugin import _mlflow
from mlflow_ws_plugin.errors import WorkspaceError
from mlflow_ws_plugin.stores import settings
from mlflow_ws_plugin.stores.backend import WorkspaceBackend
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
        BackendRefused: This user may only read.
    """
    mode = WorkspaceDeletionMode.CASCADE if cascade else WorkspaceDeletionMode.RESTRICT
    backend.refuse_read_only()
    # Held until the files are out of the way: a workspace made after that has only its own.
    with backend.lock():
        try:
            WorkspaceProvider(backend).delete_workspace(backend.workspace, mode)
        except MlflowException as error:
            if cascade or isinstance(error, WorkspaceError) or error.error_code != "INVALID_STATE":
                raise
            raise _refuse_content(backend) from error
        doomed = _set_aside(backend)
    if doomed is not None:
        shutil.rmtree(doomed)


def _refuse_content(backend: WorkspaceBackend) -> WorkspaceError:
    held = inventory(backend)
    return WorkspaceError(
        f"Workspace '{held.workspace}' holds {held.experiments} experiments, {held.runs} runs "
        f"and {held.registered_models} registered models; nothing was deleted. To delete them "
        f"too, files included: mlflow-ws workspace delete {held.uri} --cascade"
    )


def _set_aside(backend: WorkspaceBackend) -> Path | None:
    """Move the files in one step to where no listing finds them; None where there are none."""
    doomed = backend.location.artifact_root / ".partial" / f"deleted-{uuid.uuid4().hex}"
    if not backend.location.artifact_directory.exists():
        return None
    doomed.parent.mkdir(exist_ok=True)
    backend.location.artifact_directory.rename(doomed)
    # However old it is: what is left there for a day is removed by whoever stores a file.
    os.utime(doomed)
    return doomed


def _description(connection: Connection, workspace: str) -> str | None:
    column = _mlflow.SqlWorkspace.description
    return connection.scalar(select(column).where(_mlflow.SqlWorkspace.name == workspace))


def _in(column: Any, experiments: Any) -> Any:
    table = column.class_ if hasattr(column, "class_") else _mlflow.SqlRun
    return select(column).where(table.experiment_id.in_(experiments))


def _count(connection: Connection, query: Any) -> int:
    return int(connection.scalar(select(func.count()).select_from(query.subquery())) or 0)
