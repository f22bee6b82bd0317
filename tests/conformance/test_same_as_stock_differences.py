"""The table of wanted differences to MLflow's own SQLite store, each of which must still occur.

Everything else in this directory asserts that there is none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import twin
from mlflow.entities import LoggedModelInput, LoggedModelOutput, Metric
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore
from mlflow.utils.workspace_context import ServerWorkspaceContext
from twin import FIRST_EXPERIMENT, Side

_RUN, _MODEL, _TRACE, _DATASET = (f"{kind}{'0' * 32}" for kind in ("", "m-", "tr-", "d-"))


@dataclasses.dataclass(frozen=True)
class Difference:
    """What a call gives on the two sides: a value, or an error's code."""

    reason: str
    call: Callable[[Any], Any]
    stock: Any
    workspace: Any


def _run(s: Any) -> Any:
    return s.tracking.create_run("0", "somebody", 1, [], "first")


def _model_inputs(s: Side) -> None:
    s.tracking.log_inputs(_run(s).info.run_id, None, [LoggedModelInput(_MODEL)])


def _model_outputs(s: Side) -> None:
    s.tracking.log_outputs(_run(s).info.run_id, [LoggedModelOutput(_MODEL, 0)])


def _metric(s: Side) -> None:
    s.tracking.log_metric(_run(s).info.run_id, Metric("m", 1.0, 1, 0, _MODEL))


def _batch(s: Side) -> None:
    s.tracking.log_batch(_run(s).info.run_id, [Metric("m", 1.0, 1, 0, _MODEL)], [], [])


def _version_from(source: str) -> Callable[[Side], str]:
    def create(s: Side) -> str:
        s.client.create_registered_model("net")
        return s.client.create_model_version("net", source).source

    return create


def _deletion_outside(s: Side) -> None:
    uri = _run(s).info.artifact_uri
    get_artifact_repository(uri, tracking_uri=s.uri).delete_artifacts("../x")


_DOES_NOT_EXIST = "RESOURCE_DOES_NOT_EXIST"
_INVALID = "INVALID_PARAMETER_VALUE"

_ALIAS = "experiment 0 is an alias: ids are unique in a database of many workspaces"
_NO_MODEL = "a model of another workspace must read as one that does not exist"
_OWN_FILES = "a location given by hand could reach into another workspace"

DIFFERENCES = {
    "id of Default": Difference(
        _ALIAS, lambda s: _run(s).info.experiment_id, "0", str(FIRST_EXPERIMENT)
    ),
    "scheme of artifact URIs": Difference(
        "artifacts live where a stock server of the same home looks for them",
        lambda s: urlsplit(_run(s).info.artifact_uri).scheme,
        "",
        "mlflow-artifacts",
    ),
    "metric of a model that is not there": Difference(
        _NO_MODEL, _metric, "BAD_REQUEST", _DOES_NOT_EXIST
    ),
    "batch of a model that is not there": Difference(
        _NO_MODEL, _batch, "BAD_REQUEST", _DOES_NOT_EXIST
    ),
    "input model that is not there": Difference(_NO_MODEL, _model_inputs, None, _DOES_NOT_EXIST),
    "output model that is not there": Difference(_NO_MODEL, _model_outputs, None, _DOES_NOT_EXIST),
    "model from a run that is not there": Difference(
        "a run of another workspace must read as one that does not exist",
        lambda s: s.client.create_logged_model("0", "net", _RUN).name,
        "net",
        _DOES_NOT_EXIST,
    ),
    "issue of a run that is not there": Difference(
        "a run of another workspace must read as one that does not exist",
        lambda s: s.tracking.create_issue("0", "lost", "lost", source_run_id=_RUN).name,
        "BAD_REQUEST",
        _DOES_NOT_EXIST,
    ),
    "dataset of an experiment that is not there": Difference(
        "an experiment of another workspace must read as one that does not exist",
        lambda s: s.tracking.get_dataset_experiment_ids(
            s.tracking.create_dataset("questions", None, ["777"]).dataset_id
        ),
        ["777"],
        _DOES_NOT_EXIST,
    ),
    "experiment at a place with ..": Difference(
        _OWN_FILES,
        lambda s: s.client.create_experiment("trial", "/tmp/a/../b"),
        "1",
        _INVALID,
    ),
    "experiment at another logical place": Difference(
        _OWN_FILES,
        lambda s: s.client.create_experiment("trial", "mlflow-artifacts:/x/y"),
        "1",
        _INVALID,
    ),
    "version from a place with ..": Difference(
        _OWN_FILES, _version_from("s3://bucket/a/../b"), "s3://bucket/a/../b", _INVALID
    ),
    "version from another logical place": Difference(
        _OWN_FILES, _version_from("mlflow-artifacts:/x/y"), "mlflow-artifacts:/x/y", _INVALID
    ),
    "deletion outside of the run": Difference(
        "the file repository of MLflow would remove it", _deletion_outside, None, _INVALID
    ),
}

# MLflow's own workspace-aware store, which ours is, looks first whether what is named is of the
# workspace; its SQLite store without workspaces does not look.
MLFLOWS_OWN = {
    "history of a run that is not there": Difference(
        "", lambda s: list(s.tracking.get_metric_history(_RUN, "m")), [], _DOES_NOT_EXIST
    ),
    "sampled history of a run that is not there": Difference(
        "",
        lambda s: s.tracking.get_metric_history_bulk_interval([_RUN], "m", 5, 0, 9),
        [],
        _DOES_NOT_EXIST,
    ),
    "history by steps of a run that is not there": Difference(
        "",
        lambda s: s.tracking.get_metric_history_bulk_interval_from_steps(_RUN, "m", [1], 5),
        [],
        _DOES_NOT_EXIST,
    ),
    "last step of a run that is not there": Difference(
        "", lambda s: s.tracking.get_max_step_for_metric(_RUN, "m"), 0, _DOES_NOT_EXIST
    ),
    "traces linked to a run that is not there": Difference(
        "", lambda s: s.tracking.link_traces_to_run([_TRACE], _RUN), None, _DOES_NOT_EXIST
    ),
    "tag of a trace that is not there": Difference(
        "", lambda s: s.tracking.set_trace_tag(_TRACE, "k", "v"), "BAD_REQUEST", _DOES_NOT_EXIST
    ),
    "records of a dataset that is not there": Difference(
        "",
        lambda s: s.tracking.upsert_dataset_records(_DATASET, [{"inputs": {"q": 1}}]),
        "BAD_REQUEST",
        _DOES_NOT_EXIST,
    ),
    "deleted records of a dataset that is not there": Difference(
        "", lambda s: s.tracking.delete_dataset_records(_DATASET, ["x"]), 0, _DOES_NOT_EXIST
    ),
}


def _outcome(call: Callable[[Any], Any], side: Any) -> Any:
    try:
        return twin.plain(call(side))
    except MlflowException as error:
        return error.error_code


def _on(side: Side, call: Callable[[Any], Any]) -> Any:
    side.open()
    try:
        return _outcome(call, side)
    finally:
        side.close()


@pytest.mark.parametrize("name", DIFFERENCES | MLFLOWS_OWN)
def test_a_wanted_difference_still_occurs(
    name: str, sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides do what the table says; where they agree by now, the line must go."""
    difference = (DIFFERENCES | MLFLOWS_OWN)[name]
    stock, workspace = sides
    for side, expected in ((stock, difference.stock), (workspace, difference.workspace)):
        monkeypatch.chdir(side.cwd)
        outcome = _on(side, difference.call)
        assert outcome == expected, f"{name} on {side.name}: update or remove the line"
    assert difference.stock != difference.workspace


@dataclasses.dataclass
class _MlflowsOwn:
    tracking: WorkspaceAwareSqlAlchemyStore


@pytest.mark.parametrize("name", MLFLOWS_OWN)
def test_what_we_blame_on_mlflow_is_mlflows(name: str, sides: tuple[Side, Side]) -> None:
    """MLflow's own workspace-aware store gives what ours gives, without this plugin."""
    difference = MLFLOWS_OWN[name]
    stock, _ = sides
    with ServerWorkspaceContext("default"):
        store = WorkspaceAwareSqlAlchemyStore(stock.uri, str(stock.cwd / "mlruns"))
        assert _outcome(difference.call, _MlflowsOwn(store)) == difference.workspace
        store.engine.dispose()
