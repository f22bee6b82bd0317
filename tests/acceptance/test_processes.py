"""Many processes, workers and threads on one home: every point lands where its URI says."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from programs import run_python

DEADLINE_S = 120


def query(database: Path, text: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(text, values).fetchall()


def points(database: Path, workspace: str) -> dict[str, float]:
    """Run name to its last value of metric `m`, of the runs of a workspace."""
    return dict(
        query(
            database,
            "SELECT runs.name, latest_metrics.value FROM runs"
            " JOIN experiments USING (experiment_id)"
            " JOIN latest_metrics ON latest_metrics.run_uuid = runs.run_uuid"
            " WHERE latest_metrics.key = 'm' AND experiments.workspace = ?",
            workspace,
        )
    )


def workspaces(database: Path) -> list[str]:
    rows = query(database, "SELECT name FROM workspaces WHERE name <> 'default' ORDER BY name")
    return [row[0] for row in rows]


# --- a new home -----------------------------------------------------------------------------------

RACER = """
import os, sys
import mlflow

number = int(sys.argv[1])
os.write(0, b"ready")
os.read(0, 1)
with mlflow.start_run(run_name=f"run-{number}"):
    for step in range(20):
        mlflow.log_metric("m", number * 100 + step, step=step)
    mlflow.log_text(str(number), "number.txt")
"""


@pytest.mark.parametrize("count", [8, pytest.param(32, marks=pytest.mark.soak)])
def test_processes_that_use_a_new_home_at_once_all_succeed(
    tmp_path: Path, scripts: Any, clean_environment: Any, count: int
) -> None:
    home = tmp_path / "new" / "home"
    env = clean_environment(MLFLOW_TRACKING_URI=f"ws://{home.as_posix()}/team")
    ended = scripts.at_once(RACER, [[str(n)] for n in range(count)], cwd=tmp_path, env=env)
    outputs = [racer.stderr for racer in ended]
    assert [racer.returncode for racer in ended] == [0] * count, "\n".join(outputs)

    database = home / "workspaces.db"
    assert points(database, "team") == {f"run-{n}": n * 100 + 19 for n in range(count)}
    assert query(database, "SELECT count(*) FROM metrics") == [(20 * count,)]
    assert workspaces(database) == ["team"]
    assert query(database, "SELECT name FROM experiments") == [("Default",)]
    files = [int(path.read_text()) for path in home.rglob("number.txt")]
    assert sorted(files) == list(range(count))
    # One of them created it, and only that one says so.
    assert sum(output.count("Created workspace") for output in outputs) == 1


# --- pool workers ---------------------------------------------------------------------------------

POOL = """
import json, multiprocessing, os, sys
import mlflow

def work(number, elsewhere):
    os.chdir(elsewhere)
    with mlflow.start_run(run_name=f"worker-{number}"):
        mlflow.log_metric("m", number)
        mlflow.log_text(str(number), "number.txt")
    return os.getpid(), os.environ["MLFLOW_TRACKING_URI"]

if __name__ == "__main__":
    kind, elsewhere = sys.argv[1:]
    with mlflow.start_run(run_name="parent"):
        mlflow.log_metric("m", -1)
    tasks = [(number, elsewhere) for number in range(4)]
    if kind == "loky":
        import joblib
        jobs = (joblib.delayed(work)(*task) for task in tasks)
        answers = joblib.Parallel(n_jobs=2, backend="loky")(jobs)
    else:
        with multiprocessing.get_context(kind).Pool(2) as pool:
            answers = pool.starmap(work, tasks)
            pool.close()
            pool.join()
    print(json.dumps({
        "processes": sorted({pid for pid, _ in answers} - {os.getpid()}),
        "uris": sorted({uri for _, uri in answers} | {os.environ["MLFLOW_TRACKING_URI"]}),
    }))
"""


@pytest.mark.parametrize(
    ("kind", "uri"),
    [
        ("loky", "ws://team"),
        ("fork", "ws://team"),
        ("spawn", "ws:"),
        pytest.param("spawn", "ws://team", marks=pytest.mark.soak),
    ],
)
def test_pool_workers_in_another_directory_log_where_their_parent_does(
    tmp_path: Path, clean_environment: Any, kind: str, uri: str
) -> None:
    """The relative forms become absolute in the environment on first use."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for directory, name in ((project, "team"), (elsewhere, "decoy")):
        (directory / ".mlflow-ws").mkdir(parents=True)
        config = directory / ".mlflow-ws" / "config.json"
        config.write_text(json.dumps({"workspace_name": name}))
    (project / "pool.py").write_text(POOL)
    env = clean_environment(MLFLOW_TRACKING_URI=uri, MLFLOW_WS_HOME="homes")
    done = run_python("pool.py", kind, elsewhere, cwd=project, env=env)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["processes"]
    home = project / "homes"
    assert answer["uris"] == [f"ws://{home.as_posix()}/team"]
    expected = {"parent": -1.0, **{f"worker-{n}": float(n) for n in range(4)}}
    assert points(home / "workspaces.db", "team") == expected
    assert workspaces(home / "workspaces.db") == ["team"]
    assert sorted(path.read_text() for path in home.rglob("number.txt")) == list("0123")
    assert [path.name for path in elsewhere.iterdir()] == [".mlflow-ws"]


# --- threads --------------------------------------------------------------------------------------

THREADS = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import mlflow
from mlflow.entities import Metric, Param

uris = sys.argv[1:]
barrier = threading.Barrier(16, timeout=60)

def work(number):
    client = mlflow.MlflowClient(uris[number % 2])
    barrier.wait()
    name = f"e{number % 4}"
    experiment = client.get_experiment_by_name(name)
    try:
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        experiment_id = client.get_experiment_by_name(name).experiment_id
    run = client.create_run(experiment_id, run_name=f"thread-{number}")
    for step in range(5):
        client.log_metric(run.info.run_id, "m", number, step=step)
        client.log_batch(
            run.info.run_id,
            metrics=[Metric("b", step, 0, step)],
            params=[Param(f"p{step}", str(number))],
        )
    client.log_text(run.info.run_id, str(number), "number.txt")
    client.set_terminated(run.info.run_id)

with ThreadPoolExecutor(16) as pool:
    list(pool.map(work, range(16)))
"""


@pytest.mark.parametrize("second_home", ["first", "second"])
def test_sixteen_threads_on_two_workspaces_keep_them_apart(
    tmp_path: Path, scripts: Any, clean_environment: Any, second_home: str
) -> None:
    homes = [tmp_path / "first", tmp_path / second_home]
    uris = [f"ws://{homes[0].as_posix()}/even", f"ws://{homes[1].as_posix()}/odd"]
    scripts.run(THREADS, *uris, cwd=tmp_path, env=clean_environment())
    for remainder, (home, name) in enumerate(zip(homes, ("even", "odd"), strict=True)):
        database = home / "workspaces.db"
        numbers = range(remainder, 16, 2)
        assert points(database, name) == {f"thread-{n}": float(n) for n in numbers}
        files = (home / "artifacts" / "workspaces" / name).rglob("number.txt")
        assert sorted(int(path.read_text()) for path in files) == list(numbers)
    runs = sum(query(home / "workspaces.db", COUNTS)[0][0] for home in set(homes))
    assert runs == 16 * 10


COUNTS = "SELECT count(*) FROM metrics"


# --- fork and kill --------------------------------------------------------------------------------

FORK = """
import json, os, threading
import mlflow

client = mlflow.MlflowClient()
run = client.create_run(client.create_experiment("e"), run_name="parent")
stop = threading.Event()
logged = [0, 0]

def log_for_ever(number):
    while not stop.is_set():
        client.log_metric(run.info.run_id, f"t{number}", logged[number], step=logged[number])
        logged[number] += 1

threads = [threading.Thread(target=log_for_ever, args=[n]) for n in range(2)]
for thread in threads:
    thread.start()
statuses = []
for number in range(8):
    child = os.fork()
    if child == 0:
        own = mlflow.MlflowClient().create_run(run.info.experiment_id, run_name=f"child-{number}")
        client.log_metric(own.info.run_id, "m", number)
        os._exit(0)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
for thread in threads:
    thread.join()
client.log_metric(run.info.run_id, "m", -1)
print(json.dumps([statuses, logged, [
    len(client.get_metric_history(run.info.run_id, f"t{n}")) for n in range(2)
]]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_while_other_threads_log_neither_hangs_nor_loses_a_point(
    tmp_path: Path, scripts: Any, clean_environment: Any
) -> None:
    env = clean_environment(MLFLOW_TRACKING_URI=f"ws://{tmp_path.as_posix()}/home/team")
    statuses, logged, found = scripts.run(FORK, cwd=tmp_path, env=env)
    assert statuses == [0] * 8
    assert min(logged) > 0
    assert found == logged
    database = tmp_path / "home" / "workspaces.db"
    expected = {"parent": -1.0, **{f"child-{n}": float(n) for n in range(8)}}
    assert points(database, "team") == expected
    assert query(database, "PRAGMA integrity_check") == [("ok",)]


WRITE_FOR_EVER = """
import itertools
import mlflow

with mlflow.start_run(run_name="victim"):
    for step in itertools.count():
        mlflow.log_metric("m", step, step=step)
        print(step, flush=True)
"""


def test_a_script_that_is_killed_in_mid_write_leaves_a_readable_database(
    tmp_path: Path, scripts: Any, clean_environment: Any
) -> None:
    """And every point whose call had returned is in it."""
    env = clean_environment(MLFLOW_TRACKING_URI=f"ws://{tmp_path.as_posix()}/home/team")
    victim = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert victim.stdout is not None
        for _ in range(30):
            assert victim.stdout.readline()
        victim.send_signal(signal.SIGKILL)
        acknowledged = 30 + len(victim.communicate(timeout=DEADLINE_S)[0].splitlines())
    finally:
        victim.kill()
        victim.wait()
    read = """
import json, mlflow
[run] = mlflow.search_runs(output_format="list")
history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "m")
with mlflow.start_run(run_name="after"):
    mlflow.log_metric("m", 1)
print(json.dumps([run.info.run_name, [metric.step for metric in history]]))
"""
    name, steps = scripts.run(read, cwd=tmp_path, env=env)
    assert name == "victim"
    # The last call may have been committed before it could say so.
    assert steps in (list(range(acknowledged)), list(range(acknowledged + 1)))
    database = tmp_path / "home" / "workspaces.db"
    assert points(database, "team")["after"] == 1.0
    assert query(database, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize(
    ("end", "exit_code"), [("pass", 0), ("raise SystemExit(3)", 3), ("raise ValueError('x')", 1)]
)
def test_after_a_script_has_ended_no_write_ahead_log_is_left(
    tmp_path: Path, scripts: Any, clean_environment: Any, end: str, exit_code: int
) -> None:
    code = f"""
import mlflow
mlflow.start_run()
mlflow.log_metric("m", 1)
mlflow.log_text("x", "x.txt")
{end}
"""
    env = clean_environment(MLFLOW_TRACKING_URI=f"ws://{tmp_path.as_posix()}/home/team")
    done = scripts.start(code, cwd=tmp_path, env=env).wait()
    assert done.returncode == exit_code, done.stderr
    names = {path.name for path in (tmp_path / "home").iterdir()}
    assert names == {"workspaces.db", ".lock", "artifacts"}
