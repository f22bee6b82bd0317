"""Homes that cannot be used as asked: one clear error, and nothing half done."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import mlflow
import pytest

from mlflow_ws_plugin.errors import BackendRefused, BackendUnavailable, UnsupportedSchema


def uri(home: Path, name: str = "team") -> str:
    return f"ws://{home.as_posix()}/{name}"


def tree(directory: Path) -> dict[str, str]:
    """Every path below `directory`, with a digest of what the files hold."""
    return {
        str(path.relative_to(directory)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "directory"
        )
        for path in directory.rglob("*")
    }


def log_a_run(home_uri: str) -> str:
    client = mlflow.MlflowClient(home_uri)
    return client.create_run(client.create_experiment("e")).info.run_id


# --- where a home cannot be -----------------------------------------------------------------------


@pytest.mark.parametrize("below", ["", "deeper/down"])
def test_a_home_that_is_a_file_is_refused_by_name_and_left_alone(
    tmp_path: Path, below: str
) -> None:
    file = tmp_path / "home"
    file.write_text("mine")
    with pytest.raises(BackendRefused, match=f"{file} is a file"):
        log_a_run(uri(file / below))
    assert tree(tmp_path) == {"home": hashlib.sha256(b"mine").hexdigest()}


def test_a_read_below_a_file_says_so_or_finds_nothing_and_creates_nothing(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("mine")
    client = mlflow.MlflowClient(uri(tmp_path / "home"))
    assert client.search_runs(["0"]) == []
    assert list(tree(tmp_path)) == ["home"]


def test_a_database_path_that_is_a_directory_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "workspaces.db").mkdir()
    with pytest.raises((BackendRefused, BackendUnavailable), match=r"workspaces\.db"):
        log_a_run(uri(tmp_path))
    assert list(tree(tmp_path)) == ["workspaces.db"]


WRITE = """
import json, sys
import mlflow
from mlflow_ws_plugin.errors import WorkspaceError
try:
    mlflow.MlflowClient(sys.argv[1]).create_experiment("e")
except WorkspaceError as error:
    print(json.dumps([type(error).__name__, error.message]))
"""


def test_a_directory_that_this_user_cannot_write_is_refused_and_stays_empty(
    public_path: Path, run_unprivileged: Any
) -> None:
    home = public_path / "home"
    home.mkdir()
    home.chmod(0o555)
    name, message = run_unprivileged(WRITE, uri(home))
    assert name == "BackendRefused"
    assert str(home) in message
    assert list(home.iterdir()) == []


def test_a_home_below_a_directory_that_this_user_cannot_write_is_refused(
    public_path: Path, run_unprivileged: Any
) -> None:
    public_path.chmod(0o555)
    name, message = run_unprivileged(WRITE, uri(public_path / "new"))
    assert name == "BackendRefused"
    assert str(public_path / "new") in message
    assert list(public_path.iterdir()) == []


def test_a_home_that_this_user_cannot_even_enter_is_a_clear_error(
    public_path: Path, run_unprivileged: Any
) -> None:
    home = public_path / "secret" / "home"
    log_a_run(uri(home))
    (public_path / "secret").chmod(0)
    name, message = run_unprivileged(WRITE, uri(home))
    assert name in {"BackendRefused", "BackendUnavailable"}
    assert str(home) in message


# --- a home that may only be read -----------------------------------------------------------------

FILL = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_run(run_name="mine") as run:
    mlflow.log_metric("m", 1.5)
    mlflow.log_param("p", "x")
    mlflow.log_text("hello", "notes/a.txt")
client = mlflow.MlflowClient()
client.create_registered_model("net")
print(json.dumps(run.info.run_id))
"""

READ = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
run = client.get_run(sys.argv[2])
print(json.dumps([
    run.data.metrics,
    run.data.params,
    [r.info.run_id for r in mlflow.search_runs(output_format="list")],
    [f.path for f in client.list_artifacts(run.info.run_id, "notes")],
    mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/a.txt"),
    [model.name for model in client.search_registered_models()],
    [experiment.name for experiment in client.search_experiments()],
]))
"""

TRY_TO_WRITE = """
import json, sys
import mlflow
from mlflow.entities import Metric
from mlflow_ws_plugin.errors import BackendRefused
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
run_id = sys.argv[2]
def refused(call):
    try:
        call()
    except BackendRefused:
        return True
    return False
calls = {
    "create_experiment": lambda: client.create_experiment("new"),
    "start_run": lambda: mlflow.start_run(),
    "log_metric": lambda: client.log_metric(run_id, "m", 2),
    "log_batch": lambda: client.log_batch(run_id, metrics=[Metric("m", 2, 0, 0)]),
    "log_param": lambda: client.log_param(run_id, "q", 2),
    "set_tag": lambda: client.set_tag(run_id, "t", "2"),
    "delete_run": lambda: client.delete_run(run_id),
    "update_run": lambda: client.update_run(run_id, name="other"),
    "create_registered_model": lambda: client.create_registered_model("other"),
    "delete_registered_model": lambda: client.delete_registered_model("net"),
    "log_text": lambda: client.log_text(run_id, "x", "notes/a.txt"),
    "delete_artifacts": lambda: mlflow.artifacts.get_artifact_repository(
        artifact_uri=client.get_run(run_id).info.artifact_uri
    ).delete_artifacts("notes"),
}
print(json.dumps({name: refused(call) for name, call in calls.items()}))
"""

OTHER_WORKSPACE = """
import json, sys
import mlflow
from mlflow_ws_plugin.errors import BackendRefused
client = mlflow.MlflowClient(sys.argv[1])
found = [len(client.search_experiments()), len(client.search_registered_models())]
try:
    client.create_experiment("e")
except BackendRefused as error:
    print(json.dumps([found, error.message]))
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, run_script: Any) -> tuple[Path, str]:
    """A home that another process filled, to copy; and its run."""
    home = tmp_path_factory.mktemp("filled") / "home"
    return home, run_script(FILL, uri(home))


@pytest.fixture
def read_only_home(public_path: Path, filled: tuple[Path, str]) -> tuple[Path, str]:
    """A home that somebody else filled and that nobody may write any more; and its run."""
    home, run_id = public_path / "home", filled[1]
    shutil.copytree(filled[0], home)
    for path in (home, *home.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return home, run_id


def test_a_read_only_home_opens_and_reads(
    read_only_home: tuple[Path, str], run_unprivileged: Any
) -> None:
    home, run_id = read_only_home
    before = tree(home)
    assert run_unprivileged(READ, uri(home), run_id) == [
        {"m": 1.5},
        {"p": "x"},
        [run_id],
        ["notes/a.txt"],
        "hello",
        ["net"],
        ["Default"],
    ]
    assert tree(home) == before


def test_every_write_to_a_read_only_home_is_refused_and_changes_nothing(
    read_only_home: tuple[Path, str], run_unprivileged: Any
) -> None:
    home, run_id = read_only_home
    before = tree(home)
    outcomes = run_unprivileged(TRY_TO_WRITE, uri(home), run_id)
    assert outcomes == dict.fromkeys(outcomes, True)
    assert tree(home) == before


def test_an_absent_workspace_of_a_read_only_home_reads_as_new_and_is_not_created(
    read_only_home: tuple[Path, str], run_unprivileged: Any
) -> None:
    home, _ = read_only_home
    before = tree(home)
    found, message = run_unprivileged(OTHER_WORKSPACE, uri(home, "other"))
    assert found == [1, 0]
    assert str(home) in message
    assert tree(home) == before


def test_a_reader_of_a_read_only_home_sees_what_the_owner_writes_meanwhile(
    public_path: Path, filled: tuple[Path, str], run_unprivileged: Any
) -> None:
    """The owner's process is still open: its write-ahead log is not folded into the file yet."""
    home, run_id = public_path / "home", filled[1]
    shutil.copytree(filled[0], home)
    client = mlflow.MlflowClient(uri(home))
    client.log_metric(run_id, "m", 2.5, step=1)
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert (home / "workspaces.db-wal").stat().st_size > 0
    assert run_unprivileged(READ, uri(home), run_id)[0] == {"m": 2.5}


# --- disks that are full --------------------------------------------------------------------------

FULL_DISK = """
import json, os, resource, sys
import mlflow
from mlflow_ws_plugin.errors import WorkspaceError
import mlflow_ws_plugin.stores.tracking
home, limit_bytes = sys.argv[1], int(sys.argv[2])
client = mlflow.MlflowClient("ws://" + home + "/team")
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
# Python ignores SIGXFSZ: a write beyond the limit fails with EFBIG.
resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
try:
    client.create_experiment("e")
    error = None
except WorkspaceError as e:
    error = [type(e).__name__, e.message]
left = sorted(os.listdir(home))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
client.create_experiment("e")
print(json.dumps([error, left, len(client.search_experiments())]))
"""


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE stands in for a full disk")
@pytest.mark.parametrize("limit_bytes", [64 << 10, 512 << 10])
def test_a_disk_that_fills_while_a_home_is_made_leaves_no_half_database(
    tmp_path: Path, run_script: Any, limit_bytes: int
) -> None:
    """And once there is room, the same process makes it."""
    error, left, experiments = run_script(FULL_DISK, str(tmp_path), str(limit_bytes))
    assert error is not None
    assert error[0] == "BackendUnavailable"
    assert str(tmp_path) in error[1]
    assert set(left) <= {".lock"}
    assert experiments == 2


FULL_DISK_ARTIFACT = """
import json, os, resource, sys
import mlflow
home = sys.argv[1]
mlflow.set_tracking_uri("ws://" + home + "/team")
client = mlflow.MlflowClient()
run = client.create_run(client.create_experiment("e"))
with open(os.path.join(home, "data.bin"), "wb") as file:
    file.write(b"old" * 1000)
client.log_artifact(run.info.run_id, file.name)
with open(os.path.join(home, "data.bin"), "wb") as file:
    file.write(b"new" * 1_000_000)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
try:
    client.log_artifact(run.info.run_id, file.name)
    failed = False
except OSError:
    failed = True
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(json.dumps([failed, [f.file_size for f in client.list_artifacts(run.info.run_id)]]))
"""


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE stands in for a full disk")
def test_a_disk_that_fills_while_an_artifact_is_overwritten_leaves_the_old_one(
    tmp_path: Path, run_script: Any
) -> None:
    assert run_script(FULL_DISK_ARTIFACT, str(tmp_path)) == [True, [3000]]
    stored = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
    assert [path.name for path in stored] == ["data.bin"]
    assert stored[0].read_bytes() == b"old" * 1000


# --- files that are not ours ----------------------------------------------------------------------


def _not_sqlite(path: Path) -> None:
    path.write_bytes(b"PAR1" + bytes(range(256)) * 16)


def _not_mlflows(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER)")
        connection.execute("INSERT INTO customers VALUES (1)")
        connection.commit()


def _alembic_but_not_mlflows(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('0123456789ab')")
        connection.commit()


@pytest.mark.parametrize("make", [_not_sqlite, _not_mlflows, _alembic_but_not_mlflows])
@pytest.mark.parametrize("scheme", ["ws", "ws+sqlite"])
def test_a_file_that_is_not_mlflows_is_refused_for_reads_and_writes_and_left_alone(
    tmp_path: Path, make: Any, scheme: str
) -> None:
    file = tmp_path / "workspaces.db"
    make(file)
    before = tree(tmp_path)
    target = uri(tmp_path) if scheme == "ws" else f"ws+sqlite://{file.as_posix()}/team"
    for call in (log_a_run, lambda text: mlflow.MlflowClient(text).search_experiments()):
        with pytest.raises(UnsupportedSchema, match=r"workspaces\.db"):
            call(target)
    assert tree(tmp_path) == before


def test_a_damaged_database_is_a_clear_error_that_names_it(
    tmp_path: Path, filled: tuple[Path, str]
) -> None:
    database = tmp_path / "workspaces.db"
    content = bytearray((filled[0] / "workspaces.db").read_bytes())
    content[100:60_000] = b"\xff" * (60_000 - 100)
    database.write_bytes(content)
    with pytest.raises((BackendUnavailable, UnsupportedSchema), match=r"workspaces\.db"):
        log_a_run(uri(tmp_path))
    assert database.read_bytes() == bytes(content)


def _empty(path: Path) -> None:
    path.touch()


def _without_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER)")
        connection.commit()
        connection.execute("DROP TABLE t")
        connection.commit()


@pytest.mark.parametrize("make", [_empty, _without_tables])
def test_an_empty_database_file_reads_as_new_and_is_filled_by_the_first_write(
    tmp_path: Path, run_script: Any, make: Any
) -> None:
    make(tmp_path / "workspaces.db")
    client = mlflow.MlflowClient(uri(tmp_path))
    assert [e.name for e in client.search_experiments()] == ["Default"]
    before = tree(tmp_path)
    run_id = log_a_run(uri(tmp_path))
    assert tree(tmp_path) != before
    client.log_metric(run_id, "m", 1.0)
    # Another process sees it: it went into the file of that name, not into one that was replaced.
    read = """
import json, sys, mlflow
print(json.dumps(mlflow.MlflowClient(sys.argv[1]).get_run(sys.argv[2]).data.metrics))
"""
    assert run_script(read, uri(tmp_path), run_id) == {"m": 1.0}


@pytest.mark.parametrize("name", ["what?", "100%25", "a#b", "[x]*", "it's a home", "größe"])
def test_a_home_of_any_name_is_made_used_and_found_again(tmp_path: Path, name: str) -> None:
    """What means something in a URL, a glob or a shell means nothing in a directory's name."""
    client = mlflow.MlflowClient(f"ws://{tmp_path.as_posix()}/{quote(name)}/team")
    run_id = client.create_run(client.create_experiment("e")).info.run_id
    client.log_text(run_id, "hello", "note.txt")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [item.path for item in client.list_artifacts(run_id)] == ["note.txt"]
    assert {path.name for path in (tmp_path / name).iterdir()} >= {"artifacts", "workspaces.db"}
