"""Fresh stores for each scenario, copied from templates that are made once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
import twin
from mlflow.tracking import fluent


@pytest.fixture
def fresh_mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """MLflow as a new process has it, before and after."""
    # What asks MLflow's default URI, which is a file of the working directory, leaves it there.
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(variable)
    yield
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_workspace(None)
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    fluent._active_experiment_id = None
    for variable in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[variable]


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A stock database and a home. MLflow's migrations take most of a second each."""
    directory = tmp_path_factory.mktemp("templates")
    return twin.make_stock_template(directory), twin.make_home_template(directory)


@pytest.fixture
def sides(tmp_path: Path, templates: tuple[Path, Path]) -> tuple[twin.Side, twin.Side]:
    """The stock side and the workspace side, both new."""
    stock, home = templates
    return twin.stock_side(tmp_path, stock), twin.workspace_side(tmp_path, home)
