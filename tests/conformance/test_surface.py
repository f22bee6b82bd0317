"""Every public method of MLflow's stores is known, and ours fit into it.

A new MLflow fails here first. What to do is in the messages.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import surface
from mlflow.store.model_registry.abstract_store import AbstractStore as AbstractRegistryStore
from mlflow.store.model_registry.sqlalchemy_workspace_store import (
    WorkspaceAwareSqlAlchemyStore as MlflowRegistryStore,
)
from mlflow.store.tracking.abstract_store import AbstractStore as AbstractTrackingStore
from mlflow.store.tracking.sqlalchemy_workspace_store import (
    WorkspaceAwareSqlAlchemyStore as MlflowTrackingStore,
)
from mlflow.store.workspace.abstract_store import AbstractStore as AbstractWorkspaceStore
from mlflow.store.workspace.sqlalchemy_store import SqlAlchemyStore as MlflowWorkspaceStore
from packaging.version import Version

from mlflow_ws_plugin.artifacts.repository import WorkspaceArtifactRepository
from mlflow_ws_plugin.stores.provider import WorkspaceProvider
from mlflow_ws_plugin.stores.references import EXPERIMENT_PARAMETERS, is_read
from mlflow_ws_plugin.stores.registry import WorkspaceRegistryStore
from mlflow_ws_plugin.stores.tracking import WorkspaceTrackingStore

_AREAS: dict[str, tuple[type, ...]] = {
    "tracking": (AbstractTrackingStore, MlflowTrackingStore),
    "registry": (AbstractRegistryStore, MlflowRegistryStore),
    "workspace": (AbstractWorkspaceStore, MlflowWorkspaceStore),
}
_OURS = {
    "tracking": WorkspaceTrackingStore,
    "registry": WorkspaceRegistryStore,
    "workspace": WorkspaceProvider,
}
_INSTALLED = Version(".".join(mlflow.__version__.split(".")[:2]))

# Parameters that name an experiment, but not by its id.
_OTHER_EXPERIMENT_PARAMETERS = {"experiment_name"}

# What our classes override below MLflow's public methods. Where MLflow drops or renames one of
# these, our override silently means nothing.
_HOOKS = {
    "_dispose_engine",
    "_get_active_workspace",
    "_get_or_create_engine",
    "_get_workspace_provider_instance",
    "_initialize_store_state",
    "_search_datasets",
}


# --- what is there --------------------------------------------------------------------------------


@pytest.mark.parametrize("area", _AREAS)
def test_every_public_name_is_listed(area: str) -> None:
    """A method that is new in MLflow is looked at before this plugin claims to support it."""
    new = surface.public_names(*_AREAS[area]) - set(surface.entries()[area])
    assert not new, (
        f"MLflow {mlflow.__version__} has new names in its {area} store: {sorted(new)}. For each: "
        "does it take experiment ids under another name, does it open sessions in its own way, "
        "does it read or write? Call it in a scenario of test_same_as_stock_*.py, then add a line "
        f"to surface.txt that names the scenario, with 'since {_INSTALLED}'."
    )


@pytest.mark.parametrize("area", _AREAS)
def test_nothing_listed_is_missing(area: str) -> None:
    """A listed name is there from its minor on."""
    wanted = {n for n, entry in surface.entries()[area].items() if entry.since <= _INSTALLED}
    gone = wanted - surface.public_names(*_AREAS[area])
    assert not gone, (
        f"MLflow {mlflow.__version__} has no {sorted(gone)} in its {area} store. If an older minor "
        "never had it, add 'since MINOR' to its line in surface.txt; if MLflow removed it, remove "
        "the line when no supported minor has it any more."
    )


def test_every_line_names_a_scenario_or_a_class() -> None:
    """How a name was looked at is one of the explained ways, and its scenario exists."""
    here = Path(__file__).parent
    sources = "".join(
        file.read_text(encoding="utf-8") for file in here.glob("test_same_as_stock_*.py")
    )
    scenarios = set(re.findall(r"@same_as_stock\ndef (test_\w+)\(", sources))
    head = surface.DATA.read_text(encoding="utf-8").split("[tracking]")[0]
    explained = set(re.findall(r"^#   (\w+)  ", head, re.MULTILINE))
    for area, names in surface.entries().items():
        for name, entry in names.items():
            known = scenarios if entry.how == "differential" else explained
            assert entry.how in {"differential", "isolation", "inherited"}, (area, name)
            assert entry.detail in known, f"{area} {name}: {entry.detail} is nowhere"
            assert entry.kind in {"read", "write", "value"}, (area, name)


# --- reads and writes -----------------------------------------------------------------------------


@pytest.mark.parametrize("area", _AREAS)
def test_reads_are_told_by_their_names(area: str) -> None:
    """By its name a method creates the workspace or not; the list was made by reading MLflow."""
    listed = {n for n, entry in surface.entries()[area].items() if entry.kind == "read"}
    by_name = {n for n in surface.entries()[area] if is_read(n)}
    assert by_name == listed, (
        f"{sorted(by_name ^ listed)}: surface.txt and READS in stores/references.py disagree on "
        "whether these only read. Look at the method, then change the one that is wrong."
    )


@pytest.mark.parametrize("area", ["tracking", "registry"])
def test_reads_open_no_session_for_writing(area: str) -> None:
    """MLflow's own source agrees that what we take for a read writes nothing by itself."""
    cls = _AREAS[area][1]
    writing = [
        name
        for name in sorted(surface.public_methods(cls))
        if is_read(name) and "read_only=False" in inspect.getsource(getattr(cls, name))
    ]
    assert not writing, f"{writing} write: READS in stores/references.py must not match them"


# --- experiment 0 ---------------------------------------------------------------------------------


class _Translated(Exception):
    """No error: a signal of the test below."""


def _places(method: Any) -> Iterator[tuple[int, str]]:
    for place, parameter in enumerate(inspect.signature(method).parameters):
        if parameter in EXPERIMENT_PARAMETERS:
            yield place, parameter


def test_every_experiment_id_is_translated() -> None:
    """By position and by name, experiment `0` becomes the workspace's own."""
    store: Any = object.__new__(WorkspaceTrackingStore)
    seen: list[tuple[object, bool]] = []

    def translate(value: object, create: bool) -> None:
        seen.append((value, create))
        raise _Translated

    store._own_experiment = translate
    checked = 0
    for name in sorted(surface.public_methods(WorkspaceTrackingStore)):
        for place, parameter in _places(getattr(WorkspaceTrackingStore, name)):
            seen.clear()
            method = getattr(WorkspaceTrackingStore, name)
            others = dict.fromkeys(_required(method))
            with pytest.raises(_Translated):
                getattr(store, name)(**others | {parameter: "0"})
            if _is_positional(method, place):
                before = list(inspect.signature(method).parameters)[1:place]
                rest = {key: None for key in others if key not in {*before, parameter}}
                with pytest.raises(_Translated):
                    getattr(store, name)(*[None for _ in before], "0", **rest)
            assert {create for _, create in seen} == {not is_read(name)}, name
            checked += 1
    assert checked > 40, "MLflow has that many"


def _required(method: Any) -> list[str]:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]


def _is_positional(method: Any, place: int) -> bool:
    parameter = list(inspect.signature(method).parameters.values())[place]
    return parameter.kind is not parameter.KEYWORD_ONLY


@pytest.mark.parametrize("area", _AREAS)
def test_no_experiment_id_has_another_name(area: str) -> None:
    """A parameter that smells of an experiment is translated, or known to be something else."""
    known = EXPERIMENT_PARAMETERS | _OTHER_EXPERIMENT_PARAMETERS
    for cls in _AREAS[area]:
        for name in surface.public_methods(cls):
            for parameter in inspect.signature(getattr(cls, name)).parameters:
                assert "experiment" not in parameter or parameter in known, (
                    f"{name}({parameter}): add it to EXPERIMENT_PARAMETERS in stores/references.py"
                )


def test_the_registry_takes_no_experiment_ids() -> None:
    """Only the tracking store translates, so nothing else may need it."""
    for cls in (*_AREAS["registry"], *_AREAS["workspace"]):
        for name in surface.public_methods(cls):
            parameters = set(inspect.signature(getattr(cls, name)).parameters)
            assert not parameters & EXPERIMENT_PARAMETERS, name


# --- our overrides --------------------------------------------------------------------------------


def _overrides(cls: type) -> Iterator[tuple[str, Any, Any]]:
    """Name, our function and MLflow's, for all that a class of ours replaces."""
    theirs = [c for c in cls.__mro__ if not c.__module__.startswith("mlflow_ws_plugin")]
    for base in cls.__mro__:
        for name, function in vars(base).items() if base not in theirs else ():
            parent = next((vars(c)[name] for c in theirs if name in vars(c)), None)
            if inspect.isfunction(function) and parent is not None and not _is_special(name):
                yield name, function, parent


def _is_special(name: str) -> bool:
    return name.startswith("__")


@pytest.mark.parametrize("cls", [*_OURS.values(), WorkspaceArtifactRepository])
def test_overrides_take_what_mlflow_passes(cls: type) -> None:
    """The same parameters, by name, order, kind and whether they have a default."""
    found = [found for found in _overrides(cls) if inspect.isfunction(found[2])]
    assert found
    for name, ours, theirs in found:
        shapes = [
            [
                (p.name, p.kind, p.default is p.empty)
                for p in inspect.signature(function).parameters.values()
            ]
            for function in (ours, theirs)
        ]
        assert shapes[0] == shapes[1], f"{cls.__name__}.{name} is not as MLflow's"


def test_hooks_that_we_override_are_still_mlflows() -> None:
    """Each private method that ours replaces is one that MLflow has, and no other is replaced."""
    replaced = {
        name for cls in _OURS.values() for name, _, _ in _overrides(cls) if name.startswith("_")
    }
    assert replaced == _HOOKS, (
        f"MLflow {mlflow.__version__}: {sorted(replaced ^ _HOOKS)}. A hook that is gone must be "
        "replaced in _mlflow.py; a new one belongs into _HOOKS, with a look at what it does."
    )


@pytest.mark.parametrize("area", _OURS)
def test_our_stores_are_mlflows(area: str) -> None:
    """Ours subclass MLflow's own, so what is not overridden is MLflow's, of every version."""
    assert issubclass(_OURS[area], _AREAS[area][1])
    missing = surface.public_names(*_AREAS[area]) - surface.public_names(_OURS[area])
    assert not missing
