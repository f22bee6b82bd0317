"""One URI names a workspace; everything that a script logs to MLflow ends up there.

Scripts need no import of this package: `MLFLOW_TRACKING_URI=ws://NAME` is the only switch. What is
here is for programs that handle workspace URIs themselves. Names are imported on first use
(PEP 562), because MLflow loads this package while it is itself being imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_ws_plugin.errors import (
        BackendRefused,
        BackendUnavailable,
        ConfigNotFound,
        InvalidConfig,
        InvalidWorkspaceUri,
        UnsupportedSchema,
        WorkspaceConflict,
        WorkspaceError,
        WorkspaceNotFound,
    )
    from mlflow_ws_plugin.uri import WorkspaceUri

__all__ = [
    "BackendRefused",
    "BackendUnavailable",
    "ConfigNotFound",
    "InvalidConfig",
    "InvalidWorkspaceUri",
    "UnsupportedSchema",
    "WorkspaceConflict",
    "WorkspaceError",
    "WorkspaceNotFound",
    "WorkspaceUri",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mlflow-ws-plugin")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "uri" if name == "WorkspaceUri" else "errors"
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
