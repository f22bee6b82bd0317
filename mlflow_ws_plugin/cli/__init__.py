"""The command `mlflow-ws`."""

from __future__ import annotations

import click

from mlflow_ws_plugin.errors import WorkspaceError

__all__ = ["main"]


class _Commands(click.Group):
    """Prints our errors as one line, without a traceback; exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except WorkspaceError as error:
            raise click.ClickException(str(error.message)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mlflow-ws-plugin")
def main() -> None:
    """MLflow workspaces that one URI names."""


@main.command()
@click.argument("uri")
def upgrade(uri: str) -> None:
    r"""Bring the database of workspace URI to the schema of the installed MLflow.

    A copy is made first. Everybody who opens the database directly needs this MLflow version
    afterwards. The default home upgrades itself; this is for databases that others may use.

    \b
    Example:
      mlflow-ws upgrade ws+sqlite:///data/mlflow.db/team
    """
    from mlflow_ws_plugin.location import resolve
    from mlflow_ws_plugin.stores.database import open_database

    location = resolve(uri)
    backup = open_database(location).upgrade()
    if backup is None:
        click.echo(f"Nothing to do: {location.database} is up to date, or does not exist.")
    else:
        click.echo(f"Upgraded {location.database}; the copy of before is {backup}")
