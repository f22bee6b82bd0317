"""The tracking store of a workspace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mlflow.entities import Experiment, ExperimentTag, LoggedModelInput, LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from mlflow_ws_plugin._mlflow import BaseTrackingStore
from mlflow_ws_plugin.errors import WorkspaceConflict, WorkspaceNotFound
from mlflow_ws_plugin.stores.backend import DEFAULT_EXPERIMENT_ALIAS, WorkspaceBackend
from mlflow_ws_plugin.stores.places import check_experiment_location
from mlflow_ws_plugin.stores.references import guarded

__all__ = ["WorkspaceTrackingStore"]

# Which workspace an experiment was seen in by this process: to tell a stale active experiment from
# a mistyped id. Only what this process itself was given, so it leaks nothing.
_seen: dict[str, str] = {}
_SEEN_LIMIT: Final = 10_000


@guarded
class WorkspaceTrackingStore(BaseTrackingStore):
    """MLflow's workspace-aware SQL store, pinned to the workspace of one URI.

    Differences from MLflow's own SQLite store:

    - Constructing it creates nothing; the first write creates the workspace.
    - Experiment `0` means the workspace's own Default experiment, whose real id is another.
    - `create_experiment` refuses artifact locations inside a home of this plugin.
    - Model ids given to `log_metric`, `log_batch`, `log_inputs` and `log_outputs`, and what else a
      call refers to by id (see `references`), must be of this workspace; MLflow 3.17 lets those of
      other workspaces through.
    """

    _backend: WorkspaceBackend

    # --- experiments -----------------------------------------------------------------------------

    def create_experiment(
        self,
        name: str,
        artifact_location: str | None = None,
        tags: list[ExperimentTag] | None = None,
    ) -> str:
        """As MLflow's plain SQL store, artifact location included.

        Raises:
            MlflowException: As MLflow; INVALID_PARAMETER_VALUE too for an `artifact_location` with
                `..`, inside any home's `artifacts/`, or under another workspace.
        """
        if artifact_location:
            check_experiment_location(artifact_location, self._backend.location)
        experiment_id = self.create_experiment_at(name, artifact_location, tags)
        self._remember(experiment_id)
        return experiment_id

    def get_experiment(self, experiment_id: str) -> Experiment:
        """As MLflow; an experiment that this process used in another workspace is named as such."""
        if not experiment_id:
            # As MLflow, which takes nothing for the experiment 0.
            experiment_id = self._own_experiment(DEFAULT_EXPERIMENT_ALIAS, create=False)
        try:
            experiment: Experiment = super().get_experiment(experiment_id)
        except MlflowException as error:
            self._explain_stale(str(experiment_id), error)
            raise
        self._remember(str(experiment_id))
        return experiment

    def get_experiment_by_name(self, experiment_name: str) -> Experiment | None:
        """As MLflow."""
        experiment: Experiment | None = super().get_experiment_by_name(experiment_name)
        if experiment is not None:
            self._remember(experiment.experiment_id)
        return experiment

    def start_trace(self, trace_info: Any) -> Any:
        """As MLflow."""
        location = trace_info.trace_location
        if location is not None and location.mlflow_experiment is not None:
            experiment = location.mlflow_experiment
            experiment.experiment_id = self._own_experiment(experiment.experiment_id, create=True)
        return super().start_trace(trace_info)

    # --- model ids -------------------------------------------------------------------------------

    def log_metric(self, run_id: str, metric: Metric) -> None:
        """As MLflow."""
        self._require_models([metric.model_id])
        super().log_metric(run_id, metric)

    def log_batch(self, run_id: str, metrics: Any, params: Any, tags: Any) -> None:
        """As MLflow."""
        self._require_models(getattr(metric, "model_id", None) for metric in metrics or ())
        super().log_batch(run_id, metrics, params, tags)

    def log_inputs(
        self,
        run_id: str,
        datasets: Any = None,
        models: list[LoggedModelInput] | None = None,
    ) -> None:
        """As MLflow."""
        self._require_models(model.model_id for model in models or ())
        super().log_inputs(run_id, datasets=datasets, models=models)

    def log_outputs(self, run_id: str, models: list[LoggedModelOutput]) -> None:
        """As MLflow."""
        self._require_models(model.model_id for model in models or ())
        super().log_outputs(run_id, models)

    def create_dataset(
        self,
        name: str,
        tags: dict[str, Any] | None = None,
        experiment_ids: list[str] | None = None,
    ) -> Any:
        """As MLflow; the experiments must be of this workspace."""
        for experiment_id in experiment_ids or ():
            self.get_experiment(experiment_id)
        return super().create_dataset(name, tags=tags, experiment_ids=experiment_ids)

    def list_scorers_across_experiments(self, experiment_ids: list[str]) -> Any:
        """As MLflow, for experiments of this workspace; MLflow 3.17 shows those of others too."""
        with self.ManagedSessionMaker() as session:
            own = self._filter_experiment_ids(session, experiment_ids)
        return super().list_scorers_across_experiments([str(item) for item in own])

    def _require_models(self, model_ids: Iterable[str | None]) -> None:
        wanted = {model_id for model_id in model_ids if model_id is not None}
        if wanted and (missing := self.foreign_models(wanted)):
            raise MlflowException(
                f"Logged model with ID '{missing[0]}' not found.", RESOURCE_DOES_NOT_EXIST
            )

    # --- experiment ids --------------------------------------------------------------------------

    def _own_experiment(self, experiment_id: str, *, create: bool) -> str:
        """`experiment_id`, with `0` translated to the workspace's own Default experiment.

        With `create` that experiment is made where it is missing.
        """
        if not _is_alias(experiment_id):
            return experiment_id
        return self._backend.default_experiment_id(create=create) or experiment_id

    def _remember(self, experiment_id: str) -> None:
        if len(_seen) >= _SEEN_LIMIT:
            _seen.clear()
        if experiment_id != DEFAULT_EXPERIMENT_ALIAS:
            _seen[experiment_id] = str(self._backend.location.uri)

    def _explain_stale(self, experiment_id: str, error: MlflowException) -> None:
        own = str(self._backend.location.uri)
        seen = _seen.get(experiment_id, own)
        is_missing = error.error_code == "RESOURCE_DOES_NOT_EXIST"
        if is_missing and seen != own and not isinstance(error, WorkspaceNotFound):
            raise WorkspaceConflict(
                f"Experiment {experiment_id} belongs to workspace {seen}, and the tracking URI is "
                f"now {own}. The active experiment is still the old one: call "
                "mlflow.set_experiment(NAME) after the switch."
            ) from error


def _is_alias(experiment_id: str) -> bool:
    """Whether MLflow would take it for experiment 0, in whatever spelling."""
    try:
        return int(experiment_id) == int(DEFAULT_EXPERIMENT_ALIAS)
    except (TypeError, ValueError):
        return False
