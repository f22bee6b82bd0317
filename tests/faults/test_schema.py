"""Databases of other MLflow versions: refused with the way out, or upgraded after a copy."""

from __future__ import annotations

import hashlib
import logging
import re
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
import sqlalchemy
from alembic import command
from alembic.script import ScriptDirectory
from click.testing import CliRunner, Result
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base

from mlflow_ws_plugin.cli import main
from mlflow_ws_plugin.errors import UnsupportedSchema, WorkspaceError

WITH_WORKSPACES = "1b5f0d9ad7c1"
"""The oldest revision that has MLflow's workspaces."""


def _revisions() -> list[str]:
    """From the newest to the oldest."""
    script = ScriptDirectory.from_config(_get_alembic_config(""))
    return [revision.revision for revision in script.walk_revisions()]


HEAD, PREVIOUS = _revisions()[:2]
BEFORE_WORKSPACES = _revisions()[_revisions().index(WITH_WORKSPACES) + 1]


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Databases as older MLflow versions left them: one run of workspace `team`, or of nobody."""
    directory = tmp_path_factory.mktemp("templates")
    return {
        revision: _old_database(directory / f"{revision}.db", revision)
        for revision in (HEAD, PREVIOUS, WITH_WORKSPACES, BEFORE_WORKSPACES)
    }


def _old_database(path: Path, revision: str) -> Path:
    engine = sqlalchemy.create_engine(f"sqlite:///{path.as_posix()}")
    Base.metadata.create_all(engine)
    config = _get_alembic_config(str(engine.url))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection, connection:
        experiment = {
            "experiment_id": 7,
            "name": "old",
            "artifact_location": "mlflow-artifacts:/workspaces/team/7",
            "lifecycle_stage": "active",
        }
        if revision != BEFORE_WORKSPACES:
            _insert(connection, "workspaces", name="team")
            experiment["workspace"] = "team"
        _insert(connection, "experiments", **experiment)
        _insert(
            connection,
            "runs",
            run_uuid="0" * 32,
            name="old-run",
            experiment_id=7,
            status="FINISHED",
            lifecycle_stage="active",
            start_time=1,
            end_time=2,
            user_id="me",
            artifact_uri="mlflow-artifacts:/workspaces/team/7/x/artifacts",
        )
        _insert(connection, "params", key="p", value="v", run_uuid="0" * 32)
    return path


def _insert(connection: sqlite3.Connection, table: str, **values: Any) -> None:
    columns, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", [*values.values()])


def _set_revision(database: Path, revision: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])


def _revision(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def _dump(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return "\n".join(connection.iterdump())


def _tree(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


def _uri(database: Path, scheme: str, name: str = "team") -> str:
    place = database.parent if scheme == "ws" else database
    return f"{scheme}://{place.as_posix()}/{name}"


def _read(uri: str) -> list[str]:
    client = mlflow.MlflowClient(uri)
    experiments = [e.experiment_id for e in client.search_experiments()]
    return [run.info.run_name for run in client.search_runs(experiments)]


def _write(uri: str) -> str:
    return mlflow.MlflowClient(uri).create_experiment("new")


def _upgrade(uri: str) -> Result:
    return CliRunner().invoke(main, ["upgrade", uri])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "workspaces.db"


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """What our logger says; MLflow's logger does not propagate to where pytest listens."""
    lines: list[str] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("mlflow.ws")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


# --- newer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [_read, _write])
@pytest.mark.parametrize("scheme", ["ws", "ws+sqlite"])
@pytest.mark.parametrize(
    ("writer", "install"), [(None, "-U mlflow"), ("1.0.0", "-U mlflow"), ("99.1.0", "mlflow==99.1")]
)
def test_a_newer_database_is_refused_unchanged_with_the_mlflow_to_install(
    database: Path,
    templates: dict[str, Path],
    call: Any,
    scheme: str,
    writer: str | None,
    install: str,
) -> None:
    shutil.copy(templates[HEAD], database)
    _set_revision(database, "ffffffffffff")
    if writer:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("CREATE TABLE ws_settings (workspace, key, value)")
            _insert(connection, "ws_settings", workspace="", key="mlflow_version", value=writer)
    before = _tree(database.parent)
    with pytest.raises(UnsupportedSchema, match=f"pip install '?{re.escape(install)}") as caught:
        call(_uri(database, scheme))
    assert str(database) in caught.value.message
    assert mlflow.__version__ in caught.value.message
    assert _tree(database.parent) == before


def test_the_upgrade_command_refuses_a_newer_database_and_does_not_change_it(
    database: Path, templates: dict[str, Path]
) -> None:
    shutil.copy(templates[HEAD], database)
    _set_revision(database, "ffffffffffff")
    before = _dump(database)
    result = _upgrade(_uri(database, "ws+sqlite"))
    assert result.exit_code == 1
    assert "pip install" in result.output
    assert _dump(database) == before
    assert not list(database.parent.glob("*.bak"))


# --- older, in a private home ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revision", "name"),
    [(PREVIOUS, "team"), (WITH_WORKSPACES, "team"), (BEFORE_WORKSPACES, "default")],
)
def test_an_older_private_home_is_upgraded_by_opening_it_after_a_backup_copy(
    database: Path,
    templates: dict[str, Path],
    log_lines: list[str],
    revision: str,
    name: str,
) -> None:
    """Rows from before workspaces are in MLflow's own workspace, `default`."""
    shutil.copy(templates[revision], database)
    before = _dump(database)
    uri = _uri(database, "ws", name)
    assert _read(uri) == ["old-run"]
    [backup] = database.parent.glob("*.bak")
    assert _revision(database) == HEAD
    assert _revision(backup) == revision
    assert _dump(backup) == before
    [line] = log_lines
    assert str(backup) in line
    assert _write(uri)
    run = mlflow.MlflowClient(uri).get_run("0" * 32)
    assert run.data.params == {"p": "v"}


OPEN = """
import os, sys
import mlflow
os.write(0, b"ready")
os.read(0, 1)
client = mlflow.MlflowClient(sys.argv[1])
print(client.get_run("0" * 32).info.run_name, flush=True)
"""


def test_two_processes_that_open_an_older_home_at_once_upgrade_it_once(
    database: Path, templates: dict[str, Path], scripts: Any, clean_environment: Any
) -> None:
    shutil.copy(templates[WITH_WORKSPACES], database)
    before = _dump(database)
    ended = scripts.at_once(OPEN, [[_uri(database, "ws")]] * 2, env=clean_environment())
    assert [done.returncode for done in ended] == [0, 0], ended
    assert [done.stdout for done in ended] == ["old-run\n"] * 2
    assert sum(done.stderr.count("Upgraded") for done in ended) == 1
    [backup] = database.parent.glob("*.bak")
    assert _dump(backup) == before
    assert _revision(database) == HEAD


def test_an_upgrade_that_fails_says_so_and_leaves_the_database_as_it_was(
    database: Path, templates: dict[str, Path]
) -> None:
    """Here a table of a later step is there already, so that the steps before it succeed."""
    shutil.copy(templates[WITH_WORKSPACES], database)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE label_schemas (mine INTEGER)")
    before = _dump(database)
    with pytest.raises(WorkspaceError, match=re.escape(str(database))):
        _read(_uri(database, "ws"))
    assert _dump(database) == before


def test_a_revision_that_was_set_back_by_hand_is_a_clear_error_and_changes_nothing(
    database: Path, templates: dict[str, Path]
) -> None:
    shutil.copy(templates[HEAD], database)
    _set_revision(database, WITH_WORKSPACES)
    before = _dump(database)
    with pytest.raises(WorkspaceError, match=re.escape(str(database))):
        _read(_uri(database, "ws"))
    assert _dump(database) == before


# --- older, where others may use it ---------------------------------------------------------------


@pytest.mark.parametrize("call", [_read, _write])
@pytest.mark.parametrize("revision", [PREVIOUS, WITH_WORKSPACES])
def test_an_older_explicit_file_is_refused_until_the_command_in_the_error_was_run(
    database: Path, templates: dict[str, Path], call: Any, revision: str
) -> None:
    shutil.copy(templates[revision], database)
    before = _tree(database.parent)
    uri = _uri(database, "ws+sqlite")
    with pytest.raises(UnsupportedSchema, match="mlflow-ws upgrade") as caught:
        call(uri)
    assert _tree(database.parent) == before

    program, *arguments = shlex.split(caught.value.message.rpartition("run: ")[2])
    assert program == "mlflow-ws"
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    [backup] = database.parent.glob("*.bak")
    assert str(backup) in result.output
    assert _revision(backup) == revision
    assert _read(uri) == ["old-run"]
    assert _write(uri)


def test_an_older_home_that_others_can_write_is_refused_with_the_command(
    database: Path, templates: dict[str, Path]
) -> None:
    shutil.copy(templates[WITH_WORKSPACES], database)
    database.parent.chmod(0o770)
    before = _tree(database.parent)
    uri = _uri(database, "ws")
    with pytest.raises(UnsupportedSchema, match=f"mlflow-ws upgrade '{re.escape(uri)}'"):
        _read(uri)
    assert _tree(database.parent) == before
    assert _upgrade(uri).exit_code == 0
    assert _read(uri) == ["old-run"]


READ_AS_OTHER = """
import json, sys
import mlflow
from mlflow_ws_plugin.errors import WorkspaceError
try:
    mlflow.MlflowClient(sys.argv[1]).search_experiments()
except WorkspaceError as error:
    print(json.dumps([type(error).__name__, error.message]))
"""


def test_an_older_home_of_somebody_else_is_refused_for_a_reader_and_left_alone(
    public_path: Path, templates: dict[str, Path], run_unprivileged: Any
) -> None:
    home = public_path / "home"
    home.mkdir()
    shutil.copy(templates[WITH_WORKSPACES], home / "workspaces.db")
    (home / "workspaces.db").chmod(0o444)
    home.chmod(0o555)
    before = _tree(home)
    name, message = run_unprivileged(READ_AS_OTHER, _uri(home / "workspaces.db", "ws"))
    assert name == "UnsupportedSchema"
    assert "mlflow-ws upgrade" in message
    assert _tree(home) == before


# --- the command ----------------------------------------------------------------------------------


def test_the_upgrade_command_has_nothing_to_do_for_a_current_database(
    database: Path, templates: dict[str, Path]
) -> None:
    shutil.copy(templates[HEAD], database)
    before = _dump(database)
    result = _upgrade(_uri(database, "ws+sqlite"))
    assert result.exit_code == 0
    assert "Nothing to do" in result.output
    assert _dump(database) == before
    assert not list(database.parent.glob("*.bak"))


def test_the_upgrade_command_creates_no_database(database: Path) -> None:
    result = _upgrade(_uri(database, "ws+sqlite"))
    assert result.exit_code == 0
    assert "Nothing to do" in result.output
    assert not database.exists()
