"""Which workspace a command is about: argument, environment, config.json."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mlflow_ws_plugin.location import Location

__all__ = ["home_of", "optional_uri", "target"]


def optional_uri(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument `[URI]`."""
    return click.argument("uri", required=False)(command)


def target(uri: str | None) -> Location:
    """The workspace of `uri`, else of MLFLOW_TRACKING_URI, else of the nearest config.json.

    Raises:
        click.UsageError: None of them names one.
        WorkspaceError: It cannot be resolved.
    """
    from mlflow_ws_plugin.errors import ConfigNotFound
    from mlflow_ws_plugin.location import resolve
    from mlflow_ws_plugin.uri import is_workspace_uri

    if uri is not None:
        return resolve(uri)
    configured = os.environ.get("MLFLOW_TRACKING_URI")
    if is_workspace_uri(configured):
        return resolve(str(configured))
    try:
        return resolve("ws:")
    except ConfigNotFound as error:
        raise click.UsageError(
            "Which workspace? Give a URI such as ws://demo, set MLFLOW_TRACKING_URI to one, or "
            "write a config.json (there is none in reach)."
        ) from error


def home_of(uri: str | None) -> Location:
    """As `target`, but with the default home where nothing names a workspace."""
    from mlflow_ws_plugin.location import resolve

    try:
        return target(uri)
    except click.UsageError:
        return resolve("ws://default")
