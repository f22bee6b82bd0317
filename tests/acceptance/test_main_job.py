"""The README's promise: an unmodified script, one variable, and everything is in the workspace."""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from programs import clean_environment, run_python

from mlflow_ws_plugin import WorkspaceUri
from mlflow_ws_plugin.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEADLINE_S = 120


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user's environment with a home directory of its own, and nothing of MLflow set."""
    return clean_environment(
        HOME=str(tmp_path_factory.mktemp("user")),
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )


@pytest.fixture(scope="module")
def trained(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home after `MLFLOW_TRACKING_URI=ws://demo python examples/train.py`."""
    run_python(
        ROOT / "examples" / "train.py",
        env=environment | {"MLFLOW_TRACKING_URI": "ws://demo"},
        cwd=tmp_path_factory.mktemp("work"),
    )
    home = Path(environment["HOME"]) / ".mlflow-ws"
    # Before any other process uses it: a server that is killed leaves its write-ahead log.
    (home.parent / "left").write_text("\n".join(sorted(path.name for path in home.iterdir())))
    return home


def block(marker: str, language: str) -> str:
    found = re.search(rf"<!-- {marker} -->\s*```{language}\n(.*?)```", README, re.DOTALL)
    assert found, f"README.md has no {language} block after <!-- {marker} -->"
    return found[1]


def test_everything_of_the_example_is_in_the_workspace(
    trained: Path, environment: dict[str, str], scripts: Any, tmp_path: Path
) -> None:
    """Nested runs, a metric history, a figure, a trace and the registered model are all there."""
    code = """
import json
from pathlib import Path
import mlflow
client = mlflow.MlflowClient()
experiment = client.get_experiment_by_name("digits").experiment_id
runs = client.search_runs([experiment])
[parent] = [run for run in runs if run.info.run_name == "search"]
children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
version = client.get_model_version_by_alias("digits", "champion")
figure = client.download_artifacts(parent.info.run_id, "confusion_matrix.png")
print(json.dumps({
    "runs": len(runs),
    "children": sorted(run.info.run_name for run in children),
    "autologged": all("C" in run.data.params for run in children),
    "epochs": [m.step for m in client.get_metric_history(parent.info.run_id, "train_loss")],
    "figure": Path(figure).read_bytes()[:4].hex(),
    "version": str(version.version),
    "traces": [t.info.state.value for t in client.search_traces(locations=[experiment])],
}))
"""
    variables = environment | {"MLFLOW_TRACKING_URI": "ws://demo"}
    seen = scripts.run(code, cwd=tmp_path, env=variables)
    assert seen == {
        "runs": 4,
        "children": ["svc-C=0.1", "svc-C=1.0", "svc-C=10.0"],
        "autologged": True,
        "epochs": list(range(20)),
        "figure": b"\x89PNG".hex(),
        "version": "1",
        "traces": ["OK"],
    }
    assert (trained / "workspaces.db").exists()


def test_the_example_leaves_nothing_elsewhere(trained: Path, environment: dict[str, str]) -> None:
    """No `mlruns`, no `mlflow.db`: neither in the user's home nor in the repository."""
    left = (trained.parent / "left").read_text().split()
    assert left == [".lock", "artifacts", "workspaces.db"]
    assert not (Path(environment["HOME"]) / "mlruns").exists()
    assert not (ROOT / "examples" / "mlruns").exists()


def test_the_readme_reads_it_back_in_python(
    trained: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The README's Python block runs as it stands and shows the runs."""
    assert trained.exists()
    done = run_python("-c", block("test: read", "python"), env=environment, cwd=tmp_path)
    assert "svc-C=10.0" in done.stdout


def test_the_readme_server_command_shows_the_workspace(
    trained: Path, environment: dict[str, str], serve: Any, tmp_path: Path
) -> None:
    """The README's server command starts, and the page and the workspace are there."""
    assert trained.exists()
    command = block("ci: server", "sh").replace(".venv/bin/", "").rstrip()
    # The port follows as the last words.
    shell = ("bash", "-c", f'exec {command} "$@"', "bash")
    with serve(*shell, cwd=tmp_path, env=environment) as server:
        page = fetch(server.url)
        workspaces = json.loads(fetch(f"{server.url}/api/3.0/mlflow/workspaces"))
    assert b"<title>MLflow</title>" in page
    assert "demo" in [workspace["name"] for workspace in workspaces["workspaces"]]


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as response:
        return response.read()


def test_every_form_in_the_readme_table_is_what_the_grammar_says() -> None:
    """Each complete URI of the README's table parses; each scheme of the grammar is in it."""
    from mlflow_ws_plugin.uri import SCHEMES

    table = README.split("## Workspace URIs")[1].split("## ")[0]
    for form in ("ws://NAME", "ws:///ABS/DIR/NAME", "ws+sqlite:///ABS/FILE.db/NAME", "ws:"):
        assert f"`{form}`" in table
        WorkspaceUri.parse(form.replace("NAME", "demo"))
    assert all(f"`{scheme}:" in table for scheme in SCHEMES)


def test_every_setting_and_command_is_in_the_readme() -> None:
    """What a user can set or run is documented."""
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "mlflow_ws_plugin").rglob("*.py")
    )
    settings = set(re.findall(r"MLFLOW_WS_[A-Z_]+", sources))
    assert settings
    assert all(f"`{setting}`" in README for setting in settings)
    assert all(f"`mlflow-ws {' '.join(words)}" in README for words in leaves(main))


def leaves(group: click.Group) -> Iterator[tuple[str, ...]]:
    """The words of every command that does something."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from ((name, *words) for words in leaves(command))
        else:
            yield (name,)
