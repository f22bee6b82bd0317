"""Experiments on a workspace behave as on MLflow's own SQLite store."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from mlflow.entities import ExperimentTag, ViewType
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from twin import WORKSPACE, Side, same_as_stock


@pytest.mark.core
@same_as_stock
def test_a_created_experiment_reads_back_the_same(s: Side) -> None:
    experiment_id = s.do(s.client.create_experiment, "trial", tags={"colour": "blue", "empty": ""})
    s.do(s.client.get_experiment, experiment_id)
    s.do(s.client.get_experiment_by_name, "trial")
    s.do(s.client.get_experiment_by_name, "Trial")
    s.do(s.client.get_experiment_by_name, "nothing")


_COUNT = [MetricAggregation(AggregationType.COUNT)]

# Every read of the tracking store that takes an experiment's id, and some that take none.
_READS = {
    "get_experiment": lambda s: s.tracking.get_experiment("0"),
    "get_experiment_by_name": lambda s: s.tracking.get_experiment_by_name("Default"),
    "search_experiments": lambda s: s.tracking.search_experiments(),
    "search_runs": lambda s: s.tracking.search_runs(["0"], "", ViewType.ALL, 10, [], None),
    "search_logged_models": lambda s: s.tracking.search_logged_models(["0"]),
    "search_traces": lambda s: s.tracking.search_traces(["0"]),
    "search_datasets": lambda s: s.tracking.search_datasets(["0"]),
    "search_issues": lambda s: s.tracking.search_issues("0"),
    "batch_get_traces": lambda s: s.tracking.batch_get_traces([], "0"),
    "batch_get_trace_infos": lambda s: s.tracking.batch_get_trace_infos([], "0"),
    "query_trace_metrics": lambda s: s.tracking.query_trace_metrics(
        ["0"], MetricViewType.TRACES, "trace_count", _COUNT
    ),
    "calculate_trace_filter_correlation": lambda s: s.tracking.calculate_trace_filter_correlation(
        ["0"], "status = 'OK'", "status = 'ERROR'"
    ),
    "find_completed_sessions": lambda s: s.tracking.find_completed_sessions("0", 0, 9),
    "list_scorers": lambda s: s.tracking.list_scorers("0"),
    "list_scorer_versions": lambda s: s.tracking.list_scorer_versions("0", "judge"),
    "list_scorers_across_experiments": lambda s: s.tracking.list_scorers_across_experiments(["0"]),
    "get_scorer": lambda s: s.tracking.get_scorer("0", "judge"),
    "list_label_schemas": lambda s: s.tracking.list_label_schemas("0"),
    "get_label_schema_by_name": lambda s: s.tracking.get_label_schema_by_name("0", "good"),
    "list_review_queues": lambda s: s.tracking.list_review_queues("0"),
    "get_review_queue_by_name": lambda s: s.tracking.get_review_queue_by_name("0", name="q"),
    "list_gateway_endpoints": lambda s: s.tracking.list_gateway_endpoints(),
    "list_secret_infos": lambda s: s.tracking.list_secret_infos(),
    "list_budget_policies": lambda s: s.tracking.list_budget_policies(),
    "search_mcp_servers": lambda s: s.tracking.search_mcp_servers(),
    "get_active_online_scorers": lambda s: s.tracking.get_active_online_scorers(),
}


# MLflow makes an experiment's first label schema when they are listed.
_MAKES_SOMETHING = {"list_label_schemas"}


@pytest.mark.parametrize("name", _READS)
def test_a_read_comes_before_the_first_write(name: str, sides: tuple[Side, Side]) -> None:
    """A read sees a new workspace with its Default experiment, and leaves nothing behind."""

    def scenario(s: Side) -> None:
        s.note("name", name)
        s.do(_READS[name], s)

    same_as_stock(scenario)(sides)
    database = sides[1].cwd.parent / "home" / "workspaces.db"
    with closing(sqlite3.connect(database)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM workspaces")}
    assert (WORKSPACE in names) == (name in _MAKES_SOMETHING)


@same_as_stock
def test_names_are_taken_and_refused_alike(s: Side) -> None:
    s.do(s.client.create_experiment, "trial")
    for name in ("trial", "Default", "", " ", None, 1, "a" * 500, "a" * 501, "a\nb", "ö/x", "../x"):
        s.do(s.client.create_experiment, name)
    s.do(s.client.search_experiments, order_by=["experiment_id ASC"])


@same_as_stock
def test_an_experiment_may_choose_its_artifact_location(s: Side) -> None:
    elsewhere = s.cwd.parent / "elsewhere"
    for i, location in enumerate((str(elsewhere), f"file://{elsewhere}", "s3://bucket/path")):
        experiment_id = s.do(s.client.create_experiment, f"trial {i}", artifact_location=location)
        run = s.do(s.client.create_run, experiment_id, start_time=1, run_name="first")
        s.note("artifact_uri", run.info.artifact_uri)
    s.do(s.client.create_experiment, "long", artifact_location="s3://bucket/" + "a" * 2100)
    s.do(s.client.create_experiment, "fragment", artifact_location="s3://bucket/a#fragment")
    s.do(s.client.create_experiment, "empty", artifact_location="")
    s.do(s.client.search_experiments, order_by=["experiment_id ASC"])


@same_as_stock
def test_rename_keeps_the_experiment_and_frees_the_name(s: Side) -> None:
    first = s.do(s.client.create_experiment, "first")
    second = s.do(s.client.create_experiment, "second")
    s.do(s.client.rename_experiment, first, "renamed")
    s.do(s.client.get_experiment, first)
    s.do(s.client.rename_experiment, second, "renamed")
    s.do(s.client.rename_experiment, second, "")
    s.do(s.client.rename_experiment, second, "first")
    s.do(s.client.rename_experiment, "777", "other")
    s.do(s.client.rename_experiment, "letters", "other")
    s.do(s.client.search_experiments, order_by=["experiment_id ASC"])


@pytest.mark.core
@same_as_stock
def test_delete_and_restore_move_experiment_and_runs_together(s: Side) -> None:
    experiment_id = s.do(s.client.create_experiment, "trial")
    kept = s.do(s.client.create_run, experiment_id, start_time=1, run_name="kept").info.run_id
    gone = s.do(s.client.create_run, experiment_id, start_time=2, run_name="gone").info.run_id
    s.do(s.client.delete_run, gone)
    for _ in range(2):
        s.do(s.client.delete_experiment, experiment_id)
    s.do(s.client.get_experiment, experiment_id)
    s.do(s.client.get_experiment_by_name, "trial")
    s.do(s.client.get_run, kept)
    for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL):
        s.do(s.client.search_experiments, view_type=view, order_by=["experiment_id ASC"])
        s.do(s.client.search_runs, [experiment_id], run_view_type=view)
    s.do(s.client.create_experiment, "trial")
    for _ in range(2):
        s.do(s.client.restore_experiment, experiment_id)
    s.do(s.client.search_runs, [experiment_id], run_view_type=ViewType.ALL)
    for unknown in ("777", "letters", "-1", "1.5"):
        s.do(s.client.delete_experiment, unknown)
        s.do(s.client.restore_experiment, unknown)
        s.do(s.client.get_experiment, unknown)


@same_as_stock
def test_the_default_experiment_deletes_and_restores_as_any_other(s: Side) -> None:
    s.do(s.client.delete_experiment, "0")
    s.do(s.client.get_experiment, "0")
    s.do(s.client.create_run, "0")
    s.do(s.client.create_experiment, "Default")
    s.do(s.client.restore_experiment, "0")
    s.do(s.client.rename_experiment, "0", "was Default")
    s.do(s.client.get_experiment, "0")
    s.do(s.client.get_experiment_by_name, "Default")
    s.do(s.client.create_run, "0", start_time=1, run_name="first")
    s.do(s.client.set_experiment_tag, "0", "colour", "blue")
    s.do(s.client.search_experiments)


@same_as_stock
def test_experiment_0_may_be_a_number(s: Side) -> None:
    s.do(s.client.create_run, 0, start_time=1, run_name="first")
    s.do(s.client.set_experiment_tag, 0, "k", "v")
    s.do(s.client.get_experiment, 0)
    s.do(s.client.search_runs, [0])
    s.do(s.client.search_logged_models, [0])
    s.do(s.client.rename_experiment, 0, "renamed")
    s.do(s.client.delete_experiment, 0)
    s.do(s.client.restore_experiment, 0)


@same_as_stock
def test_experiment_0_may_be_spelled_as_mlflow_takes_it(s: Side) -> None:
    s.do(s.client.create_run, "0", start_time=1, run_name="first")
    for spelling in ("00", " 0", "", None):
        s.do(s.client.get_experiment, spelling)
    s.do(s.client.search_runs, ["00"])


@same_as_stock
def test_experiment_tags_set_overwrite_and_delete(s: Side) -> None:
    experiment_id = s.do(s.client.create_experiment, "trial", tags={"colour": "blue"})
    s.do(s.client.set_experiment_tag, experiment_id, "colour", "red")
    s.do(s.client.set_experiment_tag, experiment_id, "number", 5)
    s.do(s.client.set_experiment_tag, experiment_id, "multi", "line 1\nline 2 ü ☃")
    s.do(s.client.set_experiment_tag, experiment_id, "long", "v" * 5000)
    s.do(s.client.set_experiment_tag, experiment_id, "too long", "v" * 5001)
    s.do(s.client.set_experiment_tag, experiment_id, "k" * 250, "v")
    s.do(s.client.set_experiment_tag, experiment_id, "k" * 251, "v")
    for key in ("", "a/b.c-d e_f", "../x", "/x", "a//b", "tab\tkey", "a:b", "☃", None):
        s.do(s.client.set_experiment_tag, experiment_id, key, "v")
    for _ in range(2):
        s.do(s.client.delete_experiment_tag, experiment_id, "colour")
    s.do(s.client.set_experiment_tag, "777", "k", "v")
    s.do(s.client.delete_experiment_tag, "777", "k")
    s.do(s.client.get_experiment, experiment_id)
    s.do(s.client.delete_experiment, experiment_id)
    s.do(s.client.set_experiment_tag, experiment_id, "k", "v")
    s.do(s.client.delete_experiment_tag, experiment_id, "number")
    s.do(s.tracking.create_experiment, "tagged", tags=[ExperimentTag("k" * 251, "v")])
    s.do(s.tracking.create_experiment, "tagged", tags=[ExperimentTag("k", None)])


@same_as_stock
def test_search_filters_orders_and_pages_experiments(s: Side) -> None:
    for i, name in enumerate(("alpha", "Beta", "gamma", "alphabet", "50%_x", "quote's")):
        s.do(s.client.create_experiment, name, tags={"rank": str(i % 3), "with space": name})
    for filter_string in (
        "name = 'alpha'",
        "name != 'alpha'",
        "name LIKE 'alpha%'",
        "name ILIKE 'BETA'",
        "name LIKE '%\\%%'",
        'name = "quote\'s"',
        "tags.rank = '1'",
        "tags.rank != '1'",
        "tags.`with space` LIKE '%a%'",
        "tags.rank = '0' AND name ILIKE '%A%'",
        "attribute.name = 'gamma'",
        "creation_time > 1000",
        "last_update_time < 1000",
        "tags.rank > '1'",
        "name = alpha",
        "name IN ('alpha', 'gamma')",
        "nothing = '1'",
        "creation_time > 'x'",
        "metrics.m > 1",
        "name = 'a' OR name = 'b'",
        "name =",
        "DROP TABLE experiments",
    ):
        s.do(s.client.search_experiments, filter_string=filter_string, order_by=["name"])
    for order_by in (["name"], ["name DESC"], ["experiment_id ASC"], ["creation_time", "name"]):
        s.do(s.client.search_experiments, order_by=order_by)
    for order_by in (["tags.rank"], ["nothing"], ["name SIDEWAYS"], "name"):
        s.do(s.client.search_experiments, order_by=order_by)
    for max_results in (0, -1, 50_001, "5", None):
        s.do(s.client.search_experiments, max_results=max_results)
    page = s.do(s.client.search_experiments, max_results=3, order_by=["name"])
    while page.token:
        page = s.do(
            s.client.search_experiments, max_results=3, order_by=["name"], page_token=page.token
        )
    s.do(s.client.search_experiments, page_token="no token")
