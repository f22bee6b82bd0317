"""Metrics, params, tags and batches behave as on MLflow's own SQLite store."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from mlflow.entities import Metric, Param, RunTag
from twin import Side, same_as_stock


def _run(s: Side) -> str:
    experiment_id = s.client.create_experiment("trial")
    return s.client.create_run(experiment_id, start_time=1, run_name="first").info.run_id


def _history(s: Side, run_id: str, *keys: str) -> None:
    for key in keys:
        s.do(s.client.get_metric_history, run_id, key)
    s.do(s.client.get_run, run_id)


# --- metrics --------------------------------------------------------------------------------------


@same_as_stock
def test_every_float_reads_back_as_mlflow_stores_it(s: Side) -> None:
    run_id = _run(s)
    values = (0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 2.2250738585072014e-308)
    values += (1.7976931348623157e308, -1.7976931348623157e308, 0.1, 1 / 3, 1e22, 2**53 + 1)
    for i, value in enumerate(values):
        s.do(s.client.log_metric, run_id, f"m{i}", value, timestamp=1, step=0)
        s.do(s.client.get_metric_history, run_id, f"m{i}")
    s.do(s.client.get_run, run_id)


@same_as_stock
def test_values_that_are_no_floats_are_taken_or_refused_alike(s: Side) -> None:
    run_id = _run(s)
    values = (True, False, 7, 10**400, "1.5", "nan", "word", "", None, [1], {"a": 1}, 1j, b"1.5")
    numbers = (np.float32(0.1), np.int64(3), np.bool_(1), np.array(2.5), np.array([1.0, 2.0]))
    for i, value in enumerate((*values, *numbers)):
        s.do(s.client.log_metric, run_id, f"m{i}", value, timestamp=1, step=0)
        s.do(s.client.get_metric_history, run_id, f"m{i}")
    for value in ("1.5", None, True, "word"):
        s.do(s.tracking.log_metric, run_id, Metric("raw", value, 1, 0))
        s.do(s.tracking.log_batch, run_id, [Metric("raw", value, 1, 0)], [], [])
    _history(s, run_id, "raw")


@same_as_stock
def test_steps_and_timestamps_are_taken_or_refused_alike(s: Side) -> None:
    run_id = _run(s)
    for step in (0, -1, -(2**63), 2**63 - 1, 2**63, 1.0, 1.5, "3", "x", None, True):
        s.do(s.client.log_metric, run_id, "step", 1.0, timestamp=1, step=step)
    for timestamp in (0, -1, 2**63 - 1, 2**63, 1.5, "3", "x", True):
        s.do(s.client.log_metric, run_id, "time", 1.0, timestamp=timestamp, step=0)
    _history(s, run_id, "step", "time")


@pytest.mark.core
@same_as_stock
def test_the_latest_value_is_by_step_then_time_then_value(s: Side) -> None:
    run_id = _run(s)
    points = {
        "by step": [(1, 9, 5), (2, 1, 9), (3, 5, 1)],
        "by time": [(1, 5, 0), (2, 9, 0), (3, 1, 0)],
        "by value": [(1, 1, 0), (3, 1, 0), (2, 1, 0)],
        "negative steps": [(1, 1, -5), (2, 1, -1), (3, 1, -9)],
        "nan last": [(1, 1, 0), (math.nan, 2, 0)],
        "nan first": [(math.nan, 1, 0), (1, 2, 0)],
        "nan same place": [(1, 1, 0), (math.nan, 1, 0), (2, 1, 0)],
        "inf": [(1, 1, 0), (-math.inf, 1, 0), (math.inf, 1, 0)],
        "same again": [(1, 1, 0), (1, 1, 0), (1, 1, 0)],
        "zeros": [(0.0, 1, 0), (-0.0, 1, 0)],
    }
    for key, values in points.items():
        for value, timestamp, step in values:
            s.do(s.client.log_metric, run_id, key, value, timestamp, step)
        batch = [Metric(f"{key} in a batch", *value) for value in values]
        s.do(s.client.log_batch, run_id, metrics=batch)
        _history(s, run_id, key, f"{key} in a batch")


@same_as_stock
def test_metric_keys_are_taken_or_refused_alike(s: Side) -> None:
    run_id = _run(s)
    keys = ("a", "a/b", "a b", "a.b-c_d", "a:b", "k" * 250, "k" * 251, "", "/a", "a/", "../a")
    for key in (*keys, "a//b", "./a", "a/./b", "ä", "a\tb", "a\\b", "a'b", 'a"b', "%", None, 5):
        s.do(s.client.log_metric, run_id, key, 1.0, timestamp=1)
        s.do(s.client.get_metric_history, run_id, key)
    s.do(s.client.get_run, run_id)


@same_as_stock
def test_a_long_history_pages_and_samples_alike(s: Side) -> None:
    run_id = _run(s)
    for start in range(0, 3000, 1000):
        points = [Metric("loss", 1 / (i + 1), 10 + i, i) for i in range(start, start + 1000)]
        s.client.log_batch(run_id, metrics=points)
    s.note("points", len(s.client.get_metric_history(run_id, "loss")))
    token = None
    while True:
        page = s.do(
            s.tracking.get_metric_history, run_id, "loss", max_results=1100, page_token=token
        )
        if not (token := page.token):
            break
    for max_results in (0, -1, 1, 3001):
        s.do(s.tracking.get_metric_history, run_id, "loss", max_results=max_results)
    s.do(s.tracking.get_metric_history, run_id, "loss", 10, "no token")
    s.do(s.tracking.get_max_step_for_metric, run_id, "loss")
    s.do(s.tracking.get_max_step_for_metric, run_id, "absent")
    s.do(s.client.get_metric_history, run_id, "absent")


@same_as_stock
def test_bulk_histories_are_the_same(s: Side) -> None:
    runs = [s.client.create_run("0", start_time=i, run_name=f"run {i}") for i in range(3)]
    ids = [run.info.run_id for run in runs]
    for i, run_id in enumerate(ids[:2]):
        points = [Metric("loss", step * (i + 1), 5, step) for step in range(40)]
        s.client.log_batch(run_id, metrics=points)
    s.do(s.tracking.get_metric_history_bulk, ids[:1], "loss", 10)
    # Of several runs, they come in the order of the ids, which are random.
    both = s.tracking.get_metric_history_bulk(ids, "loss", 100)
    s.note("of both runs", sorted((metric.step, metric.value) for metric in both))
    s.do(s.tracking.get_metric_history_bulk, ids[2:], "loss", 10)
    s.do(s.tracking.get_metric_history_bulk, [], "loss", 10)
    for start, end in ((None, None), (5, 20), (38, 99), (20, 5)):
        s.do(s.tracking.get_metric_history_bulk_interval, [ids[0]], "loss", 10, start, end)
    s.do(s.tracking.get_metric_history_bulk_interval_from_steps, ids[0], "loss", [1, 5, 39, 99], 10)
    s.do(s.tracking.get_metric_history_bulk_interval_from_steps, ids[0], "absent", [1], 10)


# --- params ---------------------------------------------------------------------------------------


@same_as_stock
def test_a_param_may_be_repeated_but_not_changed(s: Side) -> None:
    run_id = _run(s)
    for value in ("0.1", "0.1", 0.1, "0.2", 0.10, "", None, " 0.1"):
        s.do(s.client.log_param, run_id, "rate", value)
    s.do(s.client.log_batch, run_id, params=[Param("rate", "0.1"), Param("new", "1")])
    s.do(s.client.log_batch, run_id, params=[Param("rate", "9"), Param("lost", "1")])
    s.do(s.client.get_run, run_id)


@same_as_stock
def test_params_are_taken_or_refused_alike(s: Side) -> None:
    run_id = _run(s)
    long_text = ("v" * 6000, "v" * 6001, "v" * 100_000)
    values = ("", None, True, 1e-7, [1, 2], {"a": 1}, "a\nb", "☃", "\0", *long_text)
    for i, value in enumerate(values):
        s.do(s.client.log_param, run_id, f"p{i}", value)
    for key in ("a/b c.d-e:f", "k" * 250, "k" * 251, "", "/a", "../a", "a//b", "ä", "a'b", None):
        s.do(s.client.log_param, run_id, key, "v")
    s.do(s.client.get_run, run_id)


@pytest.mark.core
@same_as_stock
def test_many_params_arrive_in_batches_of_a_hundred(s: Side) -> None:
    run_id = _run(s)
    params = [Param(f"p{i:03}", str(i)) for i in range(200)]
    s.do(s.client.log_batch, run_id, params=params[:100])
    s.do(s.client.log_batch, run_id, params=params[100:])
    s.do(s.client.log_batch, run_id, params=[Param(f"q{i}", "v") for i in range(101)])
    s.do(s.client.get_run, run_id)


# --- tags -----------------------------------------------------------------------------------------


@same_as_stock
def test_tags_set_overwrite_and_delete(s: Side) -> None:
    run_id = _run(s)
    for value in ("blue", "red", "", None, 5, True, [1], "a\nb ☃", "v" * 8000, "v" * 8001):
        s.do(s.client.set_tag, run_id, "colour", value)
        s.do(s.client.get_run, run_id)
    for key in ("mlflow.note.content", "k" * 250, "k" * 251, "", "/a", "../a", "a//b", "ä", None):
        s.do(s.client.set_tag, run_id, key, "v")
    for _ in range(2):
        s.do(s.client.delete_tag, run_id, "colour")
    s.do(s.client.delete_tag, run_id, "mlflow.runName")
    s.do(s.client.get_run, run_id)


# --- batches --------------------------------------------------------------------------------------


@pytest.mark.core
@same_as_stock
def test_a_batch_arrives_whole(s: Side) -> None:
    run_id = _run(s)
    metrics = [Metric("loss", 1.0, 5, 0), Metric("loss", 0.5, 6, 1), Metric("nan", math.nan, 7, 0)]
    params = [Param("rate", "0.1"), Param("rate", "0.1"), Param("depth", "3")]
    tags = [RunTag("colour", "blue"), RunTag("colour", "red"), RunTag("mlflow.runName", "renamed")]
    for _ in range(2):
        s.do(s.client.log_batch, run_id, metrics, params, tags)
        _history(s, run_id, "loss", "nan")
    s.do(s.client.log_batch, run_id)
    s.do(s.tracking.log_batch, run_id, (), (), ())
    s.do(s.client.get_run, run_id)


@same_as_stock
def test_batch_limits_are_mlflows(s: Side) -> None:
    run_id = _run(s)
    metrics = [Metric(f"m{i}", i, 1, 0) for i in range(1001)]
    tags = [RunTag(f"t{i}", "v") for i in range(101)]
    params = [Param(f"p{i}", "v") for i in range(101)]
    s.do(s.client.log_batch, run_id, metrics=metrics[:1000])
    s.do(s.client.log_batch, run_id, metrics=metrics)
    s.do(s.client.log_batch, run_id, tags=tags)
    s.do(s.tracking.log_batch, run_id, metrics, [], [])
    s.do(s.tracking.log_batch, run_id, [], params, [])
    s.do(s.tracking.log_batch, run_id, [], [], tags)
    s.do(s.tracking.log_batch, run_id, metrics[:900], params[:100], tags[:1])
    s.do(s.client.get_run, run_id)


@same_as_stock
def test_a_refused_item_refuses_what_mlflow_refuses_with_it(s: Side) -> None:
    run_id = _run(s)
    good = Metric("good", 1.0, 1, 0), Param("good", "1"), RunTag("good", "1")
    s.do(s.client.log_param, run_id, "rate", "0.1")
    for metric, param, tag in (
        (Metric("", 1.0, 1, 0), *good[1:]),
        (Metric("bad", "word", 1, 0), *good[1:]),
        (Metric("bad", 1.0, 1, 2**63), *good[1:]),
        (good[0], Param("rate", "9"), good[2]),
        (good[0], Param("k" * 251, "v"), good[2]),
        (good[0], Param("long", "v" * 6001), good[2]),
        (*good[:2], RunTag("../bad", "v")),
        (*good[:2], RunTag("long", "v" * 8001)),
    ):
        s.do(s.client.log_batch, run_id, [good[0], metric], [param], [tag])
        s.do(s.client.get_run, run_id)
    s.do(s.client.log_batch, run_id, params=[Param("twice", "1"), Param("twice", "2")])
    s.do(s.client.log_batch, run_id, [Param("wrong kind", "1")])
    s.do(s.client.log_batch, run_id, [None])
    s.do(s.client.get_run, run_id)


# --- runs that cannot be written ------------------------------------------------------------------

_WRITES: dict[str, Callable[[Side, str], object]] = {
    "metric": lambda s, run_id: s.do(s.client.log_metric, run_id, "m", 1.0, 1, 0),
    "param": lambda s, run_id: s.do(s.client.log_param, run_id, "p", "v"),
    "tag": lambda s, run_id: s.do(s.client.set_tag, run_id, "t", "v"),
    "deletion of a tag": lambda s, run_id: s.do(s.client.delete_tag, run_id, "mlflow.runName"),
    "batch": lambda s, run_id: s.do(
        s.client.log_batch, run_id, [Metric("b", 1, 1, 0)], [Param("b", "1")], [RunTag("b", "1")]
    ),
    "empty batch": lambda s, run_id: s.do(s.client.log_batch, run_id),
    "update": lambda s, run_id: s.do(s.client.update_run, run_id, "FAILED", "renamed"),
    "end": lambda s, run_id: s.do(s.client.set_terminated, run_id),
    "inputs": lambda s, run_id: s.do(s.client.log_inputs, run_id, []),
    "outputs": lambda s, run_id: s.do(s.client.log_outputs, run_id, []),
    "text": lambda s, run_id: s.do(s.client.log_text, run_id, "text", "a.txt"),
    "deletion": lambda s, run_id: s.do(s.client.delete_run, run_id),
    "restoration": lambda s, run_id: s.do(s.client.restore_run, run_id),
}


@pytest.mark.parametrize("what", _WRITES)
@pytest.mark.parametrize("state", ["unknown", "malformed", "deleted", "of a deleted experiment"])
def test_writes_to_other_than_active_runs(what: str, state: str, sides: tuple[Side, Side]) -> None:
    """A write to a run that is not active is refused, or done, as in MLflow."""

    def scenario(s: Side) -> None:
        experiment_id = s.do(s.client.create_experiment, "trial")
        run_id = s.client.create_run(experiment_id, start_time=1, run_name="first").info.run_id
        if state == "deleted":
            s.client.delete_run(run_id)
        elif state == "of a deleted experiment":
            s.client.delete_experiment(experiment_id)
        target = {"unknown": "0" * 32, "malformed": "no run"}.get(state, run_id)
        _WRITES[what](s, target)
        s.do(s.client.get_run, run_id)

    same_as_stock(scenario)(sides)


@same_as_stock
def test_a_deleted_experiment_takes_no_runs(s: Side) -> None:
    experiment_id = s.do(s.client.create_experiment, "trial")
    s.client.delete_experiment(experiment_id)
    s.do(s.client.create_run, experiment_id, start_time=1, run_name="lost")
    s.do(s.client.create_logged_model, experiment_id, "model")
    s.do(s.client.rename_experiment, experiment_id, "renamed")
    s.do(s.client.set_experiment_tag, experiment_id, "k", "v")
    s.do(s.client.search_runs, [experiment_id])
    s.do(s.client.search_logged_models, [experiment_id])


# --- asynchronous logging -------------------------------------------------------------------------


@same_as_stock
def test_asynchronous_logging_ends_with_the_same_run(s: Side) -> None:
    run_id = _run(s)
    pending = [
        s.client.log_metric(run_id, "loss", 1.0, timestamp=1, step=0, synchronous=False),
        s.client.log_param(run_id, "rate", "0.1", synchronous=False),
        s.client.set_tag(run_id, "colour", "blue", synchronous=False),
        s.client.log_batch(run_id, metrics=[Metric("b", 1, 1, 0)], synchronous=False),
    ]
    for operation in pending:
        operation.wait()
    refused = s.client.log_param(run_id, "rate", "0.2", synchronous=False)
    s.do(refused.wait)
    s.tracking.flush_async_logging()
    s.do(s.client.get_run, run_id)
    s.tracking.shut_down_async_logging()
