"""The workspace provider: MLflow's workspace functions on a workspace URI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from mlflow.entities.workspace import Workspace, WorkspaceDeletionMode
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from sqlalchemy.orm import Session

from mlflow_ws_plugin._mlflow import BaseWorkspaceStore
from mlflow_ws_plugin.errors import WorkspaceConflict, WorkspaceNotFound
from mlflow_ws_plugin.stores.backend import WorkspaceBackend

__all__ = ["WorkspaceProvider"]

_NOT_FOUND: Final = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


class WorkspaceProvider(BaseWorkspaceStore):
    """MLflow's SQL workspace provider, pinned to the workspace that the URI names.

    `mlflow.list_workspaces()` shows that one, and it is the default of a server whose backend store
    is a workspace URI. Another one is reached by its own URI.
    """

    _backend: WorkspaceBackend

    def list_workspaces(self) -> list[Workspace]:
        """The one workspace; none while it does not exist."""
        try:
            return [self.get_default_workspace()] if self._backend.exists() else []
        except MlflowException as error:
            # Deleted between the two.
            if error.error_code != _NOT_FOUND:
                raise
            return []

    def get_default_workspace(self) -> Workspace:
        """The workspace of the URI."""
        return super().get_workspace(self._backend.workspace)

    def get_workspace(self, workspace_name: str) -> Workspace:
        """The workspace of the URI.

        Raises:
            WorkspaceNotFound: For every other name.
        """
        self._refuse_other(workspace_name, "read")
        return super().get_workspace(workspace_name)

    def create_workspace(self, workspace: Workspace) -> Workspace:
        """Create the workspace of the URI, explicitly.

        Raises:
            MlflowException: RESOURCE_ALREADY_EXISTS, as MLflow.
            WorkspaceConflict: For every other name.
        """
        self._refuse_other(workspace.name, "created")
        if not self._backend.create(workspace.description):
            raise MlflowException(
                f"Workspace '{workspace.name}' already exists.", RESOURCE_ALREADY_EXISTS
            )
        return super().update_workspace(workspace)

    def update_workspace(self, workspace: Workspace) -> Workspace:
        """As MLflow, for the workspace of the URI."""
        self._refuse_other(workspace.name, "changed")
        return super().update_workspace(workspace)

    def delete_workspace(
        self, workspace_name: str, mode: Any = WorkspaceDeletionMode.RESTRICT
    ) -> None:
        """As MLflow, for the workspace of the URI; its Default experiment counts as empty.

        Files stay: they are removed by `mlflow gc`, or with the home.
        """
        self._refuse_other(workspace_name, "deleted")
        with self.deletion(workspace_name, mode):
            pass

    @contextmanager
    def deletion(self, workspace_name: str, mode: WorkspaceDeletionMode) -> Iterator[Session]:
        """`delete_workspace`, with a block that runs when the rows are gone, before the commit."""
        only_unused = mode == WorkspaceDeletionMode.RESTRICT
        with self._backend.deletion(only_unused=only_unused) as session:
            super().delete_workspace(workspace_name, mode)
            session.flush()
            yield session

    def _refuse_other(self, name: str, verb: str) -> None:
        if name == self._backend.workspace:
            return
        error = WorkspaceNotFound if verb == "read" else WorkspaceConflict
        raise error(
            f"Workspace '{name}' cannot be {verb} through {self._backend.location.uri}, which "
            f"names '{self._backend.workspace}' only. Use the URI of '{name}'."
        )
