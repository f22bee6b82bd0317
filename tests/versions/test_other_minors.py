"""Colleagues with an older MLflow: each is installed, with this plugin, in a place of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner

from mlflow_ws_plugin.cli import main

pytestmark = [pytest.mark.versions, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
OLDER = ["3.15", "3.16"]
DEADLINE_S = 900

LOG = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_run(run_name="before") as run:
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_param("depth", 3)
    mlflow.log_text("hello", "notes/a.txt")
    with mlflow.start_span("answer") as span:
        span.set_inputs({"q": "why"})
mlflow.flush_trace_async_logging()
client = mlflow.MlflowClient()
client.create_registered_model("net", tags={"k": "v"})
client.create_model_version("net", run.info.artifact_uri, run.info.run_id)
print(json.dumps([run.info.run_id, span.trace_id]))
"""

READ = """
import json, sys
import mlflow
from mlflow_ws_plugin.errors import UnsupportedSchema
uri, run_id, trace_id = sys.argv[1:]
mlflow.set_tracking_uri(uri)
try:
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    print(json.dumps({
        "name": run.info.run_name,
        "params": run.data.params,
        "history": [[m.step, m.value] for m in client.get_metric_history(run_id, "loss")],
        "text": mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/a.txt"),
        "spans": [[s.name, s.inputs] for s in client.get_trace(trace_id).data.spans],
        "models": [[m.name, m.tags] for m in client.search_registered_models()],
        "versions": [[v.name, str(v.version)] for v in client.search_model_versions()],
    }))
except UnsupportedSchema as error:
    print(json.dumps({"refused": error.message}))
"""

LOGGED = {
    "name": "before",
    "params": {"depth": "3"},
    "history": [[0, 1.0], [1, 0.5], [2, 1 / 3]],
    "text": "hello",
    "spans": [["answer", {"q": "why"}]],
    "models": [["net", {"k": "v"}]],
    "versions": [["net", "1"]],
}


def execute(*words: str | Path, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        [*words], cwd=cwd, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module", params=OLDER)
def older(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    clean_environment: Callable[..., dict[str, str]],
) -> Callable[..., Any]:
    """Runs a script with an older MLflow; its last line, from JSON."""
    place = tmp_path_factory.mktemp(request.param)
    # The lock is for the newest minor.
    env = clean_environment(PIP_CONSTRAINT="", UV_CONSTRAINT="")
    execute(sys.executable, "-m", "venv", "env", cwd=place, env=env)
    python = place / "env" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "-q", f"mlflow=={request.param}.*", ROOT)
    execute(*pip, cwd=place, env=env)
    version = execute(python, "-c", "import mlflow; print(mlflow.__version__)", cwd=place, env=env)
    assert version.startswith(f"{request.param}.")

    def run(code: str, *arguments: str) -> Any:
        printed = execute(python, "-W", "ignore", "-c", code, *arguments, cwd=place, env=env)
        return json.loads(printed.splitlines()[-1])

    return run


@pytest.fixture
def here(scripts: Any, clean_environment: Any, tmp_path: Path) -> Callable[..., Any]:
    """Runs a script with the installed MLflow."""
    return lambda code, *arguments: scripts.run(
        code, *arguments, cwd=tmp_path, env=clean_environment()
    )


def test_a_private_home_of_an_older_mlflow_opens_here_with_everything_in_it(
    older: Callable[..., Any], here: Callable[..., Any], tmp_path: Path
) -> None:
    """Once it was opened here, the older MLflow reads it still, or says what to install."""
    uri = f"ws://{tmp_path.as_posix()}/home/team"
    ids = older(LOG, uri)
    assert older(READ, uri, *ids) == LOGGED
    assert here(READ, uri, *ids) == LOGGED
    backups = list((tmp_path / "home").glob("*.bak"))
    there = older(READ, uri, *ids)
    if backups:
        # What a stock tool finds in the database says which MLflow wrote it last.
        assert f"mlflow=={mlflow.__version__}" in there["refused"]
        copy = tmp_path / "copy"
        copy.mkdir()
        backups[0].rename(copy / "workspaces.db")
        (tmp_path / "home" / "artifacts").rename(copy / "artifacts")
        assert older(READ, f"ws://{copy.as_posix()}/team", *ids) == LOGGED
    else:
        assert there == LOGGED


def test_a_named_file_of_an_older_mlflow_is_left_to_it_until_the_command_was_run(
    older: Callable[..., Any], here: Callable[..., Any], tmp_path: Path
) -> None:
    uri = f"ws+sqlite://{tmp_path.as_posix()}/team.db/team"
    ids = older(LOG, uri)
    answer = here(READ, uri, *ids)
    if "refused" in answer:
        assert f"mlflow-ws upgrade '{uri}'" in answer["refused"]
        assert older(READ, uri, *ids) == LOGGED
        assert CliRunner().invoke(main, ["upgrade", uri]).exit_code == 0
        answer = here(READ, uri, *ids)
    assert answer == LOGGED
