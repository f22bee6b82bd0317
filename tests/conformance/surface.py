"""The public surface of MLflow's stores: what is there, and what `surface.txt` says of it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from pathlib import Path

from packaging.version import Version

DATA = Path(__file__).with_name("surface.txt")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of `surface.txt`."""

    kind: str
    how: str
    detail: str
    since: Version


def public_names(*classes: type) -> set[str]:
    """Every public name, constants and properties included."""
    return {name for cls in classes for name in dir(cls) if not name.startswith("_")}


def public_methods(cls: type) -> set[str]:
    """The names of all public methods."""
    members = inspect.getmembers(cls, inspect.isfunction)
    return {name for name, _ in members if not name.startswith("_")}


@functools.cache
def entries() -> Mapping[str, Mapping[str, Entry]]:
    """`surface.txt`, by area and name."""
    areas: dict[str, dict[str, Entry]] = {}
    for line in DATA.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            area = areas.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, kind, how, detail, *since = line.split()
            assert name not in area, f"{name} is there twice"
            area[name] = Entry(kind, how, detail, Version(since[1] if since else "3.15"))
    return areas


def claimed_by(test: str) -> set[tuple[str, str]]:
    """What `surface.txt` says that a scenario calls."""
    return {
        (area, name)
        for area, names in entries().items()
        for name, entry in names.items()
        if (entry.how, entry.detail) == ("differential", test)
    }
