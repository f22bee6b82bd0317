"""A workspace in a database: what the stores are pinned to."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy
from mlflow.entities import Experiment, LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis
from sqlalchemy import event, select
from sqlalchemy.orm import Session, sessionmaker

from mlflow_ws_plugin import _mlflow
from mlflow_ws_plugin._mlflow import SessionFactory, SqlExperiment, SqlWorkspace
from mlflow_ws_plugin.errors import WorkspaceConflict, WorkspaceNotFound
from mlflow_ws_plugin.location import Location
from mlflow_ws_plugin.stores import settings
from mlflow_ws_plugin.stores.database import Database, open_database

__all__ = ["WorkspaceBackend", "open_backend", "open_existing"]

_logger = logging.getLogger("mlflow.ws")

DEFAULT_EXPERIMENT_ALIAS: Final = "0"
"""What MLflow's client calls the experiment of a script that names none."""

# MLflow's own workspace, whose Default experiment must have the id 0.
MLFLOW_DEFAULT: Final = "default"

_backends: dict[Location, WorkspaceBackend] = {}


def open_backend(location: Location) -> WorkspaceBackend:
    """The process's one backend for that workspace. Does no I/O, creates nothing."""
    found = _backends.get(location)
    # Of threads that meet here, all get the one that was put there first.
    return found or _backends.setdefault(
        location, WorkspaceBackend(location, open_database(location))
    )


def open_existing(location: Location) -> WorkspaceBackend:
    """The backend of a workspace that must be there. Creates nothing.

    Raises:
        WorkspaceNotFound: There is no such workspace; shows the nearest name and the next command.
    """
    backend = open_backend(location)
    if not backend.exists():
        raise backend._absent()
    return backend


class WorkspaceBackend:
    """One workspace, opened on first use and created on first write. Thread-safe, fork-safe.

    Every session of every store goes through `session`, and that is where the promises are kept:
    the URI's workspace cannot be contradicted, an absent workspace reads as a new one and is made
    by the first write, and a deleted one is never resurrected by a process that had it open.
    """

    def __init__(self, location: Location, database: Database) -> None:
        self.location = location
        self.workspace = location.workspace
        self.url = database.url
        self.engine = database.engine
        self._database = database
        factory = sessionmaker(bind=database.engine)
        event.listen(factory, "after_flush", self._refuse_orphans)
        self._sessions = _mlflow.managed_sessions(factory, database.engine)
        self._openings = database.openings
        self._blank: SessionFactory | None = None
        self._entered = threading.local()

    def engine_to_construct(self) -> sqlalchemy.Engine:
        """The real engine, or a blank database in memory while there is no real one."""
        return self.engine if self._database.exists() else _mlflow.blank_engine()

    @contextmanager
    def session(self, read_only: bool = True) -> Iterator[Session]:
        """MLflow's `ManagedSessionMaker` for this workspace.

        Args:
            read_only: As in MLflow: the caller will not write. A write creates the workspace where
                it does not exist yet.

        Raises:
            WorkspaceConflict: `MLFLOW_WORKSPACE` or `mlflow.set_workspace` names another workspace.
            WorkspaceNotFound: It was deleted while it was open.
            BackendRefused: A write, and this user may only read.
        """
        self.refuse_contradiction()
        if (alone := self._alone) is not None:
            yield alone
            return
        # A call inside a call on this workspace sees what the outer one sees.
        outer: SessionFactory | None = getattr(self._entered, "sessions", None)
        with self._database.slot():
            if outer is None or (outer == self._blank_session and not read_only):
                sessions = self._enter(read_only)
            else:
                sessions = outer
            self._entered.sessions = sessions
            try:
                with sessions(read_only=read_only) as session:
                    yield session
            except MlflowException as error:
                # "No such run", or a constraint that fails, in a workspace deleted a moment ago.
                if outer is None and self._is_deleted():
                    raise self._deleted() from error
                raise
            finally:
                self._entered.sessions = outer

    def exists(self) -> bool:
        """Whether the workspace is there now. Creates nothing."""
        return self._uuid() is not None

    @contextmanager
    def connect(self) -> Iterator[sqlalchemy.Connection]:
        """A plain connection to the database of the workspace, which must exist."""
        with self._database.connect() as connection:
            yield connection

    def create(self, description: str | None = None) -> bool:
        """Create the workspace, and its home where needed; False if it was there already."""
        before, made = self._openings.of(self.workspace), uuid.uuid4().hex
        self._database.create()
        self._database.refuse_read_only()
        with self.lock():
            # Once more: the home may have been removed while this waited for the lock.
            self._database.create()
            with self.alone() as session:
                if self._row_exists(session):
                    return False
                if before.is_open:
                    # That one is gone, and this process makes another one on purpose.
                    self._openings.forget(self.workspace)
                    before = self._openings.of(self.workspace)
                self._warn(session)
                self._insert(session, description, made)
        self._openings.mark(self.workspace, before, made)
        _logger.info(
            "Created workspace '%s' in %s (%s)",
            self.workspace,
            self.location.directory,
            self.location.uri,
        )
        return True

    @contextmanager
    def alone(self) -> Iterator[Session]:
        """One transaction in which nobody else writes: what it reads stays true until it commits.

        `session` gives the same one, inside. Not for use inside a `session`, which may hold the
        write lock. The caller looks whether the workspace is there.

        Raises:
            BackendRefused: This user may only read.
            MlflowException: As MLflow's sessions; others have been writing for 20 s, for example.
        """
        self._database.refuse_read_only()
        with self._database.slot(), self._sessions(read_only=False) as session:
            _mlflow.begin_to_write(session.connection())
            self._entered.alone = session
            try:
                yield session
            finally:
                self._entered.alone = None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """While it is held, no process with this plugin creates or deletes here; see `Database`."""
        with self._database.lock():
            yield

    def has_database(self) -> bool:
        """Whether there is a database, of whatever workspaces."""
        return self._database.exists()

    def neighbours(self) -> list[str]:
        """The names of all workspaces in the same database, MLflow's own `default` left out."""
        if not self._database.exists():
            return []
        query = select(SqlWorkspace.name).where(SqlWorkspace.name != MLFLOW_DEFAULT)
        with self._database.connect() as connection:
            return sorted(connection.execute(query).scalars())

    def default_experiment_id(self, *, create: bool) -> str | None:
        """The experiment that `0` means here; None if there is none yet and `create` is false."""
        with self.session(read_only=not create) as session:
            found = self._find_default(session)
        if found is not None or not create:
            return found
        # A workspace that a stock server made has none: the first that writes adds it.
        with self.alone() as session:
            return self._find_default(session) or self._add_default(session)

    @contextmanager
    def deletion(self, *, only_unused: bool) -> Iterator[Session]:
        """The one transaction in which the workspace is deleted; the caller deletes its rows in it.

        What the plugin recorded goes with them, and the Default experiment, which is made with the
        workspace, does not keep MLflow from deleting an unused one. Nothing of it happens where the
        caller raises. Creation waits meanwhile; after it, whoever writes makes a new workspace.

        Raises:
            WorkspaceNotFound: It is not there.
            BackendRefused: This user may only read.
        """
        self.refuse_contradiction()
        if not self.exists():
            raise self._absent()
        self._database.refuse_read_only()
        with self.lock():
            # Once more: it, or the home, may have gone while this waited for the lock.
            if not self.exists():
                raise self._absent()
            with self.alone() as session:
                if only_unused:
                    self._drop_unused_default(session)
                yield session
                settings.remove(session.connection(), self.workspace)
            # After the commit: until then others see the workspace, and would mark it as open.
            self._openings.forget(self.workspace)

    def refuse_contradiction(self) -> None:
        """Raise `WorkspaceConflict` where MLflow's own switch names another workspace."""
        requested = _mlflow.requested_workspace()
        if requested not in {None, self.workspace}:
            raise WorkspaceConflict(
                f"The tracking URI {self.location.uri} names workspace '{self.workspace}', and "
                f"MLFLOW_WORKSPACE or mlflow.set_workspace() names '{requested}'. Unset the second "
                f"(mlflow.set_workspace(None)), or use the URI of '{requested}'."
            )

    def refuse_deleted(self) -> None:
        """Raise `WorkspaceNotFound` where it was deleted while this process had it open."""
        if self._is_deleted():
            raise self._deleted()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Raise `WorkspaceNotFound` where it is not there, or is deleted before the block ends."""
        before, found = self._openings.of(self.workspace), self._uuid()
        if found is None:
            raise self._deleted() if before.is_open else self._absent()
        yield
        deletion = self._openings.of(self.workspace).deletion
        if deletion != before.deletion or self._uuid() != found:
            raise self._deleted()

    def refuse_read_only(self) -> None:
        """Raise `BackendRefused` where this user may only read."""
        self._database.refuse_read_only()

    # --- opening ---------------------------------------------------------------------------------

    @property
    def _alone(self) -> Session | None:
        session: Session | None = getattr(self._entered, "alone", None)
        return session

    def _enter(self, read_only: bool) -> SessionFactory:
        # Asked before looking: what another thread makes after the look was not deleted.
        before = self._openings.of(self.workspace)
        found = self._uuid()
        if before.is_open and found != before.uuid:
            raise self._deleted()
        if found is None:
            if read_only:
                return self._blank_session
            self.create()
            found = self._uuid()
        if not before.is_open:
            # Also where another process made it a moment ago.
            self._refuse_namesake()
            self._openings.mark(self.workspace, before, found or "")
        if not read_only:
            self._database.refuse_read_only()
        return self._sessions

    def _is_deleted(self) -> bool:
        """Whether it was there for this process and is gone, or replaced by a namesake."""
        before = self._openings.of(self.workspace)
        return before.is_open and self._uuid() != before.uuid

    def _uuid(self) -> str | None:
        """What tells the workspace from a later one of its name.

        Empty for one that a stock server made, None where there is none.
        """
        if not self._database.exists():
            return None
        with self._database.connect() as connection:
            return settings.find(connection, self.workspace)

    def _refuse_namesake(self) -> None:
        """Two Azure ML names, such as My_WS and my-ws, must not meet in one workspace."""
        wanted = self.location.display_name
        with self._database.connect() as connection:
            found = settings.read(connection, self.workspace).get("display_name")
        if wanted and found and wanted != found:
            raise WorkspaceConflict(
                f"Workspace '{self.workspace}' in {self.location.directory} was made for "
                f"'{found}', and config.json names '{wanted}'. Add a 'tracking_uri' with another "
                "name to it."
            )

    def _row_exists(self, session: Session | sqlalchemy.Connection) -> bool:
        query = select(SqlWorkspace.name).where(SqlWorkspace.name == self.workspace)
        return session.execute(query).first() is not None

    def _absent(self) -> WorkspaceNotFound:
        near = [name for name in self.neighbours() if _is_near(name, self.workspace)]
        hint = f" Did you mean '{near[0]}'?" if near else ""
        return WorkspaceNotFound(
            f"There is no workspace '{self.workspace}' in {self.location.directory} yet.{hint} The "
            f"first run logged to it creates it, and so does: mlflow-ws workspace create "
            f"{self.location.uri}"
        )

    def _deleted(self) -> WorkspaceNotFound:
        return WorkspaceNotFound(
            f"Workspace '{self.workspace}' of {self.location.directory} was deleted while this "
            f"process had it open, so nothing more is written to it. Start the process again to "
            f"use a new one of that name ({self.location.uri})."
        )

    def _refuse_orphans(self, session: Session, _context: object) -> None:
        """Check, in the transaction that adds a row of this workspace, that it still exists.

        The row is locked against deletion where the engine can; SQLite's writers are alone anyway.
        """
        if not any(hasattr(row, "workspace") for row in session.new):
            return
        query = select(SqlWorkspace.name).where(SqlWorkspace.name == self.workspace)
        locked = query.with_for_update(read=True, key_share=True)
        if session.execute(locked).first() is None:
            raise self._deleted()

    # --- creation --------------------------------------------------------------------------------

    def _insert(self, session: Session, description: str | None, made: str) -> None:
        session.add(SqlWorkspace(name=self.workspace, description=description))
        session.flush()
        values = {"uuid": made}
        if self.location.display_name:
            values["display_name"] = self.location.display_name
        settings.write(session.connection(), self.workspace, values)
        self._add_default(session)

    def _drop_unused_default(self, session: Session) -> None:
        """Remove the Default experiment where it is all there is and holds nothing."""
        mine = SqlExperiment.workspace == self.workspace
        rows = session.query(SqlExperiment).filter(mine).all()
        if len(rows) != 1 or str(rows[0].experiment_id) != self._find_default(session):
            return
        contents = (
            select(column).where(column == rows[0].experiment_id)
            for column in _mlflow.contents_of_experiments()
        )
        if not any(session.execute(query).first() for query in contents):
            session.delete(rows[0])

    def _find_default(self, session: Session) -> str | None:
        query = select(SqlExperiment.experiment_id).where(SqlExperiment.workspace == self.workspace)
        recorded = settings.read(session.connection(), self.workspace).get("default_experiment_id")
        by_id = query.where(SqlExperiment.experiment_id == int(recorded or -1))
        by_name = query.where(SqlExperiment.name == Experiment.DEFAULT_EXPERIMENT_NAME)
        row = session.execute(by_id).first() or session.execute(by_name).first()
        return None if row is None else str(row[0])

    def _add_default(self, session: Session) -> str:
        experiment = _default_experiment(self.workspace)
        session.add(experiment)
        session.flush()
        experiment_id = str(experiment.experiment_id)
        experiment.artifact_location = self.artifact_location(experiment_id)
        session.flush()
        settings.write(
            session.connection(), self.workspace, {"default_experiment_id": experiment_id}
        )
        return experiment_id

    def artifact_location(self, experiment_id: str) -> str:
        """MLflow's logical place of an experiment's artifacts; a moved home keeps it."""
        return f"{_mlflow.ARTIFACT_ROOT}workspaces/{self.workspace}/{experiment_id}"

    def _warn(self, session: Session) -> None:
        names = list(session.execute(select(SqlWorkspace.name)).scalars())
        if names == [MLFLOW_DEFAULT] and session.query(SqlExperiment).first() is not None:
            _logger.warning(
                "%s held no workspace so far. From now on an MLflow server on it needs "
                "--enable-workspaces.",
                self.location.database,
            )
        if near := [name for name in names if _is_near(name, self.workspace)]:
            _logger.warning(
                "Creating workspace '%s' beside '%s' in %s. If that is a typing error, delete the "
                "new one.",
                self.workspace,
                "', '".join(near),
                self.location.directory,
            )

    # --- an absent workspace ---------------------------------------------------------------------

    def _make_blank(self) -> SessionFactory:
        engine = _mlflow.blank_engine()
        factory = sessionmaker(bind=engine)
        with factory.begin() as session:
            session.add(SqlWorkspace(name=self.workspace))
            experiment = _default_experiment(self.workspace)
            experiment.experiment_id = int(DEFAULT_EXPERIMENT_ALIAS)
            experiment.artifact_location = self.artifact_location(DEFAULT_EXPERIMENT_ALIAS)
            session.add(experiment)
        return _mlflow.managed_sessions(factory, engine)

    @contextmanager
    def _blank_session(self, read_only: bool = True) -> Iterator[Session]:
        """A session that sees what a new workspace would hold: its Default experiment."""
        # One connection in memory, so one thread at a time.
        with self._database.blank_lock:
            self._blank = self._blank or self._make_blank()
            with self._blank(read_only=read_only) as session:
                yield session


def _default_experiment(workspace: str) -> SqlExperiment:
    now_ms = get_current_time_millis()
    return SqlExperiment(
        # None lets the database choose.
        experiment_id=int(DEFAULT_EXPERIMENT_ALIAS) if workspace == MLFLOW_DEFAULT else None,
        name=Experiment.DEFAULT_EXPERIMENT_NAME,
        lifecycle_stage=LifecycleStage.ACTIVE,
        creation_time=now_ms,
        last_update_time=now_ms,
        workspace=workspace,
    )


def _is_near(name: str, other: str) -> bool:
    """Whether one or two letters make one of the other (edit distance)."""
    if name in {other, MLFLOW_DEFAULT} or abs(len(name) - len(other)) > 2:
        return False
    row = list(range(len(other) + 1))
    for i, letter in enumerate(name, 1):
        previous, row[0] = row[0], i
        for j, wanted in enumerate(other, 1):
            substitution = previous + (letter != wanted)
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, substitution)
    return row[-1] <= 2
