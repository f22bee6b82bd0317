"""`mlflow-ws workspace list|show|create|delete`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from mlflow_ws_plugin.cli.output import as_size, as_time, output_option, print_json, print_table
from mlflow_ws_plugin.cli.target import home_of, optional_uri, target

if TYPE_CHECKING:
    from mlflow_ws_plugin.stores.inventory import Inventory

__all__ = ["workspace"]


@click.group()
def workspace() -> None:
    """List, show, create and delete workspaces.

    \b
    Example:
      mlflow-ws workspace list
    """


@workspace.command("list")
@optional_uri
@output_option
def list_workspaces(uri: str | None, output: str) -> None:
    """List the workspaces of a home.

    URI is that of any workspace in the home. It defaults to MLFLOW_TRACKING_URI, then to the
    nearest config.json, then to the default home.

    \b
    Examples:
      mlflow-ws workspace list
      mlflow-ws workspace list ws:///data/team/any -o json
    """
    from mlflow_ws_plugin.stores.backend import open_backend
    from mlflow_ws_plugin.stores.inventory import inventory

    location = home_of(uri)
    found = [
        inventory(open_backend(location.beside(name)))
        for name in open_backend(location).neighbours()
    ]
    if output == "json":
        print_json([dataclasses.asdict(item) for item in found])
        return
    rows = [
        {
            "name": item.workspace,
            "experiments": item.experiments,
            "runs": item.runs,
            "models": item.registered_models,
            "traces": item.traces,
            "last_run": as_time(item.last_run_ms),
            "uri": item.uri,
        }
        for item in found
    ]
    if rows:
        print_table(("name", "experiments", "runs", "models", "traces", "last_run", "uri"), rows)
    else:
        click.echo(f"No workspaces in {location.directory}.", err=True)


@workspace.command()
@optional_uri
@output_option
def show(uri: str | None, output: str) -> None:
    """Show one workspace: where it is and what it holds.

    \b
    Example:
      mlflow-ws workspace show ws://demo
    """
    from mlflow_ws_plugin.stores.backend import open_existing
    from mlflow_ws_plugin.stores.inventory import artifact_bytes, inventory

    backend = open_existing(target(uri))
    held = inventory(backend)
    places: dict[str, str | int] = {
        "database": str(backend.location.database),
        "database_bytes": backend.location.database.stat().st_size,
        "artifacts": str(backend.location.artifact_directory),
        "artifact_bytes": artifact_bytes(backend.location.artifact_directory),
    }
    if output == "json":
        print_json(dataclasses.asdict(held) | places)
        return
    for key, value in (_described(held) | _sized(places)).items():
        click.echo(f"{key.replace('_', ' '):<22} {'-' if value is None else value}")


@workspace.command()
@click.argument("uri")
@click.option("--description", help="Shown in MLflow's workspace switcher.")
def create(uri: str, description: str | None) -> None:
    """Create a workspace, and its home where needed.

    Not needed before logging: the first write creates an embedded workspace.

    \b
    Example:
      mlflow-ws workspace create ws://demo --description "Handwritten digits"
    """
    from mlflow_ws_plugin.errors import WorkspaceError
    from mlflow_ws_plugin.location import resolve
    from mlflow_ws_plugin.stores.backend import open_backend

    backend = open_backend(resolve(uri))
    if not backend.create(description):
        raise WorkspaceError(f"{backend.location.uri} exists already; nothing was changed.")
    click.echo(str(backend.location.uri))


@workspace.command()
@click.argument("uri")
@click.option("--cascade", is_flag=True, help="Delete everything it holds, files included.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(uri: str, *, cascade: bool, yes: bool) -> None:
    """Delete a workspace. Refuses while it holds anything, unless --cascade is given.

    \b
    Examples:
      mlflow-ws workspace delete ws://old
      mlflow-ws workspace delete ws://old --cascade --yes
    """
    from mlflow_ws_plugin.location import resolve
    from mlflow_ws_plugin.stores import inventory
    from mlflow_ws_plugin.stores.backend import open_existing

    backend = open_existing(resolve(uri))
    held = inventory.inventory(backend)
    if cascade and not yes:
        click.confirm(
            f"Delete '{held.workspace}' with {held.experiments} experiments, {held.runs} runs, "
            f"{held.registered_models} registered models and all files, for ever?",
            abort=True,
            err=True,
        )
    inventory.delete(backend, cascade=cascade)
    click.echo(f"Deleted {held.uri}")


def _described(held: Inventory) -> dict[str, object]:
    return {
        "name": held.workspace,
        "uri": held.uri,
        "description": held.description,
        **held.settings,
        "experiments": held.experiments,
        "runs": held.runs,
        "logged models": held.logged_models,
        "registered models": held.registered_models,
        "traces": held.traces,
        "last run": as_time(held.last_run_ms),
    }


def _sized(places: dict[str, str | int]) -> dict[str, object]:
    return {
        "database": f"{places['database']} ({as_size(int(places['database_bytes']))})",
        "artifacts": f"{places['artifacts']} ({as_size(int(places['artifact_bytes']))})",
    }
