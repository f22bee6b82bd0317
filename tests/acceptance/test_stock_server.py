"""No lock-in: a stock `mlflow server` opens what we wrote, and we open what it wrote."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

WRITE = """
import json, sys
import mlflow

mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_run(run_name="direct") as run:
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_params({"depth": "3"})
    mlflow.set_tag("who", "direct")
    with open("data.bin", "wb") as file:
        file.write(bytes(range(256)))
    mlflow.log_artifact("data.bin", "raw/deep")
client = mlflow.MlflowClient()
client.create_registered_model("net", tags={"k": "v"}, description="a model")
source = f"runs:/{run.info.run_id}/raw"
version = client.create_model_version("net", f"{run.info.artifact_uri}/raw", run.info.run_id)
client.set_registered_model_alias("net", "best", version.version)

@mlflow.trace(name="answer")
def answer(question):
    return question.upper()

answer("why")
trace_id = mlflow.get_last_active_trace_id()
mlflow.flush_trace_async_logging()
print(json.dumps({
    "run_id": run.info.run_id,
    "experiment_id": run.info.experiment_id,
    "trace_id": trace_id,
}))
"""

READ = """
import json, os, sys
import mlflow
from mlflow.artifacts import download_artifacts

run_id, trace_id = sys.argv[1:3]
client = mlflow.MlflowClient()
run = client.get_run(run_id)
trace = client.get_trace(trace_id) if trace_id else None
try:
    version = client.get_model_version_by_alias("net", "best")
    model = client.get_registered_model("net")
except mlflow.MlflowException:
    version = model = None
path = download_artifacts(artifact_uri=f"{run.info.artifact_uri}/raw/deep/data.bin", dst_path=".")
with open(path, "rb") as file:
    content = file.read().hex()
print(json.dumps({
    "name": run.info.run_name,
    "status": run.info.status,
    "experiment": client.get_experiment(run.info.experiment_id).name,
    "metrics": [[m.step, m.value] for m in client.get_metric_history(run_id, "loss")],
    "params": run.data.params,
    "who": run.data.tags["who"],
    "listed": [
        [f.path, f.is_dir, f.file_size] for f in client.list_artifacts(run_id, "raw/deep")
    ],
    "artifact": content,
    "found": [
        r.info.run_id
        for r in client.search_runs([run.info.experiment_id], "metrics.loss < 0.5")
    ],
    "version": version and [
        version.name, str(version.version), version.run_id, list(version.aliases)
    ],
    "model": model and [model.description, model.tags],
    "trace": trace and [[s.name, s.inputs, s.outputs] for s in trace.data.spans],
}))
"""

EXPECTED = {
    "name": "direct",
    "status": "FINISHED",
    "experiment": "Default",
    "metrics": [[0, 1.0], [1, 0.5], [2, 1 / 3]],
    "params": {"depth": "3"},
    "who": "direct",
    "listed": [["raw/deep/data.bin", False, 256]],
    "artifact": bytes(range(256)).hex(),
    "model": ["a model", {"k": "v"}],
    "trace": [["answer", {"question": "why"}, "WHY"]],
}

WRITE_THROUGH_SERVER = """
import json
import mlflow

mlflow.set_experiment("from-server")
with mlflow.start_run(run_name="served") as run:
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_params({"depth": "4"})
    mlflow.set_tag("who", "server")
    with open("data.bin", "wb") as file:
        file.write(bytes(range(255, -1, -1)))
    mlflow.log_artifact("data.bin", "raw/deep")

@mlflow.trace(name="served")
def answer(question):
    return question.lower()

answer("WHY")
trace_id = mlflow.get_last_active_trace_id()
mlflow.flush_trace_async_logging()
print(json.dumps({"run_id": run.info.run_id, "trace_id": trace_id}))
"""

PLAIN_SCRIPT = """
import json
import mlflow

with mlflow.start_run() as run:
    mlflow.log_metric("m", 7)
    mlflow.log_text("hello", "note.txt")
read = mlflow.MlflowClient().get_run(run.info.run_id)
print(json.dumps([
    read.data.metrics, mlflow.artifacts.load_text(f"{run.info.artifact_uri}/note.txt"),
    mlflow.get_experiment(read.info.experiment_id).name,
]))
"""


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


DEFAULT_WORKSPACE = "SELECT * FROM workspaces WHERE name = 'default'"
DEFAULT_EXPERIMENTS = (
    "SELECT experiment_id, name, artifact_location, lifecycle_stage, workspace "
    "FROM experiments WHERE workspace = 'default'"
)


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    without_plugin: dict[str, str],
    scripts: Any,
    serve: Any,
    clean_environment: Any,
) -> Iterator[SimpleNamespace]:
    """A home that was written directly, and then opened by a stock server."""
    base = tmp_path_factory.mktemp("stock")
    home = base / "home"
    uri = f"ws://{home.as_posix()}/team"
    written = scripts.run(WRITE, uri, cwd=base, env=clean_environment())
    before_server = {
        "workspace": rows(home / "workspaces.db", DEFAULT_WORKSPACE),
        "experiments": rows(home / "workspaces.db", DEFAULT_EXPERIMENTS),
    }
    database = f"sqlite:///{home}/workspaces.db"
    command = ("server", "--backend-store-uri", database, "--enable-workspaces")
    artifacts = ("--artifacts-destination", str(home / "artifacts"))
    mlflow = (sys.executable, "-m", "mlflow")
    # Nobody asks MLflow's job runner and its seven processes for anything here.
    env = {**without_plugin, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with serve(*mlflow, *command, *artifacts, cwd=base, env=env) as server:
        yield SimpleNamespace(
            base=base,
            home=home,
            uri=uri,
            written=written,
            before_server=before_server,
            server=server,
            served={
                **without_plugin,
                "MLFLOW_TRACKING_URI": server.url,
                "MLFLOW_WORKSPACE": "team",
            },
            direct={**clean_environment(), "MLFLOW_TRACKING_URI": uri},
        )


def test_the_server_process_has_never_heard_of_the_plugin(
    world: SimpleNamespace, processes_without_plugin: Any
) -> None:
    seen = processes_without_plugin()
    assert world.server.process_id in seen
    assert set(seen.values()) == {0}


def test_a_client_of_the_server_environment_cannot_import_the_plugin(
    world: SimpleNamespace, scripts: Any, scripts_without_plugin: Any
) -> None:
    code = """
import importlib.metadata, importlib.util, json
from mlflow.tracking._tracking_service.utils import _tracking_store_registry
def found():
    try:
        importlib.metadata.distribution("mlflow-ws-plugin")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
def importable():
    try:
        import mlflow_ws_plugin
    except ModuleNotFoundError:
        return False
    return True
print(json.dumps([found(), importable(), "ws" in _tracking_store_registry._registry]))
"""
    assert scripts_without_plugin.run(code, env=world.served) == [False] * 3
    # The same questions where the plugin is installed: they can be answered otherwise.
    assert scripts.run(code, env=world.direct) == [True] * 3


def test_a_stock_server_shows_all_that_was_written_directly(
    world: SimpleNamespace, scripts_without_plugin: Any
) -> None:
    run_id, trace_id = world.written["run_id"], world.written["trace_id"]
    client = scripts_without_plugin
    seen = client.run(READ, run_id, trace_id, cwd=world.base, env=world.served)
    assert seen == {**EXPECTED, "found": [run_id], "version": ["net", "1", run_id, ["best"]]}


def test_what_a_stock_server_wrote_reads_the_same_directly(
    world: SimpleNamespace, scripts: Any, scripts_without_plugin: Any
) -> None:
    """A run with metrics, parameters, tags and artifact bytes, and a trace."""
    client = scripts_without_plugin
    written = client.run(WRITE_THROUGH_SERVER, cwd=world.base, env=world.served)
    ids = written["run_id"], written["trace_id"]
    served = client.run(READ, *ids, cwd=world.base, env=world.served)
    direct = scripts.run(READ, *ids, cwd=world.base, env=world.direct)
    assert direct["artifact"] == bytes(range(255, -1, -1)).hex()
    assert direct["trace"] == [["served", {"question": "WHY"}, "why"]]
    assert direct["found"] == [ids[0]]
    assert direct == served


def test_before_any_server_no_experiment_was_written_in_mlflows_default_workspace(
    world: SimpleNamespace,
) -> None:
    assert world.before_server["experiments"] == []


def test_mlflows_default_workspace_is_as_in_a_stock_database(
    world: SimpleNamespace,
    tmp_path: Path,
    scripts_without_plugin: Any,
    without_plugin: dict[str, str],
) -> None:
    """Its workspace row before any server; its experiments once a server initialised both."""
    stock, ours = tmp_path / "stock.db", world.home / "workspaces.db"
    # What `mlflow server` does with its database before it listens.
    start = """
import sys
from mlflow.server.handlers import initialize_backend_stores
initialize_backend_stores(sys.argv[1], default_artifact_root="mlflow-artifacts:/")
"""
    env = {**without_plugin, "MLFLOW_ENABLE_WORKSPACES": "true"}
    scripts_without_plugin.run(start, f"sqlite:///{stock}", env=env)
    assert rows(stock, DEFAULT_WORKSPACE)
    assert world.before_server["workspace"] == rows(stock, DEFAULT_WORKSPACE)
    assert rows(ours, DEFAULT_WORKSPACE) == rows(stock, DEFAULT_WORKSPACE)
    assert rows(stock, DEFAULT_EXPERIMENTS)
    assert rows(ours, DEFAULT_EXPERIMENTS) == rows(stock, DEFAULT_EXPERIMENTS)


def test_a_workspace_that_the_server_created_works_for_a_script_that_names_no_experiment(
    world: SimpleNamespace, scripts: Any, scripts_without_plugin: Any
) -> None:
    create = """
import mlflow
mlflow.create_workspace("made-by-server", description="by REST")
"""
    server_only = {k: v for k, v in world.served.items() if k != "MLFLOW_WORKSPACE"}
    scripts_without_plugin.run(create, env=server_only)
    uri = f"ws://{world.home.as_posix()}/made-by-server"
    env = {**world.direct, "MLFLOW_TRACKING_URI": uri}
    assert scripts.run(PLAIN_SCRIPT, cwd=world.base, env=env) == [
        {"m": 7.0},
        "hello",
        "Default",
    ]
