"""The model registry of a workspace."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from mlflow_ws_plugin._mlflow import BaseRegistryStore, SqlExperiment, SqlLoggedModel, SqlRun
from mlflow_ws_plugin.stores.backend import WorkspaceBackend
from mlflow_ws_plugin.stores.places import check_source

__all__ = ["WorkspaceRegistryStore"]


class WorkspaceRegistryStore(BaseRegistryStore):
    """MLflow's workspace-aware SQL registry, pinned to the workspace of one URI.

    A model version's source, run and model must be of this workspace; MLflow's own SQL store takes
    any text there.
    """

    _backend: WorkspaceBackend

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Any = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> Any:
        """As MLflow.

        Raises:
            MlflowException: As MLflow; INVALID_PARAMETER_VALUE too for a source inside another
                workspace, RESOURCE_DOES_NOT_EXIST for a run or model of another workspace.
        """
        if isinstance(source, str):
            check_source(source, self._backend.location)
            self._require_own(_run_of(source), None)
        self._require_own(run_id, model_id)
        return super().create_model_version(
            name,
            source,
            run_id,
            tags=tags,
            run_link=run_link,
            description=description,
            local_model_path=local_model_path,
            model_id=model_id,
        )

    def _require_own(self, run_id: str | None, model_id: str | None) -> None:
        """A reference to what exists in another workspace reads as one to nothing.

        An id that exists nowhere passes, as in MLflow: runs of other servers may be named.
        """
        for what, column, value in (
            ("Run", SqlRun.run_uuid, run_id),
            ("Logged model", SqlLoggedModel.model_id, model_id),
        ):
            if value and self._workspace_of(column, value) not in {None, self._backend.workspace}:
                raise MlflowException(f"{what} with id={value} not found", RESOURCE_DOES_NOT_EXIST)

    def _workspace_of(self, column: Any, value: str) -> str | None:
        with self.ManagedSessionMaker() as session:
            row = (
                session.query(SqlExperiment.workspace)
                .join(column.class_, column.class_.experiment_id == SqlExperiment.experiment_id)
                .filter(column == value)
                .first()
            )
            return None if row is None else str(row[0])


def _run_of(source: str) -> str | None:
    """The run that a `runs:/ID/path` source names."""
    parts = urlsplit(source)
    return parts.path.strip("/").split("/")[0] if parts.scheme == "runs" else None
