"""Fresh stores for each scenario, copied from templates that are made once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before MLflow is imported, which would send telemetry: tests stay on this machine.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import twin

# Warnings are errors; these are MLflow's own, and no caller of ours can avoid them.
_MLFLOW_WARNINGS = (
    # MLflow's ORM with SQLAlchemy 2.1.
    "ignore:The ``noload`` loader strategy is deprecated",
    # MLflow's `log_table` with pandas 3.
    "ignore:(?s)For backward compatibility, 'str' dtypes are included by select_dtypes",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For the tests of this directory only."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in _MLFLOW_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


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
