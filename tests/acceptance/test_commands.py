"""Every command, on good and on bad input: one message, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.entities import Metric
from sqlalchemy import Engine, event

from mlflow_ws_plugin.cli import main
from mlflow_ws_plugin.stores.database import close_all

DEADLINE_S = 120


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_WS_HOME", str(tmp_path / "default-home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose workspace `demo` has one run of two metrics, to copy."""
    home = tmp_path_factory.mktemp("template") / "home"
    uri = f"ws://{home}/demo"
    client = MlflowClient(uri, uri)
    experiment = client.create_experiment("digits")
    run = client.create_run(experiment, run_name="first")
    points = [Metric("loss", 1.0 / (step + 1), 1_000 * step, step) for step in range(50)]
    client.log_batch(run.info.run_id, metrics=points)
    client.log_param(run.info.run_id, "lr", "0.1")
    client.log_text(run.info.run_id, "hello", "note.txt")
    client.set_terminated(run.info.run_id)
    close_all()
    return home


@pytest.fixture
def uri(tmp_path: Path, template: Path) -> str:
    """A workspace of this test's own, with the run of the template."""
    shutil.copytree(template, tmp_path / "home")
    return f"ws://{tmp_path}/home/demo"


def invoke(*words: str, code: int = 0, answer: str | None = None) -> Result:
    result = CliRunner().invoke(main, words, input=answer)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def commands(group: click.Group = main, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*words, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_has_an_example_in_its_help(words: tuple[str, ...]) -> None:
    """`--help` shows at least one line that can be pasted."""
    text = invoke(*words, "--help").output
    assert re.search(r"Examples?:\n( +\S.*\n)*? +.*mlflow-ws " + words[0], text), text


@pytest.mark.parametrize(
    "words",
    [
        ("ui",),
        ("env",),
        ("doctor",),
        ("runs", "list"),
        ("runs", "show", "0" * 32),
        ("workspace", "show"),
        ("workspace", "list"),
        ("workspace", "create"),
        ("workspace", "delete"),
        ("upgrade",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "bad", ["demo", "ws://Bad_Name", "ws://user:hunter2@demo", "ws://a/b/demo"]
)
def test_a_wrong_uri_is_one_message_without_the_secret(words: tuple[str, ...], bad: str) -> None:
    """Exit code 1, the form that is expected, and never the password."""
    result = invoke(*words, bad, code=1)
    assert "ws://NAME" in result.output or "Did you mean" in result.output or "ws," in result.output
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    "words",
    [("ui",), ("runs", "list"), ("workspace", "show"), ("workspace", "delete")],
    ids=" ".join,
)
def test_an_absent_workspace_is_named_and_not_created(
    words: tuple[str, ...], uri: str, tmp_path: Path
) -> None:
    """The message has the nearest name and the next command; nothing appears on disk."""
    result = invoke(*words, uri.replace("demo", "dem"), code=1)
    assert "Did you mean 'demo'?" in result.output
    assert "mlflow-ws workspace create" in result.output
    assert invoke("workspace", "list", uri).output.count("ws:///") == 1
    absent = f"ws://{tmp_path}/nowhere/demo"
    invoke(*words, absent, code=1)
    assert not (tmp_path / "nowhere").exists()


def test_without_any_workspace_the_message_says_how_to_name_one() -> None:
    """A usage error (exit code 2), because the command line lacks something."""
    result = invoke("runs", "list", code=2)
    assert "MLFLOW_TRACKING_URI" in result.output


def test_an_unreadable_home_is_one_message(tmp_path: Path) -> None:
    """A home that is a file: exit code 1 for each command that needs it."""
    (tmp_path / "file").write_text("not a directory")
    for words in (("workspace", "create"), ("runs", "list"), ("ui",)):
        result = invoke(*words, f"ws://{tmp_path}/file/demo", code=1)
        assert str(tmp_path / "file") in result.output


# --- workspace -----------------------------------------------------------------------------------


def test_create_makes_a_workspace_once(tmp_path: Path) -> None:
    """The second time says that nothing was changed."""
    uri = f"ws://{tmp_path}/home/demo"
    assert invoke("workspace", "create", uri, "--description", "digits").stdout.strip() == uri
    assert "exists already" in invoke("workspace", "create", uri, code=1).output
    shown = json.loads(invoke("workspace", "show", uri, "-o", "json").output)
    assert shown["description"] == "digits"
    assert len(shown["settings"]["uuid"]) == 32


def test_list_counts_what_each_workspace_holds(uri: str) -> None:
    """All workspaces of the home, none of MLflow's own."""
    invoke("workspace", "create", uri.replace("demo", "another"))
    listed = json.loads(invoke("workspace", "list", uri, "-o", "json").output)
    assert [(item["workspace"], item["runs"]) for item in listed] == [("another", 0), ("demo", 1)]


def test_list_without_anything_to_list_is_no_error(tmp_path: Path) -> None:
    """The default home need not exist."""
    result = invoke("workspace", "list")
    assert "No workspaces" in result.output
    assert not (tmp_path / "default-home").exists()


def test_delete_refuses_a_workspace_that_holds_something(uri: str) -> None:
    """Nothing is deleted, and the message shows the command that would."""
    result = invoke("workspace", "delete", uri, code=1)
    assert "--cascade" in result.output
    assert json.loads(invoke("workspace", "show", uri, "-o", "json").output)["runs"] == 1


def test_delete_asks_before_it_cascades(uri: str) -> None:
    """`n` leaves everything as it was; exit code 1."""
    invoke("workspace", "delete", uri, "--cascade", code=1, answer="n\n")
    assert json.loads(invoke("workspace", "show", uri, "-o", "json").output)["runs"] == 1


def test_delete_cascade_removes_rows_and_files(uri: str, tmp_path: Path) -> None:
    """A workspace made anew under the same name shows nothing of the old one."""
    other = uri.replace("demo", "another")
    client = MlflowClient(other, other)
    kept = client.create_run(client.create_experiment("kept")).info.run_id
    client.log_text(kept, "stays", "note.txt")
    invoke("workspace", "delete", uri, "--cascade", "--yes")
    assert not (tmp_path / "home" / "artifacts" / "workspaces" / "demo").exists()
    assert not list((tmp_path / "home" / "artifacts" / ".partial").iterdir())
    assert rows_of("demo", tmp_path / "home" / "workspaces.db") == {}
    invoke("workspace", "create", uri)
    shown = json.loads(invoke("workspace", "show", uri, "-o", "json").output)
    assert (shown["experiments"], shown["runs"], shown["artifact_bytes"]) == (1, 0, 0)
    assert client.get_run(kept).info.run_id == kept


def rows_of(workspace: str, database: Path) -> dict[str, int]:
    """Rows that name `workspace`, by table; and rows of runs whose experiment is gone."""
    with closing(sqlite3.connect(database)) as connection:
        tables = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        counts = {}
        for table in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            if "workspace" in columns:
                query = f"SELECT count(*) FROM {table} WHERE workspace = ?"
                counts[table] = connection.execute(query, (workspace,)).fetchone()[0]
            if table in {"metrics", "params", "tags", "latest_metrics"}:
                query = (
                    f"SELECT count(*) FROM {table} "
                    "WHERE run_uuid NOT IN (SELECT run_uuid FROM runs)"
                )
                counts[f"orphaned {table}"] = connection.execute(query).fetchone()[0]
    return {table: count for table, count in counts.items() if count}


def test_an_unused_workspace_can_be_deleted_without_cascade(tmp_path: Path) -> None:
    """Its Default experiment, which nobody asked for, does not count."""
    uri = f"ws://{tmp_path}/home/demo"
    invoke("workspace", "create", uri)
    invoke("workspace", "delete", uri)
    invoke("workspace", "show", uri, code=1)


# --- env -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("directory", ["home", "my home", "it's $HOME"])
def test_env_for_a_shell_says_the_same_after_the_shell_read_it(
    directory: str, tmp_path: Path
) -> None:
    """Spaces, quotes and dollars in a path survive `eval`."""
    from urllib.parse import quote

    uri = f"ws://{quote(str(tmp_path))}/{quote(directory)}/demo"
    printed = invoke("env", uri).output
    shell = subprocess.run(
        ["sh", "-c", 'eval "$1"; printf %s "$MLFLOW_TRACKING_URI"', "sh", printed],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    assert (
        shell.stdout
        == json.loads(invoke("env", uri, "--format", "json").output)["MLFLOW_TRACKING_URI"]
    )
    dotenv = invoke("env", uri, "--format", "dotenv").output
    assert dotenv == f"MLFLOW_TRACKING_URI={shell.stdout}\n"


def test_env_gives_the_absolute_uri_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ws://NAME` in MLFLOW_TRACKING_URI becomes the form that means the same everywhere."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "ws://demo")
    home = os.environ["MLFLOW_WS_HOME"]
    assert invoke("env").output == f"export MLFLOW_TRACKING_URI=ws://{home}/demo\n"


def test_env_for_docker_mounts_the_home(tmp_path: Path) -> None:
    """The home is at the same path inside, so the absolute URI means the same."""
    printed = invoke("env", f"ws://{tmp_path}/home/demo", "--format", "docker").output
    assert printed.split() == [
        "-e",
        f"MLFLOW_TRACKING_URI=ws://{tmp_path}/home/demo",
        "-v",
        f"{tmp_path}/home:{tmp_path}/home",
    ]


def test_env_for_kubernetes_is_yaml(tmp_path: Path) -> None:
    """`env`, `volumeMounts` and `volumes` of a pod."""
    import yaml

    printed = invoke("env", f"ws://{tmp_path}/home/demo", "--format", "k8s").output
    pod = yaml.safe_load(printed)
    assert pod["env"] == [{"name": "MLFLOW_TRACKING_URI", "value": f"ws://{tmp_path}/home/demo"}]
    assert pod["volumes"][0]["hostPath"]["path"] == f"{tmp_path}/home"


# --- doctor --------------------------------------------------------------------------------------


def test_doctor_finds_nothing_wrong_with_a_good_workspace(uri: str, tmp_path: Path) -> None:
    """Each line is ok; the write test leaves nothing behind."""
    database = tmp_path / "home" / "workspaces.db"
    before = rows_of("demo", database)
    findings = json.loads(invoke("doctor", uri, "--write", "-o", "json").output)
    assert all(finding["ok"] for finding in findings)
    assert {"database write", "artifact write"} <= {finding["what"] for finding in findings}
    assert rows_of("demo", database) == before
    assert not list((tmp_path / "home" / "artifacts" / ".partial").iterdir())


def test_doctor_creates_nothing(tmp_path: Path) -> None:
    """Neither for a workspace nor for a home that does not exist, with --write too."""
    invoke("doctor", f"ws://{tmp_path}/nowhere/demo", "--write")
    assert not (tmp_path / "nowhere").exists()


def test_doctor_names_a_contradiction(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 and a line that begins with BAD."""
    monkeypatch.setenv("MLFLOW_WORKSPACE", "other")
    output = invoke("doctor", uri, code=1).output
    assert re.search(r"^BAD +workspace switch +.*'other'", output, re.MULTILINE)


def test_doctor_says_what_to_do_about_a_foreign_database(tmp_path: Path) -> None:
    """The line of the database is BAD, and what depends on it is not tried."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "workspaces.db").write_text("this is not SQLite, and long enough" * 100)
    output = invoke("doctor", f"ws://{tmp_path}/home/demo", code=1).output
    assert re.search(r"^BAD +database +.*not a SQLite database", output, re.MULTILINE)
    assert "contents" not in output


# --- runs ----------------------------------------------------------------------------------------


def test_runs_list_shows_the_newest_runs(uri: str) -> None:
    """A plain table; the same as JSON."""
    output = invoke("runs", "list", uri).output
    assert re.search(r"^RUN ID +NAME +EXPERIMENT +STATUS", output)
    assert re.search(r"first +digits +FINISHED .* loss=0.02$", output, re.MULTILINE)
    [run] = json.loads(invoke("runs", "list", uri, "-o", "json").output)
    assert run["params"] == {"lr": "0.1"}


def test_runs_list_filters(uri: str) -> None:
    """By experiment and by MLflow's search syntax; a bad one is one message."""
    assert "No runs" in invoke("runs", "list", uri, "-f", "metrics.loss > 1").output
    assert "first" in invoke("runs", "list", uri, "-e", "digits").output
    assert "no experiment 'nope'" in invoke("runs", "list", uri, "-e", "nope", code=1).output
    assert "Error" in invoke("runs", "list", uri, "-f", "nonsense ~~", code=1).output


def test_runs_show_draws_each_metric(uri: str) -> None:
    """A sparkline of the course and the last points."""
    [run] = json.loads(invoke("runs", "list", uri, "-o", "json").output)
    output = invoke("runs", "show", run["run_id"], uri).output
    assert re.search(r"^loss  50 points  █▄.*▁$", output, re.MULTILINE), output
    assert re.search(r"^49 .* 0\.02$", output, re.MULTILINE)
    full = json.loads(invoke("runs", "show", run["run_id"], uri, "-o", "json").output)
    assert len(full["history"]["loss"]) == 50


def test_runs_show_of_an_unknown_run_is_one_message(uri: str) -> None:
    """MLflow's own message, exit code 1."""
    assert "not found" in invoke("runs", "show", "0" * 32, uri, code=1).output


def test_output_into_a_pipe_is_plain(uri: str) -> None:
    """No colour, no progress bar, no carriage return."""
    result = subprocess.run(
        [sys.executable, "-m", "mlflow_ws_plugin.cli", "runs", "list", uri],
        capture_output=True,
        check=True,
        timeout=DEADLINE_S,
    )
    assert b"\x1b" not in result.stdout
    assert b"\r" not in result.stdout


# --- ui ------------------------------------------------------------------------------------------


def test_ui_print_shows_the_command_and_starts_nothing(uri: str, tmp_path: Path) -> None:
    """What it would run, ready to paste; a port that is taken now may be free then."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        printed = invoke("ui", uri, "--print", "--port", port).output.split()
    assert printed[:2] == ["mlflow", "server"]
    assert f"sqlite:///{tmp_path}/home/workspaces.db" in printed
    assert printed[printed.index("--port") + 1] == port


def test_ui_on_a_taken_port_says_so(uri: str) -> None:
    """One message that names the port and the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        output = invoke("ui", uri, "--port", str(port), code=1).output
    assert f"Port {port}" in output
    assert "--port 0" in output


def test_ui_shows_the_last_words_of_a_server_that_dies(
    uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The server's own error is in the message."""
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").write_text("raise SystemExit('no server today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    output = invoke("ui", uri, "--port", "0", code=1).output
    assert "no server today" in output


@pytest.mark.parametrize(
    ("number", "jobs"),
    [(signal.SIGINT, "true"), (signal.SIGTERM, "false")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_ui_leaves_no_process_behind(uri: str, number: signal.Signals, jobs: str) -> None:
    """After it was stopped, no process of its server exists, and exit was without an error.

    Those of MLflow's job runner neither, which are the children of a child.
    """
    environment = os.environ | {
        "MLFLOW_WORKSPACE": "other",
        "MLFLOW_TRACKING_URI": "ws://nowhere",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": jobs,
    }
    deadline = time.monotonic() + DEADLINE_S
    with subprocess.Popen(
        [sys.executable, "-m", "mlflow_ws_plugin.cli", "ui", uri, "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            page = re.search(r"http://\S+", line)
            assert page, line
            with urllib.request.urlopen(page[0], timeout=DEADLINE_S) as response:
                assert b"<title>MLflow</title>" in response.read()
            children = descendants(process.pid)
            while jobs == "true" and len(children) < PROCESSES_WITH_JOBS:
                assert time.monotonic() < deadline, children
                children = descendants(process.pid)
            assert children
            process.send_signal(number)
            assert process.wait(DEADLINE_S) == 0
            while any(alive(child) for child in children):
                assert time.monotonic() < deadline, children
        finally:
            process.kill()


PROCESSES_WITH_JOBS = 4
"""At least: the server, its worker, the job runner, and a consumer of that one."""


def descendants(parent: int) -> list[int]:
    """Process ids below `parent`, from /proc."""
    found: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            child = int(status.parent.name)
            found += [child, *descendants(child)]
    return found


def alive(process: int) -> bool:
    """Whether the process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- many runs -----------------------------------------------------------------------------------


def add_runs(database: Path, numbers: range) -> None:
    """Copies of the newest run, each older than the one before."""
    with closing(sqlite3.connect(database)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        others = ", ".join(name for name in columns if name not in {"run_uuid", "start_time"})
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?), "
            "newest AS (SELECT * FROM runs ORDER BY start_time DESC LIMIT 1) "
            f"INSERT INTO runs (run_uuid, start_time, {others}) "
            f"SELECT printf('%032x', i), start_time - i, {others} FROM newest, n",
            (numbers[0], numbers[-1]),
        )


@pytest.fixture
def statements() -> Iterator[list[tuple[str, Any]]]:
    """What is asked of any database, and the values in it."""
    asked: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        asked.append(arguments[2:4])

    event.listen(Engine, "before_cursor_execute", note)
    yield asked
    event.remove(Engine, "before_cursor_execute", note)


def test_runs_list_asks_for_one_page_of_a_thousand_runs(
    uri: str, tmp_path: Path, statements: list[tuple[str, Any]]
) -> None:
    """As many questions as for twenty runs, and a limit on the runs."""

    def asked() -> int:
        statements.clear()
        listed = json.loads(invoke("runs", "list", uri, "-n", "20", "-o", "json").output)
        assert len(listed) == 20
        [(text, values)] = [
            asked for asked in statements if "FROM runs" in asked[0] and "start_time" in asked[0]
        ]
        assert "LIMIT" in text
        # One more says whether there are more.
        assert {20, 21} & set(values)
        return len(statements)

    database = tmp_path / "home" / "workspaces.db"
    add_runs(database, range(1, 20))
    asked()  # The first one opens the database, too.
    few = asked()
    add_runs(database, range(20, 1000))
    assert json.loads(invoke("workspace", "show", uri, "-o", "json").output)["runs"] == 1000
    assert asked() == few


@pytest.mark.bench
def test_runs_list_takes_no_longer_with_ten_thousand_runs(uri: str, tmp_path: Path) -> None:
    """The time of a listing does not grow with the runs that are not shown: three times at most."""

    def timed() -> float:
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            invoke("runs", "list", uri, "-n", "20")
            best = min(best, time.perf_counter() - start)
        return best

    few = timed()
    add_runs(tmp_path / "home" / "workspaces.db", range(1, 10_001))
    many = timed()
    assert json.loads(invoke("workspace", "show", uri, "-o", "json").output)["runs"] == 10_001
    print(f"1 run: {few * 1000:.0f} ms, 10,001 runs: {many * 1000:.0f} ms")  # noqa: T201 - the figures
    assert many < max(3 * few, few + 0.5)
