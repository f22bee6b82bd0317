"""Between a look and what is concluded from it, another thread or process acts.

Each interleaving is placed: a call is stopped between its check and its act, the other side acts,
and the call goes on. Another process is a backend of its own, which shares nothing but the files;
a server without this plugin is MLflow's own store, or SQLite.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.runtime.migration import HeadMaintainer
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities.workspace import Workspace, WorkspaceDeletionMode
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils as stock_database
from mlflow.store.workspace.sqlalchemy_store import SqlAlchemyStore as StockWorkspaces

from mlflow_ws_plugin import _mlflow
from mlflow_ws_plugin.artifacts.directory import DirectoryRoot
from mlflow_ws_plugin.errors import (
    BackendRefused,
    UnsupportedSchema,
    WorkspaceConflict,
    WorkspaceError,
    WorkspaceNotFound,
)
from mlflow_ws_plugin.location import Location, resolve
from mlflow_ws_plugin.stores import backend as backends
from mlflow_ws_plugin.stores import inventory, making, schema, settings
from mlflow_ws_plugin.stores.backend import WorkspaceBackend, open_backend
from mlflow_ws_plugin.stores.database import Database
from mlflow_ws_plugin.stores.openings import Openings
from mlflow_ws_plugin.stores.provider import WorkspaceProvider
from mlflow_ws_plugin.stores.tracking import WorkspaceTrackingStore

DEADLINE_S = 60


def uri(home: Path, name: str = "team") -> str:
    return f"ws://{home.as_posix()}/{name}"


def another_process(home: Path, name: str = "team", display: str | None = None) -> WorkspaceBackend:
    """What a process of its own would have: nothing in memory is shared."""
    found = resolve(uri(home, name))
    location = Location(
        found.uri, found.workspace, found.database, found.artifact_root, display_name=display
    )
    return WorkspaceBackend(location, Database(location))


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the workspace `team`, and one in which a stock server made it."""
    directory = tmp_path_factory.mktemp("templates")
    another_process(directory / "ours").create()
    (directory / "stock").mkdir()
    stock = StockWorkspaces(f"sqlite:///{directory / 'stock' / 'workspaces.db'}")
    with stock.ManagedSessionMaker(read_only=False) as session:
        session.add(_mlflow.SqlWorkspace(name="team"))
    stock._engine.dispose()
    return directory


@pytest.fixture
def home(tmp_path: Path, templates: Path) -> Path:
    """One with the workspace `team`."""
    return Path(shutil.copytree(templates / "ours", tmp_path / "home"))


@pytest.fixture
def stock_home(tmp_path: Path, templates: Path) -> Path:
    """One in which a stock server made `team`, so that it has no Default experiment yet."""
    return Path(shutil.copytree(templates / "stock", tmp_path / "home"))


# --- placing --------------------------------------------------------------------------------------


class Stop:
    """Stops the call that runs in `aside` when the named function has answered there `at` times."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: Any, name: str, at: int = 1) -> None:
        self._reached, self._go = threading.Event(), threading.Event()
        self._mine, self._at = threading.local(), at
        original = getattr(owner, name)

        def stopping(*args: Any, **kwargs: Any) -> Any:
            answer = original(*args, **kwargs)
            self._mine.left = getattr(self._mine, "left", 0) - 1
            if self._mine.left == 0:
                self._reached.set()
                assert self._go.wait(DEADLINE_S)
            return answer

        patch.setattr(owner, name, stopping)

    @contextmanager
    def aside(self, call: Callable[[], Any]) -> Iterator[Future[Any]]:
        """Run `call` in a thread until it is stopped, then the block, then let it end."""

        def run() -> Any:
            self._mine.left = self._at
            return call()

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(run)
            try:
                assert self._reached.wait(DEADLINE_S), "the call did not come by"
                yield future
            finally:
                self.go()

    def go(self) -> None:
        """Let it end already."""
        self._go.set()


def before(patch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[..., None]) -> list[str]:
    """Let `act` happen just before the named function does; tells how often it did."""
    original = getattr(owner, name)
    calls: list[str] = []

    def acting(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        act(*args)
        return original(*args, **kwargs)

    patch.setattr(owner, name, acting)
    return calls


def others_can_write(database: Path) -> bool:
    """Whether another program could write now, without waiting."""
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            return False
        connection.execute("ROLLBACK")
        return True


def others_can_create(home: Path) -> bool:
    """Whether another process with this plugin could create a workspace now."""
    try:
        # Not through `is_singleton`: that is this process's own.
        with FileLock(home / ".lock", timeout=0):
            return True
    except Timeout:
        return False


def query(database: Path, text: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute(text)]


def stock_delete(home: Path) -> None:
    stock = StockWorkspaces(f"sqlite:///{home / 'workspaces.db'}")
    stock.delete_workspace("team", WorkspaceDeletionMode.CASCADE)
    stock._engine.dispose()


# --- first use ------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["read", "write"])
def test_a_workspace_that_a_thread_makes_while_another_looks_for_it_was_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    client = MlflowClient(uri(tmp_path))
    calls: dict[str, Callable[[], Any]] = {
        "read": lambda: [e.name for e in client.search_experiments()],
        "write": lambda: client.create_experiment("second") and ["Default"],
    }
    stop = Stop(monkeypatch, WorkspaceBackend, "_uuid")
    with stop.aside(calls[call]) as other:
        client.create_experiment("first")
    assert other.result(DEADLINE_S) == ["Default"]
    names = {e.name for e in client.search_experiments()}
    assert names == {"Default", "first"} | ({"second"} if call == "write" else set())


def test_threads_that_ask_for_a_backend_at_once_get_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = resolve(uri(tmp_path))
    stop = Stop(monkeypatch, backends, "open_database")
    with stop.aside(lambda: open_backend(location)) as other:
        mine = open_backend(location)
    assert other.result(DEADLINE_S) is mine


def test_of_two_azure_names_for_one_workspace_the_one_that_comes_second_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """My_WS and my-ws would share it silently where both find none and then create it."""
    first, second = (another_process(home, "my-ws", display=name) for name in ("My_WS", "MY-ws"))
    stop = Stop(monkeypatch, WorkspaceBackend, "_uuid")
    with stop.aside(WorkspaceTrackingStore(second).search_experiments) as reader:
        assert WorkspaceTrackingStore(first).create_experiment("e")
    with pytest.raises(WorkspaceConflict, match="My_WS"):
        WorkspaceTrackingStore(second).create_experiment("e")
    # It looked before there was one: a new workspace, as for every read.
    assert [e.name for e in reader.result(DEADLINE_S)] == ["Default"]


def test_an_azure_name_that_meets_another_one_while_it_creates_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (another_process(home, "my-ws", display=name) for name in ("My_WS", "MY-ws"))
    store = WorkspaceTrackingStore(second)
    stop = Stop(monkeypatch, WorkspaceBackend, "_uuid")
    with stop.aside(lambda: store.create_experiment("second")) as other:
        assert WorkspaceTrackingStore(first).create_experiment("first")
    with pytest.raises(WorkspaceConflict, match="My_WS"):
        other.result(DEADLINE_S)
    assert query(home / "workspaces.db", "SELECT name FROM experiments WHERE name = 'second'") == []


# --- the file -------------------------------------------------------------------------------------


def stock_file(database: Path, templates: Path) -> None:
    """A server without this plugin makes its database: into an empty file where there is one."""
    with (
        closing(sqlite3.connect(templates / "stock" / "workspaces.db")) as source,
        closing(sqlite3.connect(database)) as target,
    ):
        source.backup(target)
        target.execute("UPDATE workspaces SET description = 'of the server' WHERE name = 'team'")
        target.commit()


@pytest.mark.parametrize("there", ["nothing", "an empty file"])
@pytest.mark.parametrize("links", [True, False])
def test_a_database_that_a_server_makes_meanwhile_is_kept(
    tmp_path: Path, templates: Path, monkeypatch: pytest.MonkeyPatch, there: str, links: bool
) -> None:
    database = tmp_path / "home" / "workspaces.db"
    if there == "an empty file":
        database.parent.mkdir()
        database.touch()
    if not links:
        monkeypatch.setattr(making.os, "link", _no_links)
    made = before(
        monkeypatch, settings, "write", lambda *_: _once(made, stock_file, database, templates)
    )
    client = MlflowClient(uri(database.parent))
    client.create_experiment("e")
    description = query(database, "SELECT description FROM workspaces WHERE name = 'team'")
    assert description == ["of the server"]
    assert [w.name for w in WorkspaceProvider(another_process(database.parent)).list_workspaces()]
    assert sorted(path.name for path in database.parent.glob(".*")) == [".lock"]


def _once(calls: list[str], act: Callable[..., None], *args: Any) -> None:
    if len(calls) == 1:
        act(*args)


def _no_links(*_args: Any) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_an_empty_file_is_filled_in_one_step_and_stays_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Who has it open sees the tables, all at once."""
    database = tmp_path / "workspaces.db"
    if not links:
        monkeypatch.setattr(making.os, "link", _no_links)
    database.touch()
    with closing(sqlite3.connect(database)) as reader:
        assert reader.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        MlflowClient(uri(tmp_path)).create_experiment("e")
        names = {row[0] for row in reader.execute("SELECT name FROM experiments")}
    assert names == {"Default", "e"}
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_empty_file_is_filled_with_every_table_index_and_row(home: Path) -> None:
    complete, empty = home / "workspaces.db", home / "empty.db"
    empty.touch()
    making._fill(empty, complete)
    dumps = []
    for database in (complete, empty):
        with closing(sqlite3.connect(database)) as connection:
            dumps.append(list(connection.iterdump()))
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert len(dumps[0]) > 100
    assert dumps[0] == dumps[1]


def test_a_home_that_was_removed_while_it_was_open_takes_no_more_writes(home: Path) -> None:
    """SQLite would go on writing into the file that has no name any more."""
    client = MlflowClient(uri(home))
    run_id = client.create_run(client.create_experiment("e")).info.run_id
    shutil.rmtree(home)
    for call in (
        lambda: client.log_metric(run_id, "m", 1.0),
        lambda: client.create_experiment("f"),
        lambda: client.get_run(run_id),
    ):
        with pytest.raises(WorkspaceNotFound, match="deleted while this process had it open"):
            call()
    assert not home.exists()


def test_a_home_that_was_restored_from_a_copy_while_it_was_open_is_used(
    home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path / "copy")
    client = MlflowClient(uri(home))
    client.create_experiment("after the copy")
    home.rename(tmp_path / "away")
    (tmp_path / "copy").rename(home)
    assert [e.name for e in client.search_experiments()] == ["Default"]
    client.create_experiment("after it was restored")
    names = query(home / "workspaces.db", "SELECT name FROM experiments ORDER BY 1")
    assert names == ["Default", "after it was restored"]


def test_a_home_that_is_replaced_while_a_creation_waits_for_its_lock_is_the_new_one(
    home: Path, tmp_path: Path, templates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = another_process(home, "new")
    assert not process.exists()

    def replace(*_: Any) -> None:
        home.rename(tmp_path / "away")
        shutil.copytree(templates / "ours", home)

    calls = before(monkeypatch, WorkspaceBackend, "lock", lambda *_: _once(calls, replace))
    assert process.create()
    assert query(home / "workspaces.db", "SELECT name FROM workspaces WHERE name = 'new'")


@pytest.mark.parametrize("call", ["read", "write"])
@pytest.mark.parametrize("made", ["no tables", "some tables", "an old schema"])
def test_a_server_that_is_in_the_middle_of_making_the_database_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str, call: str
) -> None:
    """Half-made it looks like no database of MLflow's, or like one of an older MLflow."""
    database = tmp_path / "workspaces.db"
    places: dict[str, tuple[Any, str, int]] = {
        "no tables": (stock_database, "_all_tables_exist", 1),
        "some tables": (stock_database.InitialBase.metadata, "create_all", 1),
        "an old schema": (HeadMaintainer, "update_to_step", 40),
    }
    stop = Stop(monkeypatch, *places[made])
    client = MlflowClient(uri(tmp_path))
    calls: dict[str, Callable[[], Any]] = {
        "read": client.search_experiments,
        "write": lambda: client.create_experiment("e"),
    }
    with stop.aside(lambda: StockWorkspaces(f"sqlite:///{database}")) as server:
        waits = threading.Event()
        before(monkeypatch, type(FileLock(tmp_path / ".probe")), "acquire", lambda *_: waits.set())
        with ThreadPoolExecutor(1) as pool:
            ours = pool.submit(calls[call])
            if (made, call) != ("no tables", "read"):
                assert waits.wait(DEADLINE_S)
            stop.go()
            server.result(DEADLINE_S)._engine.dispose()
            assert ours.result(DEADLINE_S)
    assert list(tmp_path.glob("*.bak")) == []


# --- creation -------------------------------------------------------------------------------------


def test_nobody_else_writes_between_the_look_and_the_rows_of_a_new_workspace(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a server that makes the same workspace comes before, or after."""
    writable: list[bool] = []
    calls = before(
        monkeypatch,
        WorkspaceBackend,
        "_insert",
        lambda *_: writable.append(others_can_write(home / "workspaces.db")),
    )
    assert another_process(home, "new").create()
    assert (calls, writable) == (["_insert"], [False])


def test_a_workspace_that_a_server_makes_just_before_is_used_and_gets_a_default(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop(monkeypatch, WorkspaceBackend, "_uuid")
    process = another_process(home, "new")
    with (
        stop.aside(
            lambda: WorkspaceTrackingStore(process).create_run("0", "me", 1, [], "r")
        ) as run,
        closing(sqlite3.connect(home / "workspaces.db")) as connection,
        connection,
    ):
        connection.execute("INSERT INTO workspaces (name) VALUES ('new')")
    experiment_id = run.result(DEADLINE_S).info.experiment_id
    found = query(
        home / "workspaces.db", "SELECT experiment_id FROM experiments WHERE workspace = 'new'"
    )
    assert [str(item) for item in found] == [experiment_id]


def test_two_processes_that_add_the_table_of_the_plugin_at_once_both_succeed(
    tmp_path: Path, templates: Path
) -> None:
    """In a database of a stock server it is missing."""
    database = tmp_path / "workspaces.db"
    shutil.copy(templates / "stock" / "workspaces.db", database)
    engine = sqlalchemy.create_engine(f"sqlite:///{database}")

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
    def _first(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "CREATE TABLE" in statement:
            with closing(sqlite3.connect(database)) as other:
                other.execute(statement)

    with engine.connect() as connection:
        settings.create(connection)
    engine.dispose()
    assert query(database, "SELECT name FROM sqlite_master WHERE name = 'ws_settings'")


# --- the Default experiment -----------------------------------------------------------------------


def test_nobody_else_writes_between_the_look_for_a_default_experiment_and_its_row(
    stock_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a server that makes one of that name comes before, and it is found, or after."""
    writable: list[bool] = []
    before(
        monkeypatch,
        WorkspaceBackend,
        "_add_default",
        lambda *_: writable.append(others_can_write(stock_home / "workspaces.db")),
    )
    assert another_process(stock_home).default_experiment_id(create=True)
    assert writable == [False]


def test_a_default_experiment_that_another_process_adds_meanwhile_is_the_one(
    stock_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop(monkeypatch, WorkspaceBackend, "_find_default")
    first, second = another_process(stock_home), another_process(stock_home)
    with stop.aside(lambda: second.default_experiment_id(create=True)) as other:
        expected = first.default_experiment_id(create=True)
    assert other.result(DEADLINE_S) == expected
    assert (
        len(
            query(
                stock_home / "workspaces.db", "SELECT 1 FROM experiments WHERE workspace = 'team'"
            )
        )
        == 1
    )


# --- deletion -------------------------------------------------------------------------------------


def test_a_workspace_that_this_process_deletes_while_a_thread_looks_can_be_made_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread must not remember it as open: it would call it deleted for ever."""
    client = MlflowClient(uri(home))
    stop = Stop(monkeypatch, WorkspaceBackend, "_uuid")
    with stop.aside(client.search_experiments) as other:
        WorkspaceProvider(open_backend(resolve(uri(home)))).delete_workspace("team")
    other.result(DEADLINE_S)
    assert client.create_experiment("again")
    assert {e.name for e in client.search_experiments()} == {"Default", "again"}


def test_a_workspace_that_this_process_deletes_just_after_it_was_made_can_be_made_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What made it has committed, and not yet said so, when another thread deletes it."""
    backend = open_backend(resolve(uri(home, "new")))
    made = before(
        monkeypatch, Openings, "mark", lambda *_: _once(made, _delete_all_of, home, "new")
    )
    assert backend.create()
    assert MlflowClient(uri(home, "new")).create_experiment("again")


def _delete_all_of(home: Path, name: str = "team") -> None:
    provider = WorkspaceProvider(open_backend(resolve(uri(home, name))))
    provider.delete_workspace(name, WorkspaceDeletionMode.CASCADE)


@pytest.mark.parametrize("mode", list(WorkspaceDeletionMode))
def test_what_the_plugin_recorded_goes_in_the_transaction_that_deletes_the_rows(
    home: Path, monkeypatch: pytest.MonkeyPatch, mode: WorkspaceDeletionMode
) -> None:
    """Or a workspace that another process makes in between would lose its own."""
    writable: list[bool] = []
    before(
        monkeypatch,
        settings,
        "remove",
        lambda *_: writable.append(others_can_write(home / "workspaces.db")),
    )
    process = another_process(home)
    if mode is WorkspaceDeletionMode.SET_DEFAULT:
        WorkspaceTrackingStore(process).rename_experiment(
            process.default_experiment_id(create=True), "renamed"
        )
    WorkspaceProvider(process).delete_workspace("team", mode)
    assert writable == [False]
    assert (
        query(home / "workspaces.db", "SELECT key FROM ws_settings WHERE workspace = 'team'") == []
    )


def test_a_run_that_is_logged_while_its_unused_workspace_is_deleted_is_not_lost(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between finding the Default experiment unused and deleting it nobody writes into it."""
    writable: list[bool] = []
    original = sqlalchemy.orm.Session.delete

    def delete(session: Any, row: Any) -> None:
        writable.append(others_can_write(home / "workspaces.db"))
        original(session, row)

    monkeypatch.setattr(sqlalchemy.orm.Session, "delete", delete)
    WorkspaceProvider(another_process(home)).delete_workspace("team")
    # The Default experiment, then the workspace.
    assert writable == [False, False]


@pytest.mark.parametrize("by", ["mlflow", "command"])
def test_a_refused_deletion_leaves_the_unused_default_experiment(home: Path, by: str) -> None:
    client = MlflowClient(uri(home), uri(home))
    client.create_registered_model("net")
    backend = open_backend(resolve(uri(home)))
    experiments = query(home / "workspaces.db", "SELECT experiment_id FROM experiments")
    calls: dict[str, Callable[[], None]] = {
        "mlflow": lambda: WorkspaceProvider(backend).delete_workspace("team"),
        "command": lambda: inventory.delete(backend, cascade=False),
    }
    with pytest.raises(MlflowException, match=r"1 resource|1 registered models"):
        calls[by]()
    assert query(home / "workspaces.db", "SELECT experiment_id FROM experiments") == experiments
    assert query(home / "workspaces.db", "SELECT key FROM ws_settings WHERE workspace = 'team'")
    assert client.get_registered_model("net")


def test_nobody_makes_a_workspace_before_the_files_of_its_namesake_are_out_of_the_way(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a process with this plugin nor a server: the files of the new one would go too."""
    client = MlflowClient(uri(home))
    run = client.create_run(client.create_experiment("e"))
    client.log_text(run.info.run_id, "x", "x.txt")
    possible: list[bool] = []

    def look(*_: Any) -> None:
        possible.extend([others_can_create(home), others_can_write(home / "workspaces.db")])

    before(monkeypatch, Path, "rename", look)
    inventory.delete(open_backend(resolve(uri(home))), cascade=True)
    assert possible == [False, False]
    assert others_can_create(home)
    assert others_can_write(home / "workspaces.db")
    assert [path for path in (home / "artifacts").rglob("*") if path.is_file()] == []


def test_a_deletion_that_cannot_move_the_files_deletes_no_row(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the files would stay, and be those of the next workspace of that name."""
    client = MlflowClient(uri(home))
    run = client.create_run(client.create_experiment("e"))
    client.log_text(run.info.run_id, "x", "x.txt")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", _no_links)
        with pytest.raises(BackendRefused, match=r"cannot be moved to .* Nothing was deleted"):
            inventory.delete(open_backend(resolve(uri(home))), cascade=True)
    assert client.get_run(run.info.run_id).info.run_id == run.info.run_id
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["x.txt"]


def test_a_deletion_that_is_not_committed_puts_the_files_back(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(uri(home))
    run = client.create_run(client.create_experiment("e"))
    client.log_text(run.info.run_id, "x", "x.txt")
    with monkeypatch.context() as patch:
        patch.setattr(settings, "remove", _no_links)
        with pytest.raises(MlflowException, match="not permitted"):
            inventory.delete(open_backend(resolve(uri(home))), cascade=True)
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["x.txt"]


@pytest.mark.parametrize("cascade", [True, False])
def test_files_of_experiments_that_were_moved_to_another_workspace_stay(
    home: Path, cascade: bool
) -> None:
    """They keep their place, which has the name of the workspace that is deleted."""
    client = MlflowClient(uri(home))
    runs = {}
    for name in ("moved", "left") if cascade else ("moved",):
        runs[name] = client.create_run(client.create_experiment(name)).info
        client.log_text(runs[name].run_id, "x", f"{name}.txt")
    another_process(home, "other").create()
    with closing(sqlite3.connect(home / "workspaces.db")) as connection, connection:
        # As `mlflow db move-resources` does it.
        connection.execute("UPDATE experiments SET workspace = 'other' WHERE name = 'moved'")
    inventory.delete(open_backend(resolve(uri(home))), cascade=cascade)
    other = MlflowClient(uri(home, "other"))
    assert [file.path for file in other.list_artifacts(runs["moved"].run_id)] == ["moved.txt"]
    files = [path.name for path in (home / "artifacts").rglob("*") if path.is_file()]
    assert files == ["moved.txt"]


@pytest.mark.parametrize("by", ["another process", "this process"])
def test_a_file_that_is_stored_while_the_workspace_is_deleted_is_an_error(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    client = MlflowClient(uri(home))
    run = client.create_run(client.create_experiment("e"))
    (tmp_path / "a.txt").write_text("a")
    act = _delete_once if by == "another process" else _delete_all_of
    puts = before(monkeypatch, DirectoryRoot, "put", lambda *_: _once(puts, act, home))
    for _ in range(2):
        with pytest.raises(WorkspaceNotFound):
            client.log_artifact(run.info.run_id, str(tmp_path / "a.txt"))
    # The second time it was not even tried.
    assert puts == ["put"]


def _delete_once(home: Path) -> None:
    if query(home / "workspaces.db", "SELECT 1 FROM workspaces WHERE name = 'team'"):
        stock_delete(home)


def test_a_namesake_that_another_process_made_is_not_the_workspace_that_was_open(
    home: Path,
) -> None:
    """SQLite gives its experiments the ids of the deleted ones: a run would land in another one."""
    client = MlflowClient(uri(home))
    experiment_id = client.create_experiment("e")
    inventory.delete(another_process(home), cascade=True)
    other = WorkspaceTrackingStore(another_process(home))
    assert other.create_experiment("f") == experiment_id
    for call in (
        lambda: client.create_run(experiment_id),
        lambda: client.search_runs([experiment_id]),
        lambda: client.create_experiment("g"),
    ):
        with pytest.raises(WorkspaceNotFound, match="deleted while this process had it open"):
            call()
    assert query(home / "workspaces.db", "SELECT count(*) FROM runs") == [0]


def test_a_workspace_that_others_deleted_is_used_again_by_the_process_that_makes_it_on_purpose(
    home: Path,
) -> None:
    client = MlflowClient(uri(home))
    client.create_experiment("e")
    inventory.delete(another_process(home), cascade=True)
    WorkspaceProvider(open_backend(resolve(uri(home)))).create_workspace(Workspace("team"))
    assert client.create_experiment("again")
    assert {e.name for e in client.search_experiments()} == {"Default", "again"}


def test_a_default_experiment_that_holds_anything_keeps_its_workspace_from_being_deleted(
    home: Path,
) -> None:
    """Of whatever kind: here a scorer, which would go with it."""
    process = another_process(home)
    store = WorkspaceTrackingStore(process)
    store.register_scorer(process.default_experiment_id(create=False), "judge", "{}")
    with pytest.raises(WorkspaceError, match="1 resource"):
        inventory.delete(process, cascade=False)
    assert query(home / "workspaces.db", "SELECT scorer_name FROM scorers") == ["judge"]


def test_a_creation_beside_a_deletion_makes_no_bare_workspace(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = another_process(home)
    original = WorkspaceBackend.create

    def create(backend: WorkspaceBackend, description: str | None = None) -> bool:
        created = original(backend, description)
        stock_delete(home)
        return created

    monkeypatch.setattr(WorkspaceBackend, "create", create)
    with pytest.raises(MlflowException, match="already exists"):
        WorkspaceProvider(process).create_workspace(Workspace("team"))
    assert query(home / "workspaces.db", "SELECT 1 FROM workspaces WHERE name = 'team'") == []


def test_a_listing_beside_a_deletion_shows_the_workspace_or_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = another_process(home)
    assert process.default_experiment_id(create=False)
    provider = WorkspaceProvider(process)
    stop = Stop(monkeypatch, WorkspaceBackend, "_uuid")
    with stop.aside(provider.list_workspaces) as other:
        stock_delete(home)
    assert other.result(DEADLINE_S) == []


def test_a_deletion_of_what_is_not_there_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceNotFound, match="There is no workspace 'team'"):
        WorkspaceProvider(another_process(tmp_path / "home")).delete_workspace("team")
    assert not (tmp_path / "home").exists()


def test_what_a_killed_deletion_left_is_removed_and_keeps_nobody_from_storing_files(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = home / "artifacts" / ".partial" / "deleted-1" / "team"
    left.mkdir(parents=True)
    (left / "x.txt").write_text("x")
    monkeypatch.setattr("mlflow_ws_plugin.artifacts.directory._STALE_AFTER_S", -1)
    client = MlflowClient(uri(home))
    run = client.create_run(client.create_experiment("e"))
    client.log_text(run.info.run_id, "y", "y.txt")
    assert not left.parent.exists()
    assert [path.name for path in (home / "artifacts").rglob("*.txt")] == ["y.txt"]


# --- the schema -----------------------------------------------------------------------------------


def _as_of_older_mlflow(database: Path) -> None:
    """Without what the newest migration made; read back from the migration's own way down."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config

    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    command.downgrade(_get_alembic_config(str(engine.url)), "-1")
    engine.dispose()


def test_nobody_else_writes_while_the_schema_is_upgraded(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row between two steps could be lost with its table, and with the restoring of a copy."""
    _as_of_older_mlflow(home / "workspaces.db")
    writable: list[bool] = []

    def look(*_: Any) -> None:
        writable.append(others_can_write(home / "workspaces.db"))

    before(monkeypatch, schema, "_copy", look)
    before(monkeypatch, _mlflow, "upgrade_schema", look)
    before(monkeypatch, settings, "write", look)
    assert another_process(home).exists()
    assert writable == [False] * 3
    assert query(home / "workspaces.db", "SELECT version_num FROM alembic_version") == [
        _mlflow.latest_revision()
    ]


def test_rows_that_others_wrote_are_there_after_an_upgrade_that_fails(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = home / "workspaces.db"
    _as_of_older_mlflow(database)
    tables = query(database, "SELECT sql FROM sqlite_master ORDER BY name")
    [revision] = query(database, "SELECT version_num FROM alembic_version")
    original = _mlflow.upgrade_schema
    wrote = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(database, timeout=DEADLINE_S)) as connection, connection:
            connection.execute("INSERT INTO workspaces (name) VALUES ('of-somebody')")
        wrote.set()

    writer = threading.Thread(target=write)

    def fail(connection: Any) -> None:
        original(connection)
        free = others_can_write(database)
        writer.start()
        # It has its turn now, or, while this holds the database, after the failure.
        assert not free or wrote.wait(DEADLINE_S)
        raise sqlalchemy.exc.OperationalError("a step", None, Exception("disk is full"))

    monkeypatch.setattr(_mlflow, "upgrade_schema", fail)
    with pytest.raises(WorkspaceError, match=r"It is as it was; .* is a copy"):
        another_process(home).exists()
    writer.join(DEADLINE_S)
    assert query(database, "SELECT version_num FROM alembic_version") == [revision]
    assert query(database, "SELECT sql FROM sqlite_master ORDER BY name") == tables
    assert query(database, "SELECT 1 FROM workspaces WHERE name = 'of-somebody'") == [1]


def test_a_schema_that_a_newer_mlflow_upgrades_meanwhile_is_refused_as_every_newer_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = home / "workspaces.db"
    _as_of_older_mlflow(database)

    def upgrade(*_: Any) -> None:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")

    before(monkeypatch, schema, "upgrade", upgrade)
    with pytest.raises(UnsupportedSchema, match="written by a newer MLflow"):
        another_process(home).exists()
    assert list(home.glob("*.bak")) == []


def test_a_copy_that_does_not_fit_on_the_disk_is_one_clear_error_and_changes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = home / "workspaces.db"
    _as_of_older_mlflow(database)
    [revision] = query(database, "SELECT version_num FROM alembic_version")

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(schema, "_copy", full)
    with pytest.raises(UnsupportedSchema, match=r"disk is full\. It is as it was"):
        another_process(home).exists()
    assert query(database, "SELECT version_num FROM alembic_version") == [revision]
    assert others_can_write(database)


def test_a_schema_that_a_stock_tool_upgrades_meanwhile_is_not_upgraded_twice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.store.db.utils import _upgrade_db

    database = home / "workspaces.db"
    _as_of_older_mlflow(database)

    def upgrade(*_: Any) -> None:
        engine = sqlalchemy.create_engine(f"sqlite:///{database}")
        _upgrade_db(engine)
        engine.dispose()

    calls = before(monkeypatch, schema, "upgrade", upgrade)
    process = another_process(home)
    assert process.exists()
    assert calls == ["upgrade"]
    assert list(home.glob("*.bak")) == []
    assert WorkspaceTrackingStore(process).create_experiment("e")


# --- threads that wait for each other -------------------------------------------------------------


@pytest.mark.parametrize("call", ["create", "delete", "upgrade"])
def test_who_waits_for_the_lock_of_a_home_has_its_place_at_the_database_already(
    home: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Else the one that has the lock waits for a place, and those with the places for the lock."""
    if call == "upgrade":
        _as_of_older_mlflow(home / "workspaces.db")
    process = another_process(home, "new" if call == "create" else "team")
    waiting: list[int] = []
    lock_class = type(FileLock(home / ".probe"))
    before(
        monkeypatch,
        lock_class,
        "acquire",
        lambda *_: waiting.append(getattr(process._database._held, "depth", 0)),
    )
    calls: dict[str, Callable[[], Any]] = {
        "create": process.create,
        "delete": lambda: inventory.delete(process, cascade=True),
        "upgrade": process.exists,
    }
    calls[call]()
    assert waiting
    assert min(waiting) >= 1
