"""What MLflow loads while it is being imported: little, light, and for every scheme."""

from __future__ import annotations

import json
import sys
from importlib.metadata import distribution
from typing import Any

import pytest
from programs import clean_environment, run_python

import mlflow_ws_plugin
from mlflow_ws_plugin import errors
from mlflow_ws_plugin.uri import SCHEMES

OURS = "mlflow_ws_plugin"
SECRET = "Xq7-hunter2"
GROUPS = ["mlflow.tracking_store", "mlflow.model_registry_store", "mlflow.workspace_provider"]

# What this interpreter prints is all that it tells.
_MODULES_AFTER_MLFLOW = """
import json, sys
import mlflow
print(json.dumps(sorted(sys.modules)))
"""

_HIDE_OUR_ENTRY_POINTS = """
import importlib.metadata
entry_points = importlib.metadata.entry_points
def others(**selection):
    found = entry_points(**selection)
    return type(found)(e for e in found if not e.value.startswith("mlflow_ws_plugin"))
importlib.metadata.entry_points = others
"""

_MODULES_OF_THE_ENTRY_POINTS = """
import json, sys
before = set(sys.modules)
import mlflow_ws_plugin.entrypoints
print(json.dumps(sorted(set(sys.modules) - before)))
"""

_REFUSALS_THROUGH_MLFLOW = """
import json, sys
from mlflow import MlflowClient
from mlflow.tracking._workspace.registry import get_workspace_store
from mlflow_ws_plugin import WorkspaceError

def refusal(call):
    try:
        call()
    except WorkspaceError as error:
        return str(error)

print(json.dumps([
    refusal(call)
    for uri in sys.argv[1:]
    for call in (
        lambda: MlflowClient(uri).search_experiments(),
        lambda: MlflowClient("http://127.0.0.1:1", uri).search_registered_models(),
        lambda: get_workspace_store(uri),
    )
]))
"""


def run(code: str, *arguments: str) -> Any:
    """The JSON that `code` prints in a new interpreter."""
    done = run_python("-c", code, *arguments, env=clean_environment())
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules of a process that imported MLflow."""
    return set(run(_MODULES_AFTER_MLFLOW))


@pytest.fixture(scope="module")
def loaded_without_us() -> set[str]:
    """The modules of one that did, and in which our entry points were hidden."""
    return set(run(_HIDE_OUR_ENTRY_POINTS + _MODULES_AFTER_MLFLOW))


def test_importing_mlflow_loads_at_most_three_modules_of_ours(loaded: set[str]) -> None:
    ours = {name for name in loaded if name.partition(".")[0] == OURS}
    assert {OURS, f"{OURS}.entrypoints"} <= ours
    assert len(ours) <= 3


def test_importing_mlflow_loads_nothing_else_because_of_us(
    loaded: set[str], loaded_without_us: set[str]
) -> None:
    """Not even more of MLflow itself."""
    assert f"{OURS}.entrypoints" not in loaded_without_us
    more = loaded - loaded_without_us
    assert {m for m in more if m.partition(".")[0] not in {OURS, *sys.stdlib_module_names}} == set()


def test_the_entry_points_import_the_standard_library_only() -> None:
    """They load while MLflow is half imported: then an import of it would fail silently."""
    tops = {name.partition(".")[0] for name in run(_MODULES_OF_THE_ENTRY_POINTS)}
    assert tops - sys.stdlib_module_names == {OURS}


@pytest.mark.parametrize("group", GROUPS)
def test_every_scheme_of_the_grammar_is_registered(group: str) -> None:
    """MLflow prints a URI of a scheme that it does not know in full, password and all."""
    registered = distribution("mlflow-ws-plugin").entry_points.select(group=group)
    assert sorted(entry.name for entry in registered) == sorted(SCHEMES)


def test_mlflow_hands_every_scheme_to_us_and_prints_no_password() -> None:
    """A builder that fails to load is left out by MLflow, with no more than a warning."""
    uris = [f"{scheme}://ann:{SECRET}@host/lab/demo" for scheme in SCHEMES]
    refusals = run(_REFUSALS_THROUGH_MLFLOW, *uris)
    assert len(refusals) == len(SCHEMES) * len(GROUPS)
    assert all(refusals), "an error that is not ours, or none"
    assert SECRET not in "".join(refusals)


def test_every_entry_point_is_there_to_be_called() -> None:
    entries = [e for e in distribution("mlflow-ws-plugin").entry_points if "mlflow" in e.group]
    assert {e.group for e in entries} > set(GROUPS)
    assert all(callable(entry.load()) for entry in entries)


# The package itself: names that are imported on first use.


@pytest.mark.parametrize("name", mlflow_ws_plugin.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mlflow_ws_plugin, name).__name__ == name


def test_every_error_is_public() -> None:
    assert set(errors.__all__) <= set(mlflow_ws_plugin.__all__)


def test_dir_shows_the_public_names_and_the_version() -> None:
    assert set(dir(mlflow_ws_plugin)) == {*mlflow_ws_plugin.__all__, "__version__"}


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert mlflow_ws_plugin.__version__ == distribution("mlflow-ws-plugin").version


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match=r"'mlflow_ws_plugin' has no attribute 'Workspac'"):
        _ = mlflow_ws_plugin.Workspac


def test_importing_the_package_alone_does_not_import_mlflow() -> None:
    code = "import json, sys, mlflow_ws_plugin; print(json.dumps('mlflow' in sys.modules))"
    assert run(code) is False
