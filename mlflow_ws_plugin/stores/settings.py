"""`ws_settings`: the one table that this plugin adds to MLflow's.

Rows of (workspace, key, value). MLflow and `mlflow db upgrade` leave unknown tables alone. Keys:

- of `DATABASE` (workspace `""`): `version` of this table, `mlflow_version` that made or last
  upgraded the schema.
- of a workspace: `uuid`, which outlives moves and tells a re-created workspace from a deleted one;
  `default_experiment_id`, what experiment `0` means; `display_name`, as in an Azure config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import sqlalchemy
from sqlalchemy import Column, Connection, MetaData, String, Table, delete, insert, literal, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateTable

from mlflow_ws_plugin import _mlflow

__all__ = ["DATABASE", "VERSION", "create", "find", "read", "remove", "write"]

DATABASE: Final = ""
VERSION: Final = "1"

_TABLE: Final = Table(
    "ws_settings",
    MetaData(),
    Column("workspace", String(63), primary_key=True),
    Column("key", String(63), primary_key=True),
    Column("value", String(2048), nullable=False),
)


def create(connection: Connection) -> None:
    """Create the table where it is missing. In one statement: two processes may meet here."""
    connection.execute(CreateTable(_TABLE, if_not_exists=True))


def read(connection: Connection, workspace: str) -> Mapping[str, str]:
    """The settings of one workspace; empty where the table is missing."""
    if not sqlalchemy.inspect(connection).has_table(_TABLE.name):
        return {}
    rows = connection.execute(
        select(_TABLE.c.key, _TABLE.c.value).where(_TABLE.c.workspace == workspace)
    )
    return {str(row.key): str(row.value) for row in rows}


def find(connection: Connection, workspace: str) -> str | None:
    """The uuid of a workspace; empty where it has none, None where there is no such workspace.

    One statement, but for databases without the table, which need a second.
    """
    name, recorded = _mlflow.SqlWorkspace.name, _TABLE.c
    uuid = select(recorded.value).where(recorded.workspace == name, recorded.key == "uuid")
    query = select(name, uuid.scalar_subquery()).where(name == workspace)
    try:
        row = connection.execute(query).first()
    except OperationalError:
        if sqlalchemy.inspect(connection).has_table(_TABLE.name):
            raise
        row = connection.execute(select(name, literal("")).where(name == workspace)).first()
    return None if row is None else str(row[1] or "")


def write(connection: Connection, workspace: str, values: Mapping[str, str]) -> None:
    """Set some settings of one workspace, in the caller's transaction."""
    create(connection)
    for key, value in values.items():
        _delete(connection, workspace, key)
        connection.execute(insert(_TABLE).values(workspace=workspace, key=key, value=value))


def remove(connection: Connection, workspace: str) -> None:
    """Forget a workspace, in the caller's transaction."""
    if sqlalchemy.inspect(connection).has_table(_TABLE.name):
        connection.execute(delete(_TABLE).where(_TABLE.c.workspace == workspace))


def _delete(connection: Connection, workspace: str, key: str) -> None:
    connection.execute(delete(_TABLE).where(_TABLE.c.workspace == workspace, _TABLE.c.key == key))
