"""Runs, and the search for them, behave as on MLflow's own SQLite store."""

from __future__ import annotations

import pytest
from mlflow.entities import RunStatus, RunTag, ViewType
from twin import Side, same_as_stock

_VIEWS = (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL)


def _experiment(s: Side, name: str = "trial") -> str:
    return s.do(s.client.create_experiment, name)


def _run(s: Side, experiment_id: str, start_time: int = 1, name: str = "first") -> str:
    run = s.do(s.client.create_run, experiment_id, start_time=start_time, run_name=name)
    return run.info.run_id


@same_as_stock
def test_a_created_run_reads_back_the_same(s: Side) -> None:
    experiment_id = _experiment(s)
    tags = {"colour": "blue", "mlflow.user": "somebody", "mlflow.note.content": "**note**"}
    run = s.do(s.client.create_run, experiment_id, start_time=5, tags=tags, run_name="first")
    s.do(s.client.get_run, run.info.run_id)
    s.do(s.client.create_run, "0", start_time=1, run_name="0")
    s.do(s.client.create_run, "0", start_time=1, tags={"mlflow.runName": "by tag"})
    s.do(s.client.create_run, "0", start_time=1, run_name="a", tags={"mlflow.runName": "b"})
    s.do(s.client.create_run, "0", start_time=1, run_name="n", tags={"k" * 251: "v"})
    s.do(s.client.create_run, "0", start_time=1, run_name="n", tags={"k": "v" * 8001})
    s.do(s.client.create_run, "0", start_time=1, run_name="n" * 251)
    s.do(s.tracking.create_run, "0", "me", 3, [RunTag("k", "v")], "by the store")
    named = s.client.create_run("0")
    s.note("a random name is given", bool(named.info.run_name))
    unnamed = s.client.create_run("0", start_time=0, run_name="")
    s.note("a random name is given", bool(unnamed.info.run_name))
    for unknown in ("777", "letters", "-1"):
        s.do(s.client.create_run, unknown, start_time=1, run_name="lost")


@same_as_stock
def test_unknown_runs_are_refused_alike(s: Side) -> None:
    for run_id in ("0" * 32, "letters", "", "../x", "a" * 300, None):
        s.do(s.client.get_run, run_id)
        s.do(s.client.get_parent_run, run_id)
        s.do(s.client.delete_run, run_id)
        s.do(s.client.restore_run, run_id)
        s.do(s.client.set_terminated, run_id)
    s.do(s.client.search_runs, ["0"])


@same_as_stock
def test_status_end_time_and_name_update(s: Side) -> None:
    run_id = _run(s, _experiment(s))
    for status in RunStatus.all_status():
        s.do(s.client.update_run, run_id, status=RunStatus.to_string(status))
        s.do(s.client.get_run, run_id)
    s.do(s.client.update_run, run_id, status="SLEEPING")
    s.do(s.client.update_run, run_id, name="renamed")
    s.do(s.client.update_run, run_id)
    s.do(s.client.set_terminated, run_id, status="KILLED", end_time=9)
    s.do(s.client.get_run, run_id)
    s.do(s.client.set_terminated, run_id)
    s.do(s.client.get_run, run_id)
    s.do(s.client.set_tag, run_id, "mlflow.runName", "by tag")
    s.do(s.client.get_run, run_id)
    s.do(s.client.update_run, run_id, name="")
    s.do(s.client.update_run, run_id, name="n" * 1000)
    s.do(s.tracking.update_run_info, run_id, RunStatus.FINISHED, 77, None)
    s.do(s.tracking.update_run_info, run_id, None, None, "by the store")
    s.do(s.client.get_run, run_id)


@same_as_stock
def test_deleted_runs_read_and_restore_but_do_not_change(s: Side) -> None:
    experiment_id = _experiment(s)
    run_id, _ = _run(s, experiment_id), _run(s, experiment_id, 2, "second")
    for _ in range(2):
        s.do(s.client.delete_run, run_id)
    s.do(s.client.get_run, run_id)
    for view in _VIEWS:
        s.do(s.client.search_runs, [experiment_id], run_view_type=view)
    s.do(s.client.update_run, run_id, status="FAILED")
    s.do(s.client.set_terminated, run_id)
    for _ in range(2):
        s.do(s.client.restore_run, run_id)
    s.do(s.client.get_run, run_id)


@pytest.mark.core
@same_as_stock
def test_nested_runs_know_their_parents(s: Side) -> None:
    experiment_id = _experiment(s)
    parent = _run(s, experiment_id)
    tags = {"mlflow.parentRunId": parent}
    child = s.do(s.client.create_run, experiment_id, 2, tags, "child").info.run_id
    s.do(s.client.get_parent_run, child)
    s.do(s.client.get_parent_run, parent)
    s.do(s.client.search_runs, [experiment_id], f"tags.mlflow.parentRunId = '{parent}'")
    s.do(s.client.delete_run, parent)
    s.do(s.client.get_run, child)
    s.do(s.client.get_parent_run, child)


def _fill(s: Side) -> list[str]:
    """Three experiments with runs that differ in everything that a search may ask for."""
    experiments = [s.client.create_experiment(name) for name in ("one", "two", "three")]
    for i in range(12):
        run = s.client.create_run(experiments[i % 3], 100 + i, {"even": str(i % 2)}, f"run {i:02}")
        run_id = run.info.run_id
        s.client.log_metric(run_id, "loss", (i - 6) / 4, step=i)
        s.client.log_metric(run_id, "odd/key name", i)
        s.client.log_param(run_id, "rate", 10**-i)
        s.client.set_tag(run_id, "owner", "ann" if i < 6 else "Bob")
        if i % 4 == 0:
            s.client.log_metric(run_id, "nan", float("nan"))
            s.client.log_metric(run_id, "inf", float("inf") if i else float("-inf"))
            s.client.log_param(run_id, "empty", "")
            s.client.set_terminated(run_id, "FAILED" if i else "FINISHED", end_time=200 + i)
        if i == 11:
            s.client.delete_run(run_id)
    return experiments


def _names(s: Side, *args: object, **kwargs: object) -> list[str]:
    return [run.info.run_name for run in s.client.search_runs(*args, **kwargs)]


_FILTERS = {
    "metrics": [
        "metrics.loss > 0",
        "metrics.loss >= 0 AND metrics.loss < 1",
        "metrics.loss = 0",
        "metrics.loss != 0",
        "metrics.`odd/key name` <= 3",
        'metrics."odd/key name" = 7',
        "metrics.nan > 0",
        "metrics.nan = 0",
        "metrics.inf > 1e300",
        "metrics.inf < -1e300",
        "metrics.absent > 0",
        "metrics.loss > '0'",
        "metrics.loss LIKE '1'",
        "metric.loss > 0",
        "metrics.loss",
        "metrics.loss > 0 AND",
    ],
    "params": [
        "params.rate = '0.01'",
        "params.rate != '0.01'",
        "params.rate LIKE '1e-%'",
        "params.rate ILIKE '1E-%'",
        "params.rate > '0'",
        "params.empty = ''",
        "params.empty IS NOT NULL",
        "parameters.rate = '1'",
    ],
    "tags": [
        "tags.even = '1' AND params.rate LIKE '%0%'",
        "tags.owner LIKE 'B%'",
        "tags.owner ILIKE 'b%'",
        "tags.owner = 'ann' AND metrics.loss < -1",
        "tags.absent = 'x'",
        "tags.absent != 'x'",
        "tags.`mlflow.runName` = 'run 03'",
        "tags.owner IS NULL",
        "tags.absent IS NULL",
        "tags.owner IS NOT NULL",
        "tags.even IN ('1')",
        "tags.even = 1",
        'tags.owner = "ann"',
        "tags.owner = ann",
    ],
    "attributes": [
        "attributes.status = 'FAILED'",
        "attributes.status != 'RUNNING'",
        "status = 'finished'",
        "attribute.status > 'A'",
        "attributes.run_name = 'run 05'",
        "run_name LIKE 'run 1%'",
        "attributes.`run name` ILIKE 'RUN 0%'",
        "attributes.start_time >= 106",
        "start_time > 103 AND start_time < 106",
        "attributes.end_time > 200",
        "attributes.artifact_uri LIKE '%artifacts'",
        "attributes.user_id = 'unknown'",
        "attributes.run_id IN ('0', '1')",
        "attributes.run_id NOT IN ('0', '1')",
        "status IN ('FAILED', 'FINISHED')",
    ],
    "refused": [
        "",
        "attributes.nothing = 'x'",
        "tags.even = '1' OR tags.even = '0'",
        "tags.even == '1'",
        "AND metrics.loss > 0",
        "(metrics.loss > 0)",
        "metrics.loss > 0; DROP TABLE runs",
        "dataset.name = 'x'",
        "dataset.digest LIKE 'x%'",
        "dataset.context = 'train'",
        "inputs.x = '1'",
        "'ann' = tags.owner",
    ],
}


@pytest.mark.parametrize("about", _FILTERS)
def test_filters_select_the_same_runs(about: str, sides: tuple[Side, Side]) -> None:
    """A filter selects the same runs, or is refused alike."""

    def scenario(s: Side) -> None:
        experiments = _fill(s)
        s.do(_names, s, experiments, run_view_type=ViewType.ALL)
        for filter_string in _FILTERS[about]:
            s.do(_names, s, experiments, filter_string, order_by=["attributes.start_time"])

    same_as_stock(scenario)(sides)


@same_as_stock
def test_search_selects_by_experiment_and_view(s: Side) -> None:
    one, two, three = _fill(s)
    for experiments in ([one], [one, two], [three, three], [], ["777"], [one, "777"], ["0"]):
        for view in _VIEWS:
            s.do(_names, s, experiments, run_view_type=view)
    s.do(_names, s, [int(one)])
    s.do(_names, s, ["letters"])
    s.do(_names, s, one)
    s.do(_names, s, None)
    s.do(s.client.search_runs, [one], order_by=["attributes.start_time"])
    s.client.delete_experiment(two)
    for view in _VIEWS:
        s.do(_names, s, [one, two], run_view_type=view)


@pytest.mark.core
@same_as_stock
def test_search_orders_alike(s: Side) -> None:
    experiments = _fill(s)
    for order_by in (
        ["metrics.loss"],
        ["metrics.loss DESC"],
        ["metrics.nan", "start_time"],
        ["metrics.nan DESC", "start_time"],
        ["metrics.inf ASC", "start_time"],
        ["metrics.inf DESC", "start_time"],
        ["metrics.`odd/key name` DESC"],
        ["metrics.absent", "attributes.start_time"],
        ["params.rate"],
        ["params.rate DESC"],
        ["params.empty", "start_time DESC"],
        ["tags.owner", "start_time"],
        ["tags.owner DESC", "start_time DESC"],
        ["tags.even", "tags.owner", "start_time"],
        ["attributes.end_time", "start_time"],
        ["attributes.end_time DESC", "start_time"],
        ["attributes.status", "start_time"],
        ["run_name DESC"],
        ["attributes.`Run Name`"],
        ["start_time", "start_time"],
        [],
        None,
        ["nothing.x"],
        ["attributes.nothing"],
        ["metrics.loss SIDEWAYS"],
        ["metrics.loss, start_time"],
        [""],
        "metrics.loss",
    ):
        s.do(_names, s, experiments, order_by=order_by)


@pytest.mark.core
@same_as_stock
def test_search_pages_alike(s: Side) -> None:
    experiments = _fill(s)
    for page_size in (1, 5, 11, 100):
        token = None
        while True:
            page = s.client.search_runs(
                experiments, max_results=page_size, order_by=["start_time"], page_token=token
            )
            s.note(f"pages of {page_size}", [run.info.run_name for run in page])
            if not (token := page.token):
                break
    for max_results in (0, -1, 50_000, 50_001, "5", None):
        s.do(_names, s, experiments, max_results=max_results)
    s.do(_names, s, experiments, page_token="no token")
