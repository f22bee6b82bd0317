"""Fresh stores for each scenario, copied from templates that are made once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
import twin
from doors import DOORS, EMBEDDED
from mlflow.tracking import fluent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that uses a `door` runs on the embedded one; one of the core on each other one too."""
    if "door" not in metafunc.fixturenames:
        return
    others = [name for name in DOORS if name != EMBEDDED]
    if metafunc.definition.get_closest_marker("core") is None:
        others = []
    doors = [EMBEDDED, *(pytest.param(name, marks=pytest.mark.doors) for name in others)]
    metafunc.parametrize("door", doors, scope="session")


@pytest.fixture
def fresh_mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """MLflow as a new process has it, before and after."""
    # What asks MLflow's default URI, which is a file of the working directory, leaves it there.
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(variable)
    _forget()
    yield
    twin.wait_for_links()
    _forget()
    for variable in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[variable]


def _forget() -> None:
    """What MLflow's fluent functions remember between two calls."""
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_workspace(None)
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    fluent._active_experiment_id = None


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A stock database and a home. MLflow's migrations take most of a second each."""
    directory = tmp_path_factory.mktemp("templates")
    return twin.make_stock_template(directory), twin.make_home_template(directory)


@pytest.fixture
def sides(
    fresh_mlflow: None, tmp_path: Path, templates: tuple[Path, Path], door: str
) -> tuple[twin.Side, twin.Side]:
    """The stock side and the workspace side, both new."""
    stock, home = templates
    return twin.stock_side(tmp_path, stock), twin.workspace_side(tmp_path, home, door)
