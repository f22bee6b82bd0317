"""One SQLite database of this process: its engine, its sessions, its creation and upgrade."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final, TypeAlias

import sqlalchemy
from filelock import FileLock, Timeout
from sqlalchemy.exc import DatabaseError

from mlflow_ws_plugin import _mlflow
from mlflow_ws_plugin.errors import BackendRefused, BackendUnavailable, UnsupportedSchema
from mlflow_ws_plugin.location import Location
from mlflow_ws_plugin.stores import making, schema
from mlflow_ws_plugin.stores.filesystem import is_network_path, is_private, is_writable
from mlflow_ws_plugin.stores.openings import Openings

__all__ = ["Database", "close_all", "open_database"]

_logger = logging.getLogger("mlflow.ws")

_LOCK_TIMEOUT_S: Final = 120
# How many threads talk to one database at once. Each may need a second connection, because MLflow's
# log_batch opens a session inside its session; MLflow's pool holds 5 + 10.
_SLOTS: Final = 4

# How long a fork waits for calls under way; longer than SQLite's busy timeout in MLflow (20 s).
_FORK_TIMEOUT_S: Final = 30

_FileIdentity: TypeAlias = tuple[int, int]

_databases: dict[Path, Database] = {}
_databases_lock = threading.Lock()


def open_database(location: Location) -> Database:
    """The process's one `Database` for that file. Does no I/O, creates nothing."""
    key = location.database
    with _databases_lock:
        if key not in _databases:
            _databases[key] = Database(location)
        return _databases[key]


def close_all() -> None:
    """Close every connection of this process; the next use opens new ones."""
    with _databases_lock:
        for database in _databases.values():
            database.engine.dispose()


class Database:
    """A SQLite file. Every store of this process on that file shares this object. Thread-safe.

    Constructing it does no I/O. A fork waits for calls of other threads to end and closes the
    connections first: SQLite must not be carried into a child, where locks that a thread of the
    parent held would be held for ever (https://sqlite.org/howtocorrupt.html, section 2.6).
    """

    def __init__(self, location: Location) -> None:
        self.path = location.database
        self.url = f"sqlite:///{self.path.as_posix()}"
        self._uri = str(location.uri)
        self._upgrades_itself = location.is_home
        self.engine = _mlflow.sqlite_engine(self.path, lambda: _mode(self.path))
        self.openings = Openings()
        self._file: _FileIdentity | None = None
        self._parked = 0
        self._renew_locks()

    def _renew_locks(self) -> None:
        self._slots = threading.BoundedSemaphore(_SLOTS)
        self._opening = threading.RLock()
        self._held = threading.local()
        self.blank_lock = threading.RLock()

    @property
    def is_writable(self) -> bool:
        """Whether this user can write the file, or create it."""
        return is_writable(self.path)

    def exists(self) -> bool:
        """Whether there is a database to read. Looks at the schema of each new file.

        A file that was removed or replaced is noticed at the next call: what the pool's connections
        still write to it would be lost.

        Raises:
            UnsupportedSchema: It is not MLflow's, or not of the installed MLflow and not ours to
                upgrade.
            BackendUnavailable: It cannot be opened.
        """
        if self._file is not None and self._file == _identity(self.path):
            return True
        with self.slot(), self._opening:
            return self._look()

    def create(self) -> None:
        """Create the file with MLflow's schema, unless it is there.

        Safe against other processes, MLflow servers without this plugin included: the file appears
        under its name only when it is complete, and never in the place of another one.

        Raises:
            BackendRefused: The directory cannot be written.
            BackendUnavailable: It cannot be created for another reason, for example a full disk.
        """
        if self.exists():
            return
        self.refuse_read_only()
        with self.lock():
            if not self._look():
                self._create()
                self._look()

    def upgrade(self) -> Path | None:
        """Bring an older schema to the installed MLflow's, after a copy; returns the copy's path.

        Returns None where there is nothing to do.
        """
        self.refuse_read_only()
        if not self.path.exists():
            return None
        with self.lock():
            if self._schema() is not schema.Schema.OLDER:
                return None
            return schema.upgrade(self.path)

    def refuse_read_only(self) -> None:
        """Raise `BackendRefused` where this user cannot write."""
        for parent in self.path.parents:
            if parent.exists() and not parent.is_dir():
                raise BackendRefused(
                    f"{parent} is a file, so no workspace can be made at {self._uri}. Name another "
                    "directory."
                )
        if not self.is_writable:
            raise BackendRefused(
                f"{self.path} cannot be written by this user, so nothing was written. Reading "
                "works. Ask its owner for write permission on the directory and its files, or name "
                "another workspace."
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory's lock, for creation, deletion and migration. Blocks other processes.

        And MLflow's own lock, so that a server that is making this database has made it. Takes a
        slot first, then `_opening`, then the files: always in this order, so that nobody waits for
        somebody who waits. A thread that holds it may take it again.
        """
        with self.slot(), self._opening:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                own = self._acquire(self.path.parent / ".lock")
            except BackendUnavailable:
                raise
            except OSError as error:
                raise self._unavailable(error) from error
            with own, self._without_servers():
                yield

    @contextmanager
    def connect(self) -> Iterator[sqlalchemy.Connection]:
        """A plain connection; what keeps it from opening is a `BackendUnavailable`."""
        try:
            with self.slot(), self.engine.connect() as connection:
                yield connection
        except DatabaseError as error:
            raise self._unavailable(error.orig or error) from error

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a place at the database.

        A call inside a call takes no second place, so `_SLOTS` threads never wait for each other.
        """
        # Kept here, because a fork inside the call renews the attributes.
        slots, held = self._slots, self._held
        depth = getattr(held, "depth", 0)
        if depth == 0:
            slots.acquire()
        held.depth = depth + 1
        try:
            yield
        finally:
            held.depth = depth
            if depth == 0:
                slots.release()
                if not self.is_writable:
                    # Opened `immutable`: a connection kept open would not see later writes.
                    self.engine.dispose()

    def before_fork(self) -> None:
        """Wait for the calls of other threads, keep new ones out, and close the connections."""
        if getattr(self._held, "depth", 0):
            return
        deadline = time.monotonic() + _FORK_TIMEOUT_S
        while self._parked < _SLOTS and self._slots.acquire(
            timeout=max(0.0, deadline - time.monotonic())
        ):
            self._parked += 1
        self.engine.dispose()

    def after_fork(self, *, in_child: bool) -> None:
        """Let the calls in again."""
        if in_child:
            self._renew_locks()
        elif self._parked:
            self._slots.release(self._parked)
        self._parked = 0

    def _without_servers(self) -> AbstractContextManager[object]:
        """No MLflow server on this machine makes or migrates the database meanwhile."""
        try:
            return self._acquire(_mlflow.server_lock_file(self.url))
        except BackendUnavailable:
            raise
        except OSError:
            # Somebody else's, whose servers cannot write here.
            return nullcontext()

    def _acquire(self, file: Path) -> AbstractContextManager[object]:
        """A lock between processes and threads; a thread that holds it may take it again."""
        try:
            return FileLock(file, timeout=_LOCK_TIMEOUT_S, is_singleton=True).acquire()
        except Timeout as error:
            raise BackendUnavailable(
                f"Another process has been creating, upgrading or deleting in {self.path} for "
                f"{_LOCK_TIMEOUT_S} s. If none is running, remove {error.lock_file}."
            ) from error

    def _look(self) -> bool:
        """Whether there is a database now; holding `_opening`."""
        found = _identity(self.path)
        if self._file is None or self._file != found:
            # Connections of the pool hold the file that was there before, or an empty one.
            self.engine.dispose()
            self._file = None
            # Found before it is opened: one that replaces it meanwhile is noticed.
            self._file = found if self._open() else None
        return self._file is not None

    def _open(self) -> bool:
        try:
            if not self.path.exists() or self.path.stat().st_size == 0:
                return False
        except FileNotFoundError:
            return False
        except OSError as error:
            raise BackendRefused(
                f"{self.path} cannot be looked at by this user: {error.strerror}. Ask the owner of "
                "the directories above it for permission to enter them, or name another workspace."
            ) from error
        state = self._settled_schema()
        if state is schema.Schema.OLDER:
            self._upgrade_own()
        return state is not schema.Schema.EMPTY

    def _settled_schema(self) -> schema.Schema:
        """The schema, when no server of this machine is in the middle of making it."""
        with suppress(UnsupportedSchema):
            state = self._schema()
            if state is not schema.Schema.OLDER:
                return state
        with self._without_servers():
            # Not held any longer: what follows takes the lock of the directory, which comes first.
            pass
        return self._schema()

    def _schema(self) -> schema.Schema:
        try:
            state = schema.inspect(self.engine, str(self.path))
            if is_network_path(self.path) and self.is_writable:
                _leave_wal(self.engine, self.path)
        except DatabaseError as error:
            raise self._unavailable(error.orig or error) from error
        return state

    def _upgrade_own(self) -> None:
        if not (self._upgrades_itself and self.is_writable and is_private(self.path)):
            raise schema.refuse_older(str(self.path), self._uri)
        with self.lock():
            if self._schema() is schema.Schema.OLDER:
                schema.upgrade(self.path)

    def _create(self) -> None:
        try:
            making.make(self.path, wal=not is_network_path(self.path))
        except (DatabaseError, sqlite3.Error, OSError) as error:
            raise self._unavailable(getattr(error, "orig", error)) from error

    def _unavailable(self, cause: object) -> BackendUnavailable:
        return BackendUnavailable(
            f"Cannot open {self.path} ({self._uri}): {cause}. Check that the directory exists, "
            "that the disk is not full and that this user may write there."
        )


def _identity(path: Path) -> _FileIdentity | None:
    """What tells a file from one that takes its place; None where there is none to be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _mode(path: Path) -> str:
    if is_writable(path):
        return "mode=rw"
    log, shared = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    # A log that somebody is writing must be read through; without one nothing changes meanwhile.
    return "mode=ro" if log.exists() and shared.exists() else "mode=ro&immutable=1"


def _leave_wal(engine: sqlalchemy.Engine, path: Path) -> None:
    with engine.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    if mode == "wal":
        _pragma(engine, "journal_mode=DELETE")
        _logger.warning(
            "%s is on a network file system: it uses a rollback journal there, which is slower and "
            "blocks readers while one process writes. Prefer a local disk.",
            path,
        )


def _pragma(engine: sqlalchemy.Engine, pragma: str) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA {pragma}")


def _before_fork() -> None:
    # Held until after the fork: one fork at a time waits for the calls under way.
    _databases_lock.acquire()
    for database in _databases.values():
        database.before_fork()


def _after_fork_in_parent() -> None:
    for database in _databases.values():
        database.after_fork(in_child=False)
    _databases_lock.release()


def _after_fork_in_child() -> None:
    for database in _databases.values():
        database.after_fork(in_child=True)
    _databases_lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
