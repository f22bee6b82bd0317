"""Ids that a caller gives to a tracking store: translated, and looked up in the own workspace.

MLflow's workspace-aware store scopes what a call works on. What a call only refers to, such as the
run that a model came from, it takes as given, so that a guessed id of another workspace could be
linked to, and sometimes be read back. One mechanism closes that for every method that takes such a
parameter, those of MLflow versions to come too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

__all__ = ["EXPERIMENT_PARAMETERS", "READS", "REFERENCES", "guarded", "is_read"]

EXPERIMENT_PARAMETERS: Final = frozenset(
    {"experiment_id", "experiment_ids", "location", "locations"}
)
"""Names of the parameters of MLflow's store methods that hold experiment ids."""

REFERENCES: Final[Mapping[str, str]] = {
    "action_endpoint_id": "get_gateway_endpoint",
    "source_run_id": "get_run",
}
"""Names of parameters that refer to something, and the method that must find it."""

READS: Final = (
    "batch_get_",
    "calculate_",
    "filter_",
    "find_",
    "get_",
    "list_",
    "query_",
    "search_",
)
"""How the names of MLflow's store methods that only read begin; `is_read` knows the exceptions."""

# Makes an experiment's first schema.
_WRITES: Final = ("get_or_create_", "list_label_schemas")
# What MLflow's server calls in place of the public method.
_CALLED_BY_SERVER: Final = frozenset({"_search_datasets"})


def is_read(name: str) -> bool:
    """Whether the store method of that name never writes."""
    return name.startswith(READS) and not name.startswith(_WRITES)


class _Store(Protocol):
    def _own_experiment(self, experiment_id: str, *, create: bool) -> str: ...


_Class = TypeVar("_Class", bound=type[_Store])


def guarded(cls: _Class) -> _Class:
    """Wrap every public method of `cls` that takes a parameter named above."""
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        signature = inspect.signature(method)
        names = signature.parameters.keys() & (EXPERIMENT_PARAMETERS | REFERENCES.keys())
        if names and (name in _CALLED_BY_SERVER or not name.startswith("_")):
            setattr(cls, name, _guard(method, signature, sorted(names)))
    return cls


def _guard(
    method: Callable[..., Any], signature: inspect.Signature, names: list[str]
) -> Callable[..., Any]:
    reads = is_read(method.__name__.lstrip("_"))

    @functools.wraps(method)
    def call(self: _Store, *args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError:
            return method(self, *args, **kwargs)  # which says it in Python's own words
        for parameter in names:
            if bound.arguments.get(parameter) is not None:
                value = bound.arguments[parameter]
                bound.arguments[parameter] = _own(self, parameter, value, reads=reads)
        return method(*bound.args, **bound.kwargs)

    return call


def _own(store: _Store, parameter: str, value: Any, *, reads: bool) -> Any:
    if parameter in REFERENCES:
        getattr(store, REFERENCES[parameter])(value)
        return value
    if isinstance(value, list | tuple):
        return [store._own_experiment(item, create=not reads) for item in value]
    return store._own_experiment(value, create=not reads)
