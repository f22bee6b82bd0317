"""A new SQLite database with MLflow's schema: made apart, then given its name in one step."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from mlflow_ws_plugin import _mlflow
from mlflow_ws_plugin.stores import settings

__all__ = ["make"]

_FILL_TIMEOUT_S: Final = 20


def make(path: Path, *, wal: bool) -> None:
    """Make a database at `path`, where there is nothing or an empty file.

    The caller keeps other processes with this plugin away. What another program makes there
    meanwhile is left as it is.

    Raises:
        OSError, sqlite3.Error, sqlalchemy.exc.DatabaseError: Nothing was left half done.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.new")
    # Of a process of that number that was killed here.
    _remove(partial)
    try:
        _build(partial, wal=wal)
        _publish(partial, path)
    finally:
        _remove(partial)


def _build(path: Path, *, wal: bool) -> None:
    """Make a new database with MLflow's schema, complete on disk."""
    engine = _mlflow.sqlite_engine(path, lambda: "mode=rwc")
    try:
        if wal:
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        with _mlflow.write_transaction(engine) as connection:
            _mlflow.create_schema(connection)
            values = {"version": settings.VERSION, "mlflow_version": _mlflow.version}
            settings.write(connection, settings.DATABASE, values)
    finally:
        # Closing the last connection folds the write-ahead log into the file.
        engine.dispose()


def _publish(complete: Path, path: Path) -> None:
    """Give a database its name. What another program made there meanwhile is left as it is."""
    try:
        # Unlike a rename, a link never takes the place of a file.
        os.link(complete, path)
    except FileExistsError:
        _fill(path, complete)
    except OSError:
        # A file system without links. The empty file is no database until it is filled.
        path.touch()
        _fill(path, complete)


def _fill(path: Path, complete: Path) -> None:
    """Copy a database into an empty one, which others may have open; no other one is changed."""
    with (
        closing(sqlite3.connect(complete)) as source,
        closing(sqlite3.connect(path, timeout=_FILL_TIMEOUT_S, isolation_level=None)) as target,
    ):
        target.execute("BEGIN EXCLUSIVE")
        if target.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            return
        for statement in source.iterdump():
            if statement not in {"BEGIN TRANSACTION;", "COMMIT;"}:
                target.execute(statement)
        target.execute("COMMIT")
        [journal] = source.execute("PRAGMA journal_mode").fetchone()
        # Not while somebody else has it open; then it stays a rollback journal.
        with suppress(sqlite3.OperationalError):
            target.execute(f"PRAGMA journal_mode={journal}")


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
