"""Each example runs alone, in a fresh environment, and leaves in the workspace what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from programs import clean_environment, run_python

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user's environment with nothing of MLflow set but the default home."""
    return clean_environment(
        HOME=str(tmp_path),
        MLFLOW_WS_HOME=str(tmp_path / "home"),
        # A notebook's kernel must not read the settings of the user who runs the tests.
        IPYTHONDIR=str(tmp_path / "ipython"),
        JUPYTER_CONFIG_DIR=str(tmp_path / "jupyter"),
    )


def run(environment: dict[str, str], *words: str | Path) -> str:
    return run_python(*words, env=environment, cwd=environment["HOME"]).stdout


def test_several_workspaces_in_one_process(environment: dict[str, str]) -> None:
    """Each workspace holds its own run and sees no other."""
    output = run(environment, EXAMPLES / "several_workspaces.py")
    assert output.splitlines() == [
        "ws://team-a holds 1 runs",
        "ws://team-b holds 1 runs",
        "team-b sees only its own: ['run of team-b']",
    ]


def test_ranks_of_a_distributed_training_share_a_run(environment: dict[str, str]) -> None:
    """Every point of every rank is in the one run."""
    output = run(environment | {"MLFLOW_TRACKING_URI": "ws://demo"}, EXAMPLES / "multi_process.py")
    assert output.splitlines() == [f"rank {rank}: 25 points" for rank in range(4)]


def test_the_notebook_runs_from_top_to_bottom(environment: dict[str, str], tmp_path: Path) -> None:
    """Its last cell shows the figure that it logged."""
    code = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""
    executed = tmp_path / "executed.ipynb"
    run(environment, "-c", code, EXAMPLES / "notebook.ipynb", executed)
    last = json.loads(executed.read_text(encoding="utf-8"))["cells"][-1]
    assert "".join(last["outputs"][0]["data"]["text/plain"]) == "['compared.png']"


def test_the_compose_file_uses_what_the_env_command_makes(environment: dict[str, str]) -> None:
    """The two commands of its header give it a URI and a mount that fit together."""
    text = (EXAMPLES / "compose.yaml").read_text(encoding="utf-8")
    command = re.search(r"mlflow-ws (env .*) > \.env", text)
    assert command
    made = run(environment, "-m", "mlflow_ws_plugin.cli", *command[1].split())
    variables = dict(line.split("=", 1) for line in made.splitlines())
    home = environment["MLFLOW_WS_HOME"]
    assert variables == {"MLFLOW_TRACKING_URI": f"ws://{home}/demo"}
    service = yaml.safe_load(text)["services"]["train"]
    assert service["env_file"] == ".env"
    assert "${MLFLOW_WS_HOME}:${MLFLOW_WS_HOME}" in service["volumes"]


def test_every_example_is_run_by_a_test() -> None:
    """A new file in `examples/` needs a test here or in the main job's."""
    tested = Path(__file__).read_text() + Path(__file__).with_name("test_main_job.py").read_text()
    files = [path.name for path in EXAMPLES.iterdir() if path.is_file()]
    assert files
    assert [name for name in files if name not in tested] == []
