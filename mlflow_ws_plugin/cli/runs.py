"""`mlflow-ws runs list|show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from mlflow_ws_plugin.cli.output import (
    as_duration,
    as_time,
    output_option,
    print_json,
    print_table,
    sparkline,
)
from mlflow_ws_plugin.cli.target import optional_uri, target

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Metric, Run

__all__ = ["runs"]

_TAIL: Final = 3


@click.group()
def runs() -> None:
    """List runs, and show one, on the terminal.

    \b
    Example:
      mlflow-ws runs list ws://demo
    """


@runs.command("list")
@optional_uri
@click.option("-e", "--experiment", help="Only runs of this experiment.")
@click.option("-f", "--filter", "filter_string", default="", help="MLflow's search syntax.")
@click.option("-n", "--number", default=20, show_default=True, type=click.IntRange(1, 1000))
@output_option
def list_runs(
    uri: str | None, experiment: str | None, filter_string: str, number: int, output: str
) -> None:
    """List the newest runs of a workspace.

    \b
    Examples:
      mlflow-ws runs list ws://demo -n 5
      mlflow-ws runs list ws://demo -e digits -f "metrics.accuracy > 0.95" -o json
    """
    client = _client(uri)
    experiments = _experiments(client, experiment)
    found = client.search_runs(
        list(experiments),
        filter_string,
        max_results=number,
        order_by=["attributes.start_time DESC"],
    )
    if output == "json":
        print_json([_as_json(run, experiments) for run in found])
    elif found:
        columns = ("run_id", "name", "experiment", "status", "started", "took", "metrics")
        print_table(columns, [_row(run, experiments) for run in found])
    else:
        click.echo("No runs.", err=True)


@runs.command()
@click.argument("run_id")
@optional_uri
@output_option
def show(run_id: str, uri: str | None, output: str) -> None:
    """Show one run: parameters, tags, and each metric with its course and its last points.

    \b
    Example:
      mlflow-ws runs show 9f8b7c6d5e4f40318293a4b5c6d7e8f9 ws://demo
    """
    client = _client(uri)
    run = client.get_run(run_id)
    experiment = client.get_experiment(run.info.experiment_id).name
    histories = {key: client.get_metric_history(run_id, key) for key in sorted(run.data.metrics)}
    if output == "json":
        details = _as_json(run, {run.info.experiment_id: experiment})
        print_json(details | {"history": {k: _points(v) for k, v in histories.items()}})
        return
    for key, value in _described(run, experiment).items():
        click.echo(f"{key:<12} {value}")
    _section("parameters", dict(sorted(run.data.params.items())))
    _section(
        "tags", {k: v for k, v in sorted(run.data.tags.items()) if not k.startswith("mlflow.")}
    )
    for key, history in histories.items():
        _print_history(key, history)


def _client(uri: str | None) -> MlflowClient:
    from mlflow import MlflowClient

    from mlflow_ws_plugin.stores.backend import open_existing

    location = open_existing(target(uri)).location
    return MlflowClient(str(location.uri), str(location.uri))


def _experiments(client: MlflowClient, name: str | None) -> dict[str, str]:
    """Names by id: all of the workspace, or the one of that name."""
    if name is None:
        found: list[Experiment] = []
        token = None
        while token != "":
            page = client.search_experiments(page_token=token)
            found += page
            token = page.token or ""
        return {experiment.experiment_id: experiment.name for experiment in found}
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        raise click.ClickException(
            f"There is no experiment '{name}' in this workspace. See: mlflow-ws runs list"
        )
    return {experiment.experiment_id: experiment.name}


def _row(run: Run, experiments: dict[str, str]) -> dict[str, object]:
    metrics = [f"{key}={value:.4g}" for key, value in sorted(run.data.metrics.items())]
    more = f" +{len(metrics) - 2}" if len(metrics) > 2 else ""
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "experiment": experiments[run.info.experiment_id],
        "status": run.info.status,
        "started": as_time(run.info.start_time),
        "took": as_duration(run.info.start_time, run.info.end_time),
        "metrics": ", ".join(metrics[:2]) + more or None,
    }


def _as_json(run: Run, experiments: dict[str, str]) -> dict[str, Any]:
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "experiment": experiments[run.info.experiment_id],
        "status": run.info.status,
        "start_time_ms": run.info.start_time,
        "end_time_ms": run.info.end_time,
        "artifact_uri": run.info.artifact_uri,
        "metrics": run.data.metrics,
        "params": run.data.params,
        "tags": run.data.tags,
    }


def _described(run: Run, experiment: str) -> dict[str, object]:
    return {
        "run": run.info.run_id,
        "name": run.info.run_name,
        "experiment": experiment,
        "status": run.info.status,
        "started": as_time(run.info.start_time),
        "took": as_duration(run.info.start_time, run.info.end_time),
        "artifacts": run.info.artifact_uri,
    }


def _section(title: str, values: dict[str, str]) -> None:
    if values:
        click.echo(f"\n{title}")
        print_table(("name", "value"), [{"name": k, "value": v} for k, v in values.items()])


def _print_history(key: str, history: list[Metric]) -> None:
    points = sorted(history, key=lambda metric: (metric.step, metric.timestamp))
    values = [metric.value for metric in points]
    click.echo(f"\n{key}  {len(points)} points  {sparkline(values)}")
    rows = [
        {"step": m.step, "time": as_time(m.timestamp), "value": f"{m.value:.6g}"}
        for m in points[-_TAIL:]
    ]
    print_table(("step", "time", "value"), rows)


def _points(history: list[Metric]) -> list[dict[str, Any]]:
    return [{"step": m.step, "timestamp_ms": m.timestamp, "value": m.value} for m in history]
