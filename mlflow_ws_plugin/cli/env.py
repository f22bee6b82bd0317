"""`mlflow-ws env`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import click

from mlflow_ws_plugin.cli.target import optional_uri, target

if TYPE_CHECKING:
    from mlflow_ws_plugin.location import Location

__all__ = ["env"]


@click.command()
@optional_uri
@click.option(
    "--format",
    "style",
    type=click.Choice(["shell", "dotenv", "json", "docker", "k8s"]),
    default="shell",
    show_default=True,
    help="What to print it for.",
)
def env(uri: str | None, style: str) -> None:
    """Print the environment that a job needs to log into a workspace.

    The URI is absolute, so it means the same in every directory. No secret is ever printed. An
    embedded workspace is a directory: the docker and k8s forms mount it at the same path.

    \b
    Examples:
      eval "$(mlflow-ws env ws://demo)"
      mlflow-ws env ws://demo --format dotenv > .env
      eval docker run "$(mlflow-ws env ws://demo --format docker)" IMAGE python train.py
    """
    location = target(uri)
    variables = {"MLFLOW_TRACKING_URI": str(location.uri)}
    click.echo(_FORMATS[style](variables, location))


def _shell(variables: Mapping[str, str], _location: Location) -> str:
    return "\n".join(f"export {key}={shlex.quote(value)}" for key, value in variables.items())


def _dotenv(variables: Mapping[str, str], _location: Location) -> str:
    # The percent-encoding of URIs leaves nothing that a .env reader would take apart.
    return "\n".join(f"{key}={value}" for key, value in variables.items())


def _json(variables: Mapping[str, str], _location: Location) -> str:
    return json.dumps(dict(variables), indent=2)


def _docker(variables: Mapping[str, str], location: Location) -> str:
    directory = str(location.directory)
    words = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
    return shlex.join([*words, "-v", f"{directory}:{directory}"])


def _k8s(variables: Mapping[str, str], location: Location) -> str:
    directory = json.dumps(str(location.directory))
    lines = ["env:"]
    for key, value in variables.items():
        lines += [f"  - name: {key}", f"    value: {json.dumps(value)}"]
    lines += ["volumeMounts:", "  - name: mlflow-workspace", f"    mountPath: {directory}"]
    lines += ["volumes:", "  - name: mlflow-workspace", f"    hostPath: {{path: {directory}}}"]
    return "\n".join(lines)


_FORMATS: Final[Mapping[str, Callable[[Mapping[str, str], Location], str]]] = {
    "shell": _shell,
    "dotenv": _dotenv,
    "json": _json,
    "docker": _docker,
    "k8s": _k8s,
}
