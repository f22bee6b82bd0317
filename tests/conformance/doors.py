"""The ways to a home that the shared suites run on.

All tests run on the first, which is embedded; those that are marked `core` run on each other one
too, behind the marker `doors`. So a new door adds a tenth of the suites, and to that tier.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

EMBEDDED = "ws"
DOORS: dict[str, Callable[[Path, str], str]] = {
    EMBEDDED: lambda home, name: f"ws://{home.as_posix()}/{name}",
    "ws+sqlite": lambda home, name: f"ws+sqlite://{home.as_posix()}/workspaces.db/{name}",
}
"""A door's name, and the URI of a workspace of a home through it."""
