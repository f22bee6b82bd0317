"""The version of a database's tables: looked at before MLflow looks, and changed only on purpose.

MLflow's own constructor migrates a database in place when tables are missing, which locks every
colleague with an older MLflow out, and tells those to run a command that is wrong for them.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from enum import Enum
from pathlib import Path

import sqlalchemy
from packaging.version import Version
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from mlflow_ws_plugin import _mlflow
from mlflow_ws_plugin.errors import UnsupportedSchema
from mlflow_ws_plugin.stores import settings

__all__ = ["Schema", "inspect", "refuse_older", "upgrade"]

_logger = logging.getLogger("mlflow.ws")


class Schema(Enum):
    """How a database's schema compares with the installed MLflow's."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"


def inspect(engine: sqlalchemy.Engine, where: str) -> Schema:
    """Compare the schema with the installed MLflow's. Only reads.

    Raises:
        UnsupportedSchema: The database is newer, or it is not MLflow's.
    """
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
    except DatabaseError as error:
        if "not a database" not in str(error.orig):
            raise
        raise UnsupportedSchema(
            f"{where} is not a SQLite database. Name another workspace, or move that file away."
        ) from error
    if not tables:
        return Schema.EMPTY
    with engine.connect() as connection:
        return _compare(connection, where, tables)


def _compare(connection: sqlalchemy.Connection, where: str, tables: set[str]) -> Schema:
    revision = _revision(connection) if "alembic_version" in tables else None
    if revision is None or "experiments" not in tables:
        raise UnsupportedSchema(
            f"{where} is a database, but not MLflow's: it holds the tables "
            f"{', '.join(sorted(tables)[:5])}. Nothing was changed. Name another one."
        )
    if revision == _mlflow.latest_revision():
        return Schema.CURRENT
    if revision in _mlflow.known_revisions():
        return Schema.OLDER
    raise UnsupportedSchema(_newer(connection, where, revision))


def refuse_older(where: str, uri: str) -> UnsupportedSchema:
    """The error for an older database that is not upgraded by opening it."""
    return UnsupportedSchema(
        f"{where} was written by an older MLflow than {_mlflow.version}. Opening it does not "
        "change it, because others may still use it with that MLflow. When they can all move, "
        f"run: mlflow-ws upgrade '{uri}'"
    )


def upgrade(database: Path) -> Path | None:
    """Copy the SQLite file, then bring its schema to the installed MLflow's.

    In one transaction that other writers wait for: what they wrote before is in it, what they write
    after a failure is kept. Returns the copy's path; None where another program has done it.

    Raises:
        UnsupportedSchema: A step failed; the database is as it was.
    """
    # A connection of its own: those of the pool enforce foreign keys, which migrations suspend.
    own = _mlflow.sqlite_engine(database, lambda: "mode=rw")
    backup: Path | None = None
    try:
        with _mlflow.write_transaction(own) as connection:
            revision = _revision(connection)
            if revision == _mlflow.latest_revision():
                return None
            if revision not in _mlflow.known_revisions():
                raise UnsupportedSchema(_newer(connection, str(database), str(revision)))
            backup = database.with_name(f"{database.name}.{revision}.bak")
            _copy(database, backup)
            _mlflow.upgrade_schema(connection)
            settings.write(connection, settings.DATABASE, {"mlflow_version": _mlflow.version})
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise UnsupportedSchema(
            f"{database} cannot be upgraded to the schema of MLflow {_mlflow.version}: {error}. It "
            f"is as it was{f'; {backup} is a copy' if backup else ''}."
        ) from error
    finally:
        own.dispose()
    _logger.info(
        "Upgraded %s to the schema of MLflow %s; the copy of before is %s",
        database,
        _mlflow.version,
        backup,
    )
    return backup


def _revision(connection: sqlalchemy.Connection) -> str | None:
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return None if row is None else str(row[0])


def _newer(connection: sqlalchemy.Connection, where: str, revision: str) -> str:
    writer = settings.read(connection, settings.DATABASE).get("mlflow_version")
    # A stock MLflow may have upgraded it since: then the recorded version is too old to help.
    helps = writer is not None and Version(writer) > Version(_mlflow.version)
    install = f"'mlflow=={writer}'" if helps else "-U mlflow"
    return (
        f"{where} was written by a newer MLflow than {_mlflow.version} (schema {revision}; this "
        f"MLflow knows schemas up to {_mlflow.latest_revision()}). Nothing was changed. "
        f"Run: pip install {install}"
    )


def _copy(source: Path, target: Path) -> None:
    """SQLite's online backup: complete even while others write."""
    partial = target.with_name(f"{target.name}.partial")
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(partial)) as new:
        old.backup(new)
    partial.replace(target)
