"""What MLflow loads from this package: functions that build its stores.

MLflow loads entry points while `import mlflow` is still running. A module-level import of one of
its SQLAlchemy stores here would fail silently and make the scheme unknown, and any other exception
would break MLflow for everybody in the environment. So this module imports the standard library
only, and each builder imports what it needs when it is called.
"""

from __future__ import annotations

import atexit
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

    from mlflow_ws_plugin.stores.backend import WorkspaceBackend
    from mlflow_ws_plugin.stores.provider import WorkspaceProvider
    from mlflow_ws_plugin.stores.registry import WorkspaceRegistryStore
    from mlflow_ws_plugin.stores.tracking import WorkspaceTrackingStore


def _close_databases() -> None:
    """Close what this process opened, so that SQLite folds its write-ahead log into the file."""
    if database := sys.modules.get("mlflow_ws_plugin.stores.database"):
        database.close_all()


# Registered now, before MLflow registers its own: so it runs after MLflow has ended the active run.
atexit.register(_close_databases)


def tracking_store(store_uri: str, artifact_uri: str | None = None) -> WorkspaceTrackingStore:
    """Entry point `mlflow.tracking_store`. Creates nothing; see `WorkspaceTrackingStore`.

    `artifact_uri` is a server's `--default-artifact-root`; the workspace has its own.
    """
    from mlflow_ws_plugin.stores.tracking import WorkspaceTrackingStore

    return WorkspaceTrackingStore(_backend(store_uri))


def registry_store(store_uri: str, tracking_uri: str | None = None) -> WorkspaceRegistryStore:
    """Entry point `mlflow.model_registry_store`. Creates nothing."""
    from mlflow_ws_plugin.stores.registry import WorkspaceRegistryStore

    return WorkspaceRegistryStore(_backend(store_uri))


def workspace_provider(workspace_uri: str) -> WorkspaceProvider:
    """Entry point `mlflow.workspace_provider`. Creates nothing."""
    from mlflow_ws_plugin.stores.provider import WorkspaceProvider

    return WorkspaceProvider(_backend(workspace_uri))


def artifact_repository(
    artifact_uri: str,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
    **kwargs: Any,
) -> ArtifactRepository:
    """Entry point `mlflow.artifact_repository` for `mlflow-artifacts`.

    The scheme means "ask the tracking URI". Where that is not one of ours, this returns exactly
    what MLflow would have built.
    """
    from mlflow.tracking import get_tracking_uri

    from mlflow_ws_plugin.uri import is_workspace_uri

    effective = tracking_uri or get_tracking_uri()
    if is_workspace_uri(effective):
        from mlflow_ws_plugin.artifacts.repository import WorkspaceArtifactRepository

        return WorkspaceArtifactRepository(
            artifact_uri, _backend(effective), tracking_uri, registry_uri
        )
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

    return MlflowArtifactsRepository(
        artifact_uri, tracking_uri=tracking_uri, registry_uri=registry_uri, **kwargs
    )


class DefaultExperiment:
    """Entry point `mlflow.default_experiment_provider`: the experiment of a script that names none.

    Follows MLflow's `DefaultExperimentProvider` by shape, because that class cannot be imported at
    load time.
    """

    def in_context(self) -> bool:
        """Whether the tracking URI is one of ours."""
        from mlflow.tracking import get_tracking_uri

        uri = get_tracking_uri()
        return uri is not None and uri.lower().startswith(("ws:", "ws+"))

    def get_experiment_id(self) -> str:
        """The workspace's Default experiment; `0`, its alias, while there is none."""
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import get_tracking_uri

        try:
            return _backend(get_tracking_uri()).default_experiment_id(create=False) or "0"
        except MlflowException:
            # MLflow would only log it here; the store call that follows raises it.
            return "0"


def _backend(uri: str) -> WorkspaceBackend:
    from mlflow_ws_plugin.location import resolve
    from mlflow_ws_plugin.stores.backend import open_backend

    return open_backend(resolve(uri))
