"""Which `mlflow-artifacts:` paths belong to a workspace."""

from __future__ import annotations

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from sqlalchemy import or_

from mlflow_ws_plugin._mlflow import SqlExperiment, SqlLoggedModel, SqlModelVersion
from mlflow_ws_plugin.stores.backend import WorkspaceBackend
from mlflow_ws_plugin.stores.places import logical_segments

__all__ = ["own_segments"]


def own_segments(artifact_uri: str, backend: WorkspaceBackend) -> tuple[list[str], list[str]]:
    """The path segments of `artifact_uri` below the artifact root, and their bounds.

    A path is the workspace's own when its workspace segment says so, or when an experiment, a
    logged model or a model version of the workspace has it, or a parent of it, as its location:
    so databases that a stock server filled, and experiments that `mlflow db move-resources` moved
    here, keep their artifacts. All else reads as not there. (Such a location cannot be given by
    hand: the stores refuse it.)

    Returns:
        The segments, and the leading ones that no symbolic link may leave.

    Raises:
        MlflowException: RESOURCE_DOES_NOT_EXIST.
    """
    segments = logical_segments(artifact_uri)
    if segments is not None:
        if segments[:2] == ["workspaces", backend.workspace]:
            return segments, segments[:2]
        if known := _known_location(segments, backend):
            return segments, known
    raise MlflowException(
        f"No artifacts of workspace '{backend.workspace}' at {artifact_uri!r}.",
        RESOURCE_DOES_NOT_EXIST,
    )


def _known_location(segments: list[str], backend: WorkspaceBackend) -> list[str] | None:
    # No row can open all of another workspace, or all workspaces.
    shortest = 3 if segments[:1] == ["workspaces"] else 1
    parents = {
        "mlflow-artifacts:/" + "/".join(segments[:length]): length
        for length in range(shortest, len(segments) + 1)
    }
    with backend.session() as session:
        found = (
            session.query(SqlExperiment.artifact_location)
            .outerjoin(SqlLoggedModel, SqlLoggedModel.experiment_id == SqlExperiment.experiment_id)
            .filter(SqlExperiment.workspace == backend.workspace)
            .filter(
                or_(
                    SqlExperiment.artifact_location.in_(parents),
                    SqlLoggedModel.artifact_location.in_(parents),
                )
            )
            .with_entities(SqlExperiment.artifact_location, SqlLoggedModel.artifact_location)
            .first()
        ) or (
            session.query(SqlModelVersion.storage_location)
            .filter(SqlModelVersion.workspace == backend.workspace)
            .filter(SqlModelVersion.storage_location.in_(parents))
            .first()
        )
    depths = [parents[location] for location in found or () if location in parents]
    return segments[: max(depths)] if depths else None
