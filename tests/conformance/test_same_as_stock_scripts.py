"""Scripts that never name an experiment print the same on a workspace and on SQLite.

Each one runs unmodified in a process of its own; `MLFLOW_TRACKING_URI` is the only switch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import twin
from mlflow import MlflowClient
from twin import Side

_SCRIPTS = Path(__file__).parent / "scripts"
_TIMEOUT_S = 120


def _start(side: Side, script: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTEST_"))}
    environment |= {
        "MLFLOW_TRACKING_URI": side.uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "HOME": str(side.cwd.parent),
        "PYTHONWARNINGS": "ignore",
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, str(_SCRIPTS / script), *arguments],
        cwd=side.cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _printed(side: Side, process: subprocess.Popen[str]) -> Any:
    out, err = process.communicate(timeout=_TIMEOUT_S)
    if process.returncode != 0:
        return f"exit code {process.returncode} on {side.name}:\n{err}"
    printed = twin.plain(json.loads(out.splitlines()[-1]))
    return twin.normalised(printed, side, {})


def _compare(sides: tuple[Side, Side], script: str, *arguments: str, **variables: str) -> Any:
    """Run the script on both sides at once; what it printed."""
    processes = [_start(side, script, *arguments, **variables) for side in sides]
    stock, workspace = [_printed(side, p) for side, p in zip(sides, processes, strict=True)]
    assert isinstance(stock, dict), stock
    assert workspace == stock
    assert not list(sides[1].cwd.iterdir()), "files appeared outside of the home"
    return stock


@pytest.mark.parametrize(
    "script",
    [
        "plain_run.py",
        "autolog.py",
        "traces.py",
        "models.py",
        "prompts.py",
        "threads.py",
    ],
)
def test_a_script_prints_the_same(script: str, sides: tuple[Side, Side]) -> None:
    """An unmodified script sees no difference but ids, clocks and places."""
    assert _compare(sides, script)


def test_reads_of_a_workspace_that_does_not_exist_see_a_new_one(sides: tuple[Side, Side]) -> None:
    """Reads see an empty workspace with its Default experiment, and do not make it."""
    printed = _compare(sides, "reads_first.py")
    assert printed["0"] == ["0", "Default", "active"]
    home = sides[1].cwd.parent / "home"
    names = MlflowClient(sides[1].uri.replace(twin.WORKSPACE, "neighbour")).search_experiments()
    assert len(names) == 3, "the neighbour is as it was"
    assert not (home / "artifacts" / "workspaces" / twin.WORKSPACE).exists()


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"MLFLOW_EXPERIMENT_NAME": "named"}, "named"),
        ({"MLFLOW_EXPERIMENT_ID": "0"}, "Default"),
    ],
)
def test_the_environment_chooses_the_experiment(
    variables: dict[str, str], name: str, sides: tuple[Side, Side]
) -> None:
    """Runs and traces land in the experiment that the environment names, or in Default."""
    assert _compare(sides, "experiments.py", **variables)["name"] == name


@pytest.mark.parametrize(
    ("choice", "name"),
    [("experiment_name=Default", "Default"), ("experiment_id=0", "Default")],
)
def test_set_experiment_chooses_the_experiment(
    choice: str, name: str, sides: tuple[Side, Side]
) -> None:
    """`set_experiment` takes the Default experiment by its name and by the id 0."""
    assert _compare(sides, "experiments.py", choice)["name"] == name


def test_the_environment_chooses_an_experiment_by_its_id(sides: tuple[Side, Side]) -> None:
    """`MLFLOW_EXPERIMENT_ID` of an experiment that a launcher made."""
    processes = []
    for side in sides:
        client = MlflowClient(tracking_uri=side.uri)
        experiment_id = client.create_experiment("made before", str(side.cwd.parent / "files"))
        processes.append(_start(side, "experiments.py", MLFLOW_EXPERIMENT_ID=experiment_id))
    printed = [_printed(side, p) for side, p in zip(sides, processes, strict=True)]
    assert printed[0] == printed[1]
    assert printed[0]["name"] == "made before"
