"""`mlflow-ws upgrade`."""

from __future__ import annotations

import click

__all__ = ["upgrade"]


@click.command()
@click.argument("uri")
def upgrade(uri: str) -> None:
    """Bring a workspace's database to the schema of the installed MLflow.

    A copy is made first. Everybody who opens the database directly needs this MLflow version
    afterwards. A home that only you can write upgrades itself; this is for the others.

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
