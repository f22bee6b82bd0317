"""Scripts that never name an experiment print the same on a workspace and on SQLite.

Each one runs unmodified in a process of its own; `MLFLOW_TRACKING_URI` is the only switch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import twin
from mlflow import MlflowClient
from twin import Side

_SCRIPTS = Path(__file__).parent / "scripts"


class Scripts:
    """Runs a script on a side, in a process of its own."""

    def __init__(self, interpreter: Any, environment: Any) -> None:
        self._interpreter, self._environment = interpreter, environment

    def start(self, side: Side, script: str, *arguments: str, **variables: str) -> Any:
        environment = self._environment(
            MLFLOW_TRACKING_URI=side.uri,
            MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
            HOME=str(side.cwd.parent),
            **variables,
        )
        return self._interpreter.start(_SCRIPTS / script, *arguments, cwd=side.cwd, env=environment)

    def printed(self, side: Side, script: Any) -> Any:
        """What it said at its end, comparable."""
        done = script.wait()
        if done.returncode != 0:
            return f"exit code {done.returncode} on {side.name}:\n{done.stderr}"
        return twin.normalised(twin.plain(json.loads(done.stdout.splitlines()[-1])), side, {})

    def compare(
        self, sides: tuple[Side, Side], script: str, *arguments: str, **variables: str
    ) -> Any:
        """Run the script on both sides at once; what it printed."""
        started = [self.start(side, script, *arguments, **variables) for side in sides]
        stock, workspace = [self.printed(*pair) for pair in zip(sides, started, strict=True)]
        assert isinstance(stock, dict), stock
        assert workspace == stock
        assert not list(sides[1].cwd.iterdir()), "files appeared outside of the home"
        return stock


@pytest.fixture
def on_both(scripts: Any, clean_environment: Any) -> Scripts:
    return Scripts(scripts, clean_environment)


@pytest.mark.parametrize(
    "words",
    [
        "plain_run.py",
        "autolog.py",
        pytest.param("autolog.py all", marks=pytest.mark.soak),
        "traces.py",
        "models.py",
        "prompts.py",
        "threads.py",
    ],
)
def test_a_script_prints_the_same(words: str, sides: tuple[Side, Side], on_both: Scripts) -> None:
    """An unmodified script sees no difference but ids, clocks and places."""
    assert on_both.compare(sides, *words.split())


def test_reads_of_a_workspace_that_does_not_exist_see_a_new_one(
    sides: tuple[Side, Side], on_both: Scripts
) -> None:
    """Reads see an empty workspace with its Default experiment, and do not make it."""
    printed = on_both.compare(sides, "reads_first.py")
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
    variables: dict[str, str], name: str, sides: tuple[Side, Side], on_both: Scripts
) -> None:
    """Runs and traces land in the experiment that the environment names, or in Default."""
    assert on_both.compare(sides, "experiments.py", **variables)["name"] == name


@pytest.mark.parametrize(
    ("choice", "name"),
    [("experiment_name=Default", "Default"), ("experiment_id=0", "Default")],
)
def test_set_experiment_chooses_the_experiment(
    choice: str, name: str, sides: tuple[Side, Side], on_both: Scripts
) -> None:
    """`set_experiment` takes the Default experiment by its name and by the id 0."""
    assert on_both.compare(sides, "experiments.py", choice)["name"] == name


def test_the_environment_chooses_an_experiment_by_its_id(
    sides: tuple[Side, Side], on_both: Scripts
) -> None:
    """`MLFLOW_EXPERIMENT_ID` of an experiment that a launcher made."""
    started = []
    for side in sides:
        client = MlflowClient(tracking_uri=side.uri)
        experiment_id = client.create_experiment("made before", str(side.cwd.parent / "files"))
        started.append(on_both.start(side, "experiments.py", MLFLOW_EXPERIMENT_ID=experiment_id))
    printed = [on_both.printed(*pair) for pair in zip(sides, started, strict=True)]
    assert printed[0] == printed[1]
    assert printed[0]["name"] == "made before"
