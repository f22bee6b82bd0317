"""The only module that touches MLflow names that MLflow does not document.

Everything here was checked on each supported minor of MLflow; when a new one breaks something, it
breaks here. The rest of the package sees documented MLflow classes and the names below.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import mlflow
import sqlalchemy
from mlflow.store.db import utils as _db
from mlflow.store.db.base_sql_model import Base
from mlflow.store.model_registry.dbmodels import models as _registry_models
from mlflow.store.model_registry.sqlalchemy_workspace_store import (
    WorkspaceAwareSqlAlchemyStore as _RegistryStore,
)
from mlflow.store.tracking.dbmodels import models as _tracking_models
from mlflow.store.tracking.dbmodels.initial_models import Base as _InitialBase
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as _PlainTrackingStore
from mlflow.store.tracking.sqlalchemy_workspace_store import (
    WorkspaceAwareSqlAlchemyStore as _TrackingStore,
)
from mlflow.store.workspace.dbmodels import models as _workspace_models
from mlflow.store.workspace.sqlalchemy_store import SqlAlchemyStore as _WorkspaceStore
from mlflow.utils.workspace_context import get_request_workspace as requested_workspace
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateTable

__all__ = [
    "Backend",
    "BaseRegistryStore",
    "BaseTrackingStore",
    "BaseWorkspaceStore",
    "Session",
    "SessionFactory",
    "SqlExperiment",
    "SqlLoggedModel",
    "SqlModelVersion",
    "SqlRegisteredModel",
    "SqlRun",
    "SqlTraceInfo",
    "SqlWorkspace",
    "begin_to_write",
    "blank_engine",
    "contents_of_experiments",
    "create_schema",
    "known_revisions",
    "latest_revision",
    "managed_sessions",
    "requested_workspace",
    "server_lock_file",
    "sqlite_engine",
    "upgrade_schema",
    "version",
    "write_transaction",
]

version: str = mlflow.__version__

ARTIFACT_ROOT = "mlflow-artifacts:/"

_migrating = threading.Lock()

# MLflow's ORM classes are declared without types.
SqlExperiment: Any = _tracking_models.SqlExperiment
SqlLoggedModel: Any = _tracking_models.SqlLoggedModel
SqlModelVersion: Any = _registry_models.SqlModelVersion
SqlRegisteredModel: Any = _registry_models.SqlRegisteredModel
SqlRun: Any = _tracking_models.SqlRun
SqlTraceInfo: Any = _tracking_models.SqlTraceInfo
SqlWorkspace: Any = _workspace_models.SqlWorkspace


class SessionFactory(Protocol):
    """MLflow's `ManagedSessionMaker`: commits at the end, rolls back and translates on errors."""

    def __call__(self, read_only: bool = True) -> AbstractContextManager[Session]: ...


class Backend(Protocol):
    """What the stores below need to know of the workspace that they are pinned to."""

    @property
    def workspace(self) -> str: ...

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database, for display and for the dialect."""

    @property
    def engine(self) -> sqlalchemy.Engine: ...

    def engine_to_construct(self) -> sqlalchemy.Engine:
        """An engine whose database has MLflow's schema; constructing a store creates nothing."""

    def session(self, read_only: bool = True) -> AbstractContextManager[Session]: ...


# --- databases ------------------------------------------------------------------------------------


def sqlite_engine(path: Path, mode: Callable[[], str]) -> sqlalchemy.Engine:
    """MLflow's engine (with its SQL functions) on a SQLite file of any name; not yet connected.

    `mode` is asked at each connection: SQLite's `mode=rw`, which never creates the file, and so on.
    """
    name = f"file:{quote(path.as_posix())}"
    engine: sqlalchemy.Engine = _db.create_sqlalchemy_engine(f"sqlite:///{name}?mode=rw&uri=true")

    @event.listens_for(engine, "do_connect")
    def _by_mode(_dialect: Any, _record: Any, args: list[Any], _kwargs: Any) -> None:
        # SQLAlchemy would decode the name, and SQLite then take `?` and `#` for its own.
        args[0] = f"{name}?{mode()}"

    return engine


def server_lock_file(url: str) -> Path:
    """What MLflow's servers and clients on this machine lock (`flock`) while they make a database.

    They make it step by step, so that in between it looks like an old one, or like no database of
    MLflow's. The file is named by the text of the URL; a server that was given another text for the
    same place locks another file. MLflow takes no lock on Windows.
    """
    digest = hashlib.md5(url.encode(), usedforsecurity=False).hexdigest()
    return Path(tempfile.gettempdir()) / f"db_init_lock-{digest}"


def contents_of_experiments() -> list[sqlalchemy.Column[Any]]:
    """The columns, of whatever table, that say of which experiment a row is; tags left out."""
    return [
        column
        for table in Base.metadata.sorted_tables
        for column in table.columns
        for key in column.foreign_keys
        if key.column is SqlExperiment.__table__.c.experiment_id and table.name != "experiment_tags"
    ]


def managed_sessions(factory: sessionmaker[Session], engine: sqlalchemy.Engine) -> SessionFactory:
    """MLflow's session handling around `factory`."""
    sessions: SessionFactory = _db._get_managed_session_maker(factory, engine.dialect.name)
    return sessions


@functools.cache
def latest_revision() -> str:
    """The alembic revision that the installed MLflow works with; 20 ms the first time."""
    revision: str = _db._get_latest_schema_revision()
    return revision


@functools.cache
def known_revisions() -> frozenset[str]:
    """Every alembic revision that the installed MLflow can upgrade from."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(_db._get_alembic_config(""))
    return frozenset(revision.revision for revision in script.walk_revisions())


@contextmanager
def write_transaction(engine: sqlalchemy.Engine) -> Iterator[sqlalchemy.Connection]:
    """A connection of a SQLite engine that writes from its beginning, and commits at the end.

    Waits up to 20 s for other writers, as MLflow's sessions do.
    """
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 20000")
        begin_to_write(connection)
        yield connection


def begin_to_write(connection: sqlalchemy.Connection) -> None:
    """Take SQLite's write lock now: what is read from here on stays true until the commit.

    Python's driver would take it at the first row that is written, and run DDL outside of any
    transaction. Waits for other writers as long as the connection does.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def create_schema(connection: sqlalchemy.Connection) -> None:
    """Create MLflow's tables in an empty database, by MLflow's own migrations."""
    _InitialBase.metadata.create_all(connection)
    upgrade_schema(connection)


def upgrade_schema(connection: sqlalchemy.Connection) -> None:
    """Bring MLflow's tables to `latest_revision()`, in the caller's transaction.

    The same migrations as MLflow's `_upgrade_db`, which opens a connection of its own and commits
    each step: a row that another program writes between two steps could be lost. It also logs two
    lines that mean nothing to a user whose workspace is made on the way. One thread at a time:
    alembic's context is global.
    """
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = _db._get_alembic_config(str(connection.engine.url))
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs("heads", revision)

    with _migrating, EnvironmentContext(config, script, fn=steps) as environment:
        environment.configure(
            connection=connection, target_metadata=Base.metadata, render_as_batch=True
        )
        environment.run_migrations()


def blank_engine() -> sqlalchemy.Engine:
    """A database in memory with MLflow's current tables and no rows; about 20 ms.

    From the ORM's metadata, not by migrations, so without indexes: it is only ever read.
    """
    engine = sqlalchemy.create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    with engine.begin() as connection:
        for table in Base.metadata.tables.values():
            connection.execute(CreateTable(table))
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (latest_revision(),))
    return engine


# --- stores ---------------------------------------------------------------------------------------


class _PinnedMixin:
    """Takes the workspace, the engine and the sessions from a `Backend`.

    MLflow's constructors run as they are, so that attributes of later versions are set too; they
    find an engine that is ready, and the bootstrap of MLflow's own `default` workspace is left out.
    """

    _backend: Backend

    def _get_or_create_engine(self, db_uri: str) -> sqlalchemy.Engine:
        return self._backend.engine_to_construct()

    def _initialize_store_state(self) -> None:
        pass

    def _get_active_workspace(self) -> str:
        return self._backend.workspace

    def _dispose_engine(self) -> None:
        # The engine is shared by every store of this process on the same database.
        pass

    def _pin(self) -> None:
        self.engine = self._backend.engine
        self.ManagedSessionMaker = self._backend.session


class BaseTrackingStore(_PinnedMixin, _TrackingStore):
    """MLflow's workspace-aware tracking store, pinned to one workspace."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        super().__init__(backend.url, ARTIFACT_ROOT)
        self._pin()

    def create_experiment_at(self, name: str, artifact_location: str | None, tags: Any) -> str:
        """`create_experiment` of the plain SQL store, which takes an artifact location."""
        experiment_id: str = _PlainTrackingStore.create_experiment(
            self, name, artifact_location=artifact_location, tags=tags
        )
        return experiment_id

    def foreign_models(self, model_ids: Iterable[str]) -> list[str]:
        """Those of `model_ids` that are not logged models of this workspace."""
        wanted = set(model_ids)
        with self.ManagedSessionMaker() as session:
            query = self._get_query(session, SqlLoggedModel)
            found = query.filter(SqlLoggedModel.model_id.in_(wanted)).with_entities(
                SqlLoggedModel.model_id
            )
            return sorted(wanted - {row[0] for row in found})

    def _get_workspace_provider_instance(self) -> BaseWorkspaceStore:
        # MLflow would look one up by the URI of the database, which is not pinned.
        if self._workspace_provider is None:
            self._workspace_provider = BaseWorkspaceStore(self._backend)
        provider: BaseWorkspaceStore = self._workspace_provider
        return provider


class BaseRegistryStore(_PinnedMixin, _RegistryStore):
    """MLflow's workspace-aware model registry, pinned to one workspace."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        super().__init__(backend.url)
        self._pin()


class BaseWorkspaceStore(_WorkspaceStore):
    """MLflow's workspace provider on the database of a workspace."""

    def __init__(self, backend: Backend) -> None:
        # The provider's constructor connects and migrates at once, so only its caches are set up.
        from threading import Lock

        from cachetools import TTLCache

        self._backend = backend
        self._workspace_uri = backend.url
        self._db_type = backend.engine.dialect.name
        self._engine = backend.engine
        self.ManagedSessionMaker = backend.session
        self._artifact_root_cache: TTLCache[str, str | None] = TTLCache(maxsize=64, ttl=60)
        self._artifact_root_cache_lock = Lock()
        self._trace_archival_config_cache: TTLCache[str, Any] = TTLCache(maxsize=64, ttl=60)
        self._trace_archival_config_cache_lock = Lock()
