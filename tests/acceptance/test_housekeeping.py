"""MLflow's own tools on a workspace: gc, db upgrade, move-resources, and a server on the URI."""

from __future__ import annotations

import json
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
import warm
from mlflow import MlflowClient

DEADLINE_S = 120


@pytest.fixture
def environment(clean_environment: Callable[..., dict[str, str]]) -> dict[str, str]:
    return clean_environment()


@pytest.fixture
def mlflow(
    scripts: warm.Interpreter, environment: dict[str, str], tmp_path: Path
) -> Callable[..., None]:
    """The command `mlflow WORDS`, which must succeed."""
    program = "import runpy; runpy.run_module('mlflow', run_name='__main__')"

    def run(*words: str) -> None:
        done = scripts.start(program, *words, cwd=tmp_path, env=environment).wait()
        assert done.returncode == 0, done.stderr

    return run


def client_of(uri: str) -> MlflowClient:
    return MlflowClient(uri, uri)


def run_with_file(client: MlflowClient, name: str) -> str:
    found = client.get_experiment_by_name(name)
    experiment = found.experiment_id if found else client.create_experiment(name)
    run_id = client.create_run(experiment).info.run_id
    client.log_text(run_id, f"of {name}", "note.txt")
    return run_id


def files_of(home: Path, workspace: str) -> list[str]:
    directory = home / "artifacts" / "workspaces" / workspace
    return [path.name for path in directory.rglob("*") if path.is_file()]


def test_gc_removes_rows_and_bytes_of_this_workspace_only(
    tmp_path: Path, mlflow: Callable[..., None]
) -> None:
    """A deleted run of another workspace in the same home stays restorable, file and all."""
    mine, other = (client_of(f"ws://{tmp_path}/home/{name}") for name in ("mine", "other"))
    doomed, kept = run_with_file(mine, "digits"), run_with_file(mine, "digits")
    foreign = run_with_file(other, "digits")
    mine.delete_run(doomed)
    other.delete_run(foreign)
    uri = f"ws://{tmp_path}/home/mine"
    mlflow("gc", "--backend-store-uri", uri, "--tracking-uri", uri)
    with closing(sqlite3.connect(tmp_path / "home" / "workspaces.db")) as connection:
        left = {row[0] for row in connection.execute("SELECT run_uuid FROM runs")}
    assert left == {kept, foreign}
    assert files_of(tmp_path / "home", "mine") == ["note.txt"]
    other.restore_run(foreign)
    assert [item.path for item in other.list_artifacts(foreign)] == ["note.txt"]


def test_db_upgrade_leaves_our_table_alone(tmp_path: Path, mlflow: Callable[..., None]) -> None:
    """After MLflow upgraded the raw database, the settings and the runs are what they were."""
    client = client_of(f"ws://{tmp_path}/home/demo")
    run_id = run_with_file(client, "digits")
    database = tmp_path / "home" / "workspaces.db"
    query = "SELECT workspace, key, value FROM ws_settings ORDER BY workspace, key"
    with closing(sqlite3.connect(database)) as connection:
        before = connection.execute(query).fetchall()
    mlflow("db", "upgrade", f"sqlite:///{database}")
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute(query).fetchall() == before
    assert client.get_run(run_id).info.run_id == run_id


def test_a_moved_experiment_keeps_its_artifacts(
    tmp_path: Path, mlflow: Callable[..., None]
) -> None:
    """`mlflow db move-resources`: seen with its files in the new workspace, gone from the old."""
    old, new = (client_of(f"ws://{tmp_path}/home/{name}") for name in ("old", "new"))
    run_id = run_with_file(old, "digits")
    run_with_file(new, "something")
    database = f"sqlite:///{tmp_path}/home/workspaces.db"
    words = ("--from", "old", "--to", "new", "--resource-type", "experiments", "--name", "digits")
    mlflow("db", "move-resources", database, *words, "--yes")
    assert old.get_experiment_by_name("digits") is None
    path = new.download_artifacts(run_id, "note.txt")
    assert Path(path).read_text() == "of digits"


@pytest.fixture
def server(
    serve: Any, environment: dict[str, str], tmp_path: Path
) -> Callable[..., AbstractContextManager[Any]]:
    """The command `mlflow WORDS` on a free port."""
    return lambda *words: serve(
        sys.executable, "-m", "mlflow", *words, cwd=tmp_path, env=environment
    )


def post(url: str, body: object, **headers: str) -> dict[str, object]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json", **headers}
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
        answer: dict[str, object] = json.load(response)
        return answer


def test_mlflow_ui_on_the_uri_shows_the_workspace_and_its_files(
    tmp_path: Path, server: Any
) -> None:
    """`mlflow ui --backend-store-uri ws:///...`, with the artifacts' place as the README says."""
    uri = f"ws://{tmp_path}/home/demo"
    run_id = run_with_file(client_of(uri), "digits")
    run_with_file(client_of(uri.replace("demo", "other")), "elsewhere")
    words = ("--backend-store-uri", uri, "--artifacts-destination", f"{tmp_path}/home/artifacts")
    with server("ui", *words) as running:
        search = f"{running.url}/api/2.0/mlflow/experiments/search"
        found = post(search, {"max_results": 10})["experiments"]
        assert isinstance(found, list)
        assert sorted(item["name"] for item in found) == ["Default", "digits"]
        with urllib.request.urlopen(
            f"{running.url}/get-artifact?path=note.txt&run_uuid={run_id}", timeout=DEADLINE_S
        ) as response:
            assert response.read() == b"of digits"


def test_a_server_on_the_uri_refuses_another_workspace(tmp_path: Path, server: Any) -> None:
    """With workspaces on, the pinned one is the default, and a request for another fails."""
    uri = f"ws://{tmp_path}/home/demo"
    run_with_file(client_of(uri), "digits")
    run_with_file(client_of(uri.replace("demo", "other")), "elsewhere")
    words = ("--backend-store-uri", uri, "--artifacts-destination", f"{tmp_path}/home/artifacts")
    with server("server", "--enable-workspaces", *words) as running:
        search = f"{running.url}/api/2.0/mlflow/experiments/search"
        for headers in ({}, {"X-MLFLOW-WORKSPACE": "demo"}):
            found = post(search, {"max_results": 10}, **headers)["experiments"]
            assert isinstance(found, list)
            assert sorted(item["name"] for item in found) == ["Default", "digits"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(search, {"max_results": 10}, **{"X-MLFLOW-WORKSPACE": "other"})
        with refused.value:
            assert refused.value.code in {400, 404}
            assert "elsewhere" not in refused.value.read().decode()
