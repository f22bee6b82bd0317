"""Inputs, outputs and logged models behave as on MLflow's own SQLite store."""

from __future__ import annotations

import pytest
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
)
from twin import Side, same_as_stock


def _run(s: Side, start_time: int = 1, name: str = "first") -> str:
    return s.client.create_run("0", start_time=start_time, run_name=name).info.run_id


def _dataset(name: str, digest: str = "d1", **kwargs: str) -> Dataset:
    return Dataset(name, digest, "local", "/data", **kwargs)


# --- datasets of runs -----------------------------------------------------------------------------


@same_as_stock
def test_dataset_inputs_read_back_and_are_shared_between_runs(s: Side) -> None:
    first, second = _run(s), _run(s, 2, "second")
    train = DatasetInput(
        _dataset("iris", schema="{}", profile="{}"), [InputTag("mlflow.data.context", "train")]
    )
    other = DatasetInput(_dataset("iris", "d2"), [])
    for run_id in (first, first, second):
        s.do(s.client.log_inputs, run_id, [train])
    s.do(s.client.log_inputs, second, [other, train, other])
    for run_id in (first, second):
        s.do(s.client.get_run, run_id)
    for filter_string in (
        "dataset.name = 'iris'",
        "dataset.digest = 'd2'",
        "dataset.context = 'train'",
        "dataset.context LIKE 'tr%'",
        "datasets.name IN ('iris', 'x')",
        "dataset.name != 'iris'",
        "dataset.nothing = 'x'",
    ):
        s.do(s.client.search_runs, ["0"], filter_string, order_by=["start_time"])
    experiment_id = s.client.get_run(first).info.experiment_id
    found = s.tracking._search_datasets([experiment_id])
    s.note("datasets", sorted((d.name, d.digest, d.context or "") for d in found))


@same_as_stock
def test_the_ui_finds_the_datasets_of_experiment_0(s: Side) -> None:
    s.client.log_inputs(_run(s), [DatasetInput(_dataset("iris"))])
    s.do(s.tracking._search_datasets, ["0"])


@same_as_stock
def test_dataset_inputs_are_taken_or_refused_alike(s: Side) -> None:
    run_id = _run(s)
    for dataset in (
        _dataset("n" * 501),
        _dataset("n", "d" * 37),
        _dataset("n", schema="s" * 1_100_000),
        _dataset("n", profile="p" * 17_000_000),
        _dataset(""),
        _dataset("n", ""),
        Dataset(None, None, None, None),
    ):
        s.do(s.client.log_inputs, run_id, [DatasetInput(dataset)])
    for tag in (InputTag("", "v"), InputTag("k" * 256, "v"), InputTag("k", "v" * 501)):
        s.do(s.client.log_inputs, run_id, [DatasetInput(_dataset("tagged"), [tag])])
    s.do(s.client.log_inputs, run_id)
    s.do(s.client.log_inputs, run_id, [None])
    s.do(s.client.get_run, run_id)


# --- logged models --------------------------------------------------------------------------------


@pytest.mark.core
@same_as_stock
def test_a_logged_model_reads_back_the_same(s: Side) -> None:
    run_id = _run(s)
    model = s.do(
        s.client.create_logged_model, "0", "net", run_id, {"colour": "blue"}, {"depth": "3"}, "mlp"
    )
    s.do(s.client.get_logged_model, model.model_id)
    s.do(s.client.finalize_logged_model, model.model_id, "READY")
    s.do(s.client.finalize_logged_model, model.model_id, LoggedModelStatus.FAILED)
    s.do(s.client.finalize_logged_model, model.model_id, "SLEEPING")
    s.do(s.client.get_logged_model, model.model_id)
    unnamed = s.client.create_logged_model("0")
    s.note("a random name is given", bool(unnamed.name))
    for name in ("", "a/b", "a:b", "a.b", "a%b", "a'b", 'a"b', "n" * 251, "n" * 600, "ü", 5):
        s.do(s.client.create_logged_model, "0", name)
    s.do(s.client.create_logged_model, "777", "net")
    s.do(s.client.create_logged_model, "letters", "net")
    s.do(s.client.create_logged_model, "0", "net", model_type="t" * 600)


@same_as_stock
def test_tags_and_params_of_logged_models(s: Side) -> None:
    model_id = s.do(s.client.create_logged_model, "0", "net", tags={"a": "1"}).model_id
    s.do(s.client.set_logged_model_tags, model_id, {"a": "2", "b": 3, "long": "v" * 8001})
    s.do(s.client.set_logged_model_tags, model_id, {"a": "2", "b": 3})
    s.do(s.client.set_logged_model_tags, model_id, {"k" * 251: "v"})
    s.do(s.client.set_logged_model_tags, model_id, {})
    for _ in range(2):
        s.do(s.client.delete_logged_model_tag, model_id, "a")
    for params in ({"depth": "3"}, {"depth": "3"}, {"depth": "4"}, {}, {"long": "v" * 6001}):
        s.do(s.client.log_model_params, model_id, params)
    s.do(s.tracking.log_logged_model_params, model_id, [LoggedModelParameter("k" * 251, "v")])
    s.do(s.tracking.set_logged_model_tags, model_id, [LoggedModelTag("store", "v")])
    s.do(s.client.get_logged_model, model_id)


@same_as_stock
def test_a_deleted_logged_model_is_gone_for_readers(s: Side) -> None:
    model_id = s.do(s.client.create_logged_model, "0", "net").model_id
    for _ in range(2):
        s.do(s.client.delete_logged_model, model_id)
    s.do(s.client.get_logged_model, model_id)
    s.do(s.tracking.get_logged_model, model_id, allow_deleted=True)
    s.do(s.client.search_logged_models, ["0"])
    s.do(s.client.finalize_logged_model, model_id, "READY")
    s.do(s.client.set_logged_model_tags, model_id, {"a": "1"})
    s.do(s.client.log_model_params, model_id, {"a": "1"})
    for unknown in ("m-" + "0" * 32, "letters", "", None):
        s.do(s.client.get_logged_model, unknown)
        s.do(s.client.delete_logged_model, unknown)
        s.do(s.client.finalize_logged_model, unknown, "READY")
        s.do(s.client.set_logged_model_tags, unknown, {"a": "1"})
        s.do(s.client.delete_logged_model_tag, unknown, "a")
        s.do(s.client.log_model_params, unknown, {"a": "1"})


@same_as_stock
def test_metrics_of_logged_models_follow_the_runs(s: Side) -> None:
    run_id = _run(s)
    model_id = s.do(s.client.create_logged_model, "0", "net", run_id).model_id
    s.do(s.client.log_inputs, run_id, [DatasetInput(_dataset("iris"))])
    s.do(s.client.log_metric, run_id, "loss", 1.0, 1, 0, model_id=model_id)
    s.do(
        s.client.log_metric,
        run_id,
        "loss",
        0.5,
        timestamp=2,
        step=1,
        model_id=model_id,
        dataset_name="iris",
        dataset_digest="d1",
    )
    metrics = [Metric("acc", 0.1 * i, i, i, model_id, "iris", "d1") for i in range(3)]
    s.do(s.client.log_batch, run_id, metrics)
    s.do(s.client.get_logged_model, model_id)
    s.do(s.client.get_metric_history, run_id, "loss")
    s.do(s.client.get_run, run_id)
    for filter_string in ("metrics.loss < 0.9", "metrics.acc >= 0.2", "metrics.loss > 0.9"):
        s.do(s.client.search_logged_models, ["0"], filter_string)
        for datasets in ([{"dataset_name": "iris"}], [{"dataset_name": "other"}], [{}]):
            s.do(s.client.search_logged_models, ["0"], filter_string, datasets=datasets)


@same_as_stock
def test_inputs_and_outputs_link_runs_and_models(s: Side) -> None:
    trainer, scorer = _run(s), _run(s, 2, "scorer")
    models = [s.do(s.client.create_logged_model, "0", name, trainer).model_id for name in "ab"]
    s.do(s.client.log_outputs, trainer, [LoggedModelOutput(m, i) for i, m in enumerate(models)])
    s.do(s.client.log_outputs, trainer, [LoggedModelOutput(models[0], 0)])
    s.do(s.client.log_inputs, scorer, models=[LoggedModelInput(models[0])])
    s.do(s.client.log_inputs, scorer, models=[LoggedModelInput(models[0])])
    s.do(s.client.log_inputs, scorer, models=[])
    for run_id in (trainer, scorer):
        s.do(s.client.get_run, run_id)
    s.client.delete_logged_model(models[0])
    s.do(s.client.get_run, trainer)


def _fill(s: Side) -> list[str]:
    experiments = [s.client.create_experiment("one"), s.client.create_experiment("two")]
    for i in range(8):
        run_id = s.client.create_run(experiments[i % 2], 1 + i, run_name=f"r{i}").info.run_id
        model = s.client.create_logged_model(
            experiments[i % 2],
            f"model {i}",
            run_id,
            {"even": str(i % 2 == 0)},
            {"depth": str(i)},
            "mlp" if i < 4 else "tree",
        )
        s.client.log_metric(run_id, "loss", (i - 3) / 2, 1, 0, model_id=model.model_id)
        if i % 3 == 0:
            s.client.finalize_logged_model(model.model_id, "READY")
    return experiments


def _names(s: Side, *args: object, **kwargs: object) -> list[str]:
    return [model.name for model in s.client.search_logged_models(*args, **kwargs)]


@same_as_stock
def test_search_selects_and_orders_logged_models(s: Side) -> None:
    experiments = _fill(s)
    by_name = [{"field_name": "name"}]
    for filter_string in (
        None,
        "name = 'model 3'",
        "name LIKE 'model%'",
        "name ILIKE 'MODEL 1'",
        "name != 'model 3'",
        "attributes.model_type = 'tree'",
        "status = 'READY'",
        "status = 'PENDING' AND tags.even = 'True'",
        "tags.even = 'False'",
        "tags.absent = 'x'",
        "params.depth = '5'",
        "params.depth != '5'",
        "metrics.loss > 0",
        "metrics.loss <= 0 AND params.depth LIKE '%'",
        "metrics.absent > 0",
        "creation_timestamp > 5",
        "creation_time_ms > 5",
        "source_run_id = 'x'",
        "model_id = 'x'",
        "name IN ('model 1', 'model 2')",
        "nothing = 'x'",
        "name = model",
        "tags.even = 'True' OR tags.even = 'False'",
        "metrics.loss > 'x'",
    ):
        s.do(_names, s, experiments, filter_string, order_by=by_name)
    for order_by in (
        [{"field_name": "name", "ascending": False}],
        [{"field_name": "metrics.loss", "ascending": True}],
        [{"field_name": "metrics.loss", "ascending": False}],
        [{"field_name": "model_type"}, *by_name],
        [{"field_name": "nothing"}],
        [{"ascending": True}],
        [{"field_name": "metrics.loss", "dataset_name": "iris"}],
        [{"field_name": "name", "dataset_name": "iris"}],
        "name",
    ):
        s.do(_names, s, experiments, order_by=order_by)
    for chosen in (experiments[:1], [], ["777"], ["letters"], experiments * 2, None):
        s.do(_names, s, chosen, order_by=by_name)


@same_as_stock
def test_search_pages_logged_models(s: Side) -> None:
    experiments = _fill(s)
    order_by = [{"field_name": "name"}]
    token = None
    while True:
        page = s.client.search_logged_models(
            experiments, max_results=3, order_by=order_by, page_token=token
        )
        s.note("page", [model.name for model in page])
        if not (token := page.token):
            break
    for max_results in (0, -1, 50, 51, 1000):
        s.do(_names, s, experiments, max_results=max_results, order_by=order_by)
    s.do(_names, s, experiments, page_token="no token")
    first = s.client.search_logged_models(experiments, max_results=3, order_by=order_by)
    s.do(_names, s, experiments[:1], max_results=3, order_by=order_by, page_token=first.token)


@pytest.mark.core
@same_as_stock
def test_artifacts_of_logged_models(s: Side) -> None:
    model_id = s.do(s.client.create_logged_model, "0", "net").model_id
    s.write("model/MLmodel", "flavors: {}")
    s.write("model/data/weights.bin", b"\0\1\2")
    s.do(s.client.log_model_artifacts, model_id, str(s.write("x", "").parent / "model"))
    s.do(s.client.log_model_artifact, model_id, str(s.write("note.txt", "text")))
    s.do(s.client.list_logged_model_artifacts, model_id)
    s.do(s.client.list_logged_model_artifacts, model_id, "data")
    s.do(s.client.list_logged_model_artifacts, model_id, "absent")
    s.do(s.client.list_logged_model_artifacts, model_id, "../x")
    s.do(s.client.finalize_logged_model, model_id, "READY")
    s.do(s.client.delete_logged_model, model_id)
    s.do(s.client.list_logged_model_artifacts, model_id)
    s.do(s.client.log_model_artifact, model_id, str(s.write("note.txt", "text")))
