"""The URI alone decides the workspace: contradictions, stale state and deleted ones are errors."""

from __future__ import annotations

import http.server
import json
import logging
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.entities import Metric, Param, RunTag, TraceInfo, TraceLocation, TraceState
from mlflow.entities.workspace import WorkspaceDeletionMode
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
from mlflow.store.workspace.sqlalchemy_store import SqlAlchemyStore as StockWorkspaces
from mlflow.tracking._model_registry.utils import _get_store as registry_store
from mlflow.tracking._tracking_service.utils import _get_store as tracking_store
from programs import clean_environment, run_python
from sqlalchemy import event
from sqlalchemy.orm import Session

from mlflow_ws_plugin.errors import WorkspaceConflict, WorkspaceNotFound
from mlflow_ws_plugin.stores.database import close_all

pytestmark = pytest.mark.usefixtures("fresh_mlflow")

DEADLINE_S = 60


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def uri(home: Path, name: str = "team") -> str:
    return f"ws://{home.as_posix()}/{name}"


@pytest.fixture
def log_records() -> Iterator[list[logging.LogRecord]]:
    """What our logger says; MLflow's logger does not propagate to where pytest listens."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("mlflow.ws")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def dump(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "workspaces.db")) as connection:
        return list(connection.iterdump())


def files(directory: Path) -> list[str]:
    """Every path below, but for what SQLite keeps while a database is open."""
    found = (path.relative_to(directory).as_posix() for path in directory.rglob("*"))
    return sorted(name for name in found if not name.endswith(("-wal", "-shm")))


# --- MLflow's own switch --------------------------------------------------------------------------


class Filled:
    """A workspace with one of everything, to call MLflow on."""

    def __init__(self, home: Path) -> None:
        self._open(home)
        self.experiment_id = self.client.create_experiment("e")
        run = self.client.create_run(self.experiment_id)
        self.run_id, self.artifact_uri = run.info.run_id, run.info.artifact_uri
        self.client.log_artifact(self.run_id, str(self.note))
        self.client.create_registered_model("net")
        self.client.create_model_version("net", f"{self.artifact_uri}/net", self.run_id)
        self.dataset_id = self.tracking.create_dataset("d").dataset_id
        self.model_id = self.client.create_logged_model(self.experiment_id, name="m").model_id
        self.trace_id = "tr-" + "1" * 32
        self.start_trace(self.trace_id)

    def _open(self, home: Path) -> None:
        self.home = home
        self.uri = uri(home)
        self.client = MlflowClient(self.uri)
        self.note = home.parent / "note.txt"
        self.note.write_text("hello")

    def copied_to(self, home: Path) -> Filled:
        """The same workspace, with the same ids, in a copy of the home."""
        close_all()
        shutil.copytree(self.home, home)
        copy = object.__new__(Filled)
        copy.__dict__.update(self.__dict__)
        copy._open(home)
        return copy

    @property
    def tracking(self) -> Any:
        return tracking_store(self.uri)

    @property
    def registry(self) -> Any:
        return registry_store(self.uri)

    @property
    def artifacts(self) -> Any:
        return get_artifact_repository(self.artifact_uri, tracking_uri=self.uri)

    def start_trace(self, trace_id: str) -> None:
        location = TraceLocation.from_experiment_id(self.experiment_id)
        self.tracking.start_trace(
            TraceInfo(
                trace_id=trace_id,
                trace_location=location,
                request_time=1,
                state=TraceState.OK,
            )
        )


@pytest.fixture(scope="module")
def filled_once(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return Filled(tmp_path_factory.mktemp("filled") / "home")


@pytest.fixture
def filled(filled_once: Filled, home: Path) -> Filled:
    return filled_once.copied_to(home)


READS: dict[str, Callable[[Filled], Any]] = {
    "get_run": lambda w: w.client.get_run(w.run_id),
    "get_experiment": lambda w: w.client.get_experiment(w.experiment_id),
    "get_experiment_by_name": lambda w: w.client.get_experiment_by_name("e"),
    "search_experiments": lambda w: w.client.search_experiments(),
    "search_runs": lambda w: w.client.search_runs([w.experiment_id]),
    "search_runs_default": lambda w: w.client.search_runs(["0"]),
    "get_metric_history": lambda w: w.client.get_metric_history(w.run_id, "m"),
    "search_traces": lambda w: w.tracking.search_traces([w.experiment_id]),
    "get_trace_info": lambda w: w.tracking.get_trace_info(w.trace_id),
    "get_dataset": lambda w: w.tracking.get_dataset(w.dataset_id),
    "search_datasets": lambda w: w.tracking.search_datasets(),
    "get_logged_model": lambda w: w.client.get_logged_model(w.model_id),
    "get_registered_model": lambda w: w.client.get_registered_model("net"),
    "search_registered_models": lambda w: w.client.search_registered_models(),
    "search_model_versions": lambda w: w.client.search_model_versions(),
    "get_model_version": lambda w: w.client.get_model_version("net", "1"),
}

WRITES: dict[str, Callable[[Filled], Any]] = {
    "create_experiment": lambda w: w.client.create_experiment("new"),
    "rename_experiment": lambda w: w.client.rename_experiment(w.experiment_id, "new"),
    "set_experiment_tag": lambda w: w.client.set_experiment_tag(w.experiment_id, "k", "v"),
    "delete_experiment": lambda w: w.client.delete_experiment(w.experiment_id),
    "create_run": lambda w: w.client.create_run(w.experiment_id),
    "create_run_default": lambda w: w.client.create_run("0"),
    "log_metric": lambda w: w.client.log_metric(w.run_id, "m", 1.0),
    "log_param": lambda w: w.client.log_param(w.run_id, "p", "1"),
    "set_tag": lambda w: w.client.set_tag(w.run_id, "t", "1"),
    "log_batch": lambda w: w.client.log_batch(
        w.run_id, [Metric("m", 1, 0, 0)], [Param("p", "1")], [RunTag("t", "1")]
    ),
    "set_terminated": lambda w: w.client.set_terminated(w.run_id),
    "delete_run": lambda w: w.client.delete_run(w.run_id),
    "start_trace": lambda w: w.start_trace("tr-" + "2" * 32),
    "set_trace_tag": lambda w: w.client.set_trace_tag(w.trace_id, "k", "v"),
    "create_dataset": lambda w: w.tracking.create_dataset("new"),
    "create_logged_model": lambda w: w.client.create_logged_model(w.experiment_id, name="n"),
    "create_registered_model": lambda w: w.client.create_registered_model("new"),
    "create_model_version": lambda w: w.client.create_model_version(
        "net", f"{w.artifact_uri}/net", w.run_id
    ),
    "set_registered_model_alias": lambda w: w.client.set_registered_model_alias("net", "a", "1"),
    "delete_registered_model": lambda w: w.client.delete_registered_model("net"),
    "create_prompt": lambda w: w.registry.create_prompt("p"),
}

ARTIFACT_READS: dict[str, Callable[[Filled], Any]] = {
    "list_artifacts": lambda w: w.client.list_artifacts(w.run_id),
    "list_artifacts_by_uri": lambda w: list_artifacts(
        artifact_uri=w.artifact_uri, tracking_uri=w.uri
    ),
    "download_artifacts": lambda w: download_artifacts(
        artifact_uri=f"{w.artifact_uri}/note.txt", tracking_uri=w.uri, dst_path=str(w.note.parent)
    ),
}

ARTIFACT_WRITES: dict[str, Callable[[Filled], Any]] = {
    "log_artifact": lambda w: w.client.log_artifact(w.run_id, str(w.note), "sub"),
    "delete_artifacts": lambda w: w.artifacts.delete_artifacts("note.txt"),
}

EVERY = {**READS, **WRITES, **ARTIFACT_READS, **ARTIFACT_WRITES}


def by_variable(name: str) -> None:
    os.environ["MLFLOW_WORKSPACE"] = name


@pytest.mark.parametrize("switch", [by_variable, mlflow.set_workspace])
def test_mlflows_switch_that_names_another_workspace_is_an_error_at_every_call(
    filled: Filled, switch: Callable[[str], None]
) -> None:
    """Tracking, registry and artifacts; the error names both workspaces, and nothing changes."""
    before = dump(filled.home), files(filled.home)
    switch("other")
    outcomes = {name: _outcome(call, filled) for name, call in EVERY.items()}
    assert outcomes == dict.fromkeys(EVERY, ("INVALID_PARAMETER_VALUE", True))
    assert (dump(filled.home), files(filled.home)) == before


def _outcome(call: Callable[[Filled], Any], filled: Filled) -> tuple[str | None, bool]:
    try:
        call(filled)
    except MlflowException as error:
        # By its code, because MLflow's client wraps the error of `log_param` in one of its own.
        return error.error_code, "'team'" in error.message and "'other'" in error.message
    return None, False


def test_an_artifact_repository_that_was_made_before_the_switch_refuses_too(filled: Filled) -> None:
    repository = filled.artifacts
    mlflow.set_workspace("other")
    with pytest.raises(WorkspaceConflict, match=r"'team'.*'other'"):
        repository.list_artifacts()
    with pytest.raises(WorkspaceConflict, match=r"'team'.*'other'"):
        repository.log_artifact(str(filled.note), "sub")


@pytest.mark.parametrize("switch", [by_variable, mlflow.set_workspace])
def test_mlflows_switch_that_names_the_same_workspace_changes_nothing(
    filled: Filled, switch: Callable[[str], None]
) -> None:
    switch("team")
    calls = (*READS.values(), *ARTIFACT_READS.values())
    assert all(call(filled) is not None for call in calls if call is not READS["search_datasets"])
    run = filled.client.create_run("0")
    filled.client.log_artifact(run.info.run_id, str(filled.note))
    assert filled.client.get_experiment(run.info.experiment_id).name == "Default"


def test_a_switch_that_is_taken_back_leaves_no_trace(filled: Filled) -> None:
    mlflow.set_workspace("other")
    with pytest.raises(WorkspaceConflict):
        filled.client.search_experiments()
    mlflow.set_workspace(None)
    assert len(filled.client.search_experiments()) == 2


def test_the_switch_of_one_thread_s_environment_reaches_a_new_thread(filled: Filled) -> None:
    """The environment variable is the process's: a worker thread must not slip through."""
    mlflow.set_workspace("other")
    caught: list[BaseException] = []

    def work() -> None:
        try:
            filled.client.log_metric(filled.run_id, "m", 1.0)
        except WorkspaceConflict as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(DEADLINE_S)
    assert len(caught) == 1


# --- stale experiments ----------------------------------------------------------------------------


@pytest.mark.parametrize("same_home", [True, False])
def test_an_experiment_that_is_still_active_after_a_switch_is_an_error_that_names_both_uris(
    tmp_path: Path, same_home: bool
) -> None:
    first = uri(tmp_path / "home", "first")
    second = uri(tmp_path / ("home" if same_home else "home2"), "second")
    mlflow.set_tracking_uri(second)
    mlflow.set_experiment("there")
    mlflow.set_tracking_uri(first)
    for number in range(3):
        mlflow.set_experiment(f"here-{number}")
    mlflow.set_tracking_uri(second)
    with pytest.raises(WorkspaceConflict, match=r"set_experiment") as caught:
        mlflow.start_run()
    assert first in caught.value.message
    assert second in caught.value.message
    assert MlflowClient(second).search_runs(["0"]) == []
    # The way out that the error names.
    mlflow.set_experiment("there")
    with mlflow.start_run():
        mlflow.log_metric("m", 1.0)


def test_a_mistyped_experiment_id_is_mlflows_own_error(home: Path) -> None:
    client = MlflowClient(uri(home))
    client.create_experiment("e")
    with pytest.raises(MlflowException, match="No Experiment with id=99") as caught:
        client.get_experiment("99")
    assert type(caught.value) is MlflowException
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


# --- deleted workspaces ---------------------------------------------------------------------------


def delete_by_stock_mlflow(home: Path, name: str = "team") -> None:
    """As a stock server does it, without knowing of this process."""
    database = f"sqlite:///{(home / 'workspaces.db').as_posix()}"
    stock = StockWorkspaces(database)
    stock.delete_workspace(name, WorkspaceDeletionMode.CASCADE)
    stock._engine.dispose()


DELETE = """
import sys
from mlflow.entities.workspace import WorkspaceDeletionMode
from mlflow.store.workspace.sqlalchemy_store import SqlAlchemyStore
SqlAlchemyStore(sys.argv[1]).delete_workspace("team", WorkspaceDeletionMode.CASCADE)
"""


def test_a_workspace_that_another_process_deleted_is_one_clear_error_for_every_call(
    filled: Filled, scripts: Any, clean_environment: Any
) -> None:
    """Reads and writes alike, and not a row is left behind."""
    filled.client.get_run(filled.run_id)
    database = f"sqlite:///{(filled.home / 'workspaces.db').as_posix()}"
    scripts.run(DELETE, database, env=clean_environment())
    before = dump(filled.home)
    outcomes = {}
    for name, call in {**READS, **WRITES}.items():
        try:
            outcomes[name] = call(filled)
        except MlflowException as error:
            outcomes[name] = (type(error), error.error_code, "deleted" in error.message)
    expected = (WorkspaceNotFound, "RESOURCE_DOES_NOT_EXIST", True)
    assert outcomes == dict.fromkeys(outcomes, expected)
    assert dump(filled.home) == before


def test_artifacts_of_a_deleted_workspace_are_neither_read_nor_written(filled: Filled) -> None:
    repository = filled.artifacts
    filled.client.get_run(filled.run_id)
    delete_by_stock_mlflow(filled.home)
    before = files(filled.home)
    for call in (
        lambda: repository.log_artifact(str(filled.note), "late"),
        lambda: repository.log_artifacts(str(filled.note.parent), "late"),
        repository.list_artifacts,
        lambda: repository.download_artifacts("note.txt"),
        lambda: filled.artifacts.log_artifact(str(filled.note), "late"),
    ):
        with pytest.raises(WorkspaceNotFound):
            call()
    assert files(filled.home) == before


def test_a_deleted_workspace_does_not_take_another_one_with_it(filled: Filled) -> None:
    other = MlflowClient(uri(filled.home, "other"))
    run = other.create_run(other.create_experiment("e"))
    delete_by_stock_mlflow(filled.home)
    other.log_metric(run.info.run_id, "m", 1.0)
    assert other.get_run(run.info.run_id).data.metrics == {"m": 1.0}


def _delete_before_the_first_flush(home: Path, call: Callable[[], Any]) -> MlflowException:
    """The error of `call`; it must leave the database as the deletion did."""
    deleted: list[list[str]] = []

    def delete_once(_session: Session, *_: object) -> None:
        if not deleted:
            deleted.append([])
            delete_by_stock_mlflow(home)
            deleted[0] = dump(home)

    event.listen(Session, "before_flush", delete_once)
    try:
        with pytest.raises(MlflowException) as caught:
            call()
    finally:
        event.remove(Session, "before_flush", delete_once)
    assert deleted
    assert dump(home) == deleted[0]
    return caught.value


# These hold the database's write lock when they flush first, so no deletion can come between.
LOCKED_FROM_THE_START = {"delete_run", "delete_registered_model"}
ROOTS = {
    "create_experiment",
    "create_registered_model",
    "create_dataset",
    "create_prompt",
}


@pytest.mark.parametrize("name", sorted(ROOTS))
def test_nothing_is_created_in_a_workspace_that_is_deleted_after_the_check(
    filled: Filled, name: str
) -> None:
    """What belongs to the workspace itself; no key of the database would keep it out."""
    error = _delete_before_the_first_flush(filled.home, lambda: WRITES[name](filled))
    assert isinstance(error, WorkspaceNotFound)


@pytest.mark.parametrize("name", sorted(WRITES.keys() - ROOTS - LOCKED_FROM_THE_START))
def test_a_write_to_a_workspace_that_is_deleted_after_the_check_leaves_no_orphan(
    filled: Filled, name: str
) -> None:
    """The deletion comes in when MLflow is about to write, after all was found to be there."""
    _delete_before_the_first_flush(filled.home, lambda: WRITES[name](filled))


@pytest.mark.parametrize("name", ["create_run", "log_metric", "set_tag", "create_model_version"])
def test_a_write_to_a_workspace_that_is_deleted_after_the_check_says_that_it_was_deleted(
    filled: Filled, name: str
) -> None:
    """Not that a foreign key failed."""
    error = _delete_before_the_first_flush(filled.home, lambda: WRITES[name](filled))
    assert isinstance(error, WorkspaceNotFound)


# --- politeness -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tracking_uri", ["http://127.0.0.1:1", "https://127.0.0.1:1"])
def test_another_tracking_uri_gets_exactly_mlflows_artifact_repository(tracking_uri: str) -> None:
    repository = get_artifact_repository("mlflow-artifacts:/x", tracking_uri=tracking_uri)
    assert type(repository) is MlflowArtifactsRepository


def test_the_global_tracking_uri_decides_where_none_is_given(home: Path) -> None:
    mlflow.set_tracking_uri("http://127.0.0.1:1")
    repository = get_artifact_repository("mlflow-artifacts:/x")
    assert type(repository) is MlflowArtifactsRepository
    mlflow.set_tracking_uri(uri(home))
    own = get_artifact_repository("mlflow-artifacts:/workspaces/team/1")
    assert type(own) is not MlflowArtifactsRepository


HIDE_ENTRY_POINTS = """
import importlib.metadata
_discover = importlib.metadata.Distribution.discover
importlib.metadata.Distribution.discover = staticmethod(
    lambda **kwargs: (
        found for found in _discover(**kwargs) if found.metadata["Name"] != "mlflow-ws-plugin"
    )
)
"""

LOG_TO = """
import json, os, sys
before = dict(os.environ)
import importlib.metadata
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("e")
with mlflow.start_run(run_name="r"):
    mlflow.log_metric("m", 1)
    mlflow.log_params({"a": 1})
    try:
        mlflow.log_text("x", "x.txt")
    except mlflow.MlflowException:
        pass
client = mlflow.MlflowClient()
try:
    client.create_registered_model("net")
except mlflow.MlflowException as error:
    print(error)
after = dict(os.environ)
print(json.dumps({
    "plugin": any(
        d.metadata["Name"] == "mlflow-ws-plugin" for d in importlib.metadata.distributions()
    ),
    "environment": sorted(k + "=" + v for k, v in after.items() if before.get(k) != v),
    "removed": sorted(before.keys() - after.keys()),
}))
"""


class Recorder(http.server.BaseHTTPRequestHandler):
    """Answers every request with an empty object and keeps what was sent."""

    seen: list[tuple[str, str, list[tuple[str, str]], str]]

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        headers = [(key, value) for key, value in self.headers.items() if key != "Host"]
        self.seen.append((self.command, self.path, headers, body))
        answer = json.dumps(_answer_to(self.path)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815  # the base class's names

    def log_message(self, *_: object) -> None:
        pass


def _answer_to(path: str) -> dict[str, Any]:
    info = {
        "run_id": "1" * 32,
        "run_uuid": "1" * 32,
        "experiment_id": "1",
        "status": "RUNNING",
        "lifecycle_stage": "active",
        "artifact_uri": "mlflow-artifacts:/1/x/artifacts",
    }
    if "experiments" in path:
        experiment = {"experiment_id": "1", "name": "e", "lifecycle_stage": "active"}
        return {"experiment": experiment, "experiment_id": "1"}
    if "runs/" in path:
        return {"run": {"info": info, "data": {}}, "run_info": info}
    if "registered-models" in path:
        return {"registered_model": {"name": "net"}}
    return {}


@pytest.fixture
def recorder() -> Iterator[tuple[str, Any]]:
    handler = type("Handler", (Recorder,), {"seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join(DEADLINE_S)


def _run(tmp_path: Path, tracking_uri: str, hidden: bool) -> tuple[Any, str]:
    """What the script printed, and its standard error with what differs by nature made equal."""
    environment = clean_environment(PYTHONPATH="")
    if hidden:
        site = tmp_path / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(HIDE_ENTRY_POINTS)
        environment["PYTHONPATH"] = str(site)
    work = tmp_path / ("hidden" if hidden else "visible")
    work.mkdir()
    done = run_python("-c", LOG_TO, tracking_uri, cwd=work, env=environment)
    stderr = re.sub(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", "TIME", done.stderr)
    stderr = re.sub(r"[0-9a-f]{32}", "ID", stderr).replace(str(work), "WORK")
    return json.loads(done.stdout.splitlines()[-1]), stderr


def test_a_sqlite_uri_sees_no_variable_and_no_line_of_this_plugin(tmp_path: Path) -> None:
    hidden, hidden_stderr = _run(tmp_path, "sqlite:///mlflow.db", hidden=True)
    visible, visible_stderr = _run(tmp_path, "sqlite:///mlflow.db", hidden=False)
    assert (hidden.pop("plugin"), visible.pop("plugin")) == (False, True)
    assert visible == hidden
    assert visible_stderr == hidden_stderr
    assert files(tmp_path / "visible")[0].startswith("mlflow.db")


def test_an_http_uri_sees_no_variable_line_or_header_of_this_plugin(
    tmp_path: Path, recorder: tuple[str, Any]
) -> None:
    url, handler = recorder
    hidden, hidden_stderr = _run(tmp_path, url, hidden=True)
    sent_hidden = _comparable(handler.seen)
    visible, visible_stderr = _run(tmp_path, url, hidden=False)
    sent_visible = _comparable(handler.seen)
    assert (hidden.pop("plugin"), visible.pop("plugin")) == (False, True)
    assert visible == hidden
    assert visible_stderr == hidden_stderr
    assert len(sent_hidden) >= 5
    assert sent_visible == sent_hidden


def _comparable(seen: list[tuple[str, str, list[tuple[str, str]], str]]) -> list[str]:
    """The requests without times, in the order of their text: some are sent in parallel."""
    requests = sorted(re.sub(r"\d{13}", "TIME", repr(request)) for request in seen)
    requests = [re.sub(r"'Content-Length', '\d+'", "LENGTH", request) for request in requests]
    seen.clear()
    return requests


# --- absent workspaces ----------------------------------------------------------------------------


def _raises_not_found(call: Callable[[], Any]) -> bool:
    with pytest.raises(MlflowException) as caught:
        call()
    return caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def _read_everything(target: str) -> None:
    mlflow.set_tracking_uri(target)
    client = MlflowClient()
    store = tracking_store(target)
    name = target.rpartition("/")[2]
    artifact_uri = f"mlflow-artifacts:/workspaces/{name}/1/x/artifacts"
    assert [e.name for e in client.search_experiments()] == ["Default"]
    assert client.get_experiment("0").name == "Default"
    assert client.get_experiment_by_name("e") is None
    assert client.search_runs(["0"]) == []
    assert mlflow.search_runs(output_format="list") == []
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []
    assert _raises_not_found(lambda: client.get_run("1" * 32))
    assert _raises_not_found(lambda: client.get_experiment("999999"))
    assert store.search_traces(["0"])[0] == []
    assert list(store.search_datasets()) == []
    assert list(client.search_logged_models(["0"])) == []
    assert list(client.search_registered_models()) == []
    assert list(client.search_model_versions()) == []
    assert _raises_not_found(lambda: client.get_registered_model("net"))
    assert mlflow.list_workspaces() == []
    assert list_artifacts(artifact_uri=artifact_uri) in ([], None)
    assert _raises_not_found(lambda: download_artifacts(artifact_uri=f"{artifact_uri}/a.txt"))


def test_reads_of_an_absent_home_create_nothing(tmp_path: Path) -> None:
    _read_everything(uri(tmp_path / "new" / "home"))
    assert list(tmp_path.iterdir()) == []


def test_reads_of_an_absent_workspace_in_a_home_change_nothing(filled: Filled) -> None:
    before = dump(filled.home), files(filled.home)
    _read_everything(uri(filled.home, "absent"))
    assert (dump(filled.home), files(filled.home)) == before


FIRST_WRITES: dict[str, Callable[[str], Any]] = {
    "create_experiment": lambda target: MlflowClient(target).create_experiment("e"),
    "create_run": lambda target: MlflowClient(target).create_run("0"),
    "create_registered_model": lambda target: MlflowClient(target).create_registered_model("m"),
    "create_dataset": lambda target: tracking_store(target).create_dataset("d"),
    "create_workspace": lambda target: (
        mlflow.set_tracking_uri(target),
        mlflow.create_workspace(target.rpartition("/")[2]),
    ),
}


@pytest.mark.parametrize("name", FIRST_WRITES)
def test_the_first_write_creates_the_workspace_with_one_line_that_says_where(
    home: Path, log_records: list[logging.LogRecord], name: str
) -> None:
    FIRST_WRITES[name](uri(home))
    MlflowClient(uri(home)).create_experiment("another")
    [record] = log_records
    assert record.levelno == logging.INFO
    assert str(home) in record.getMessage()
    assert "'team'" in record.getMessage()
    with closing(sqlite3.connect(home / "workspaces.db")) as connection:
        names = connection.execute("SELECT name FROM workspaces").fetchall()
    assert ("team",) in names


@pytest.mark.parametrize("near", ["tea", "teams", "taem", "t3am", "teamxy", "te"])
def test_a_new_name_that_is_one_or_two_letters_away_from_another_is_warned_of(
    filled: Filled, log_records: list[logging.LogRecord], near: str
) -> None:
    MlflowClient(uri(filled.home, near)).create_experiment("e")
    warning, info = log_records
    assert (warning.levelno, info.levelno) == (logging.WARNING, logging.INFO)
    assert f"'{near}'" in warning.getMessage()
    assert "'team'" in warning.getMessage()


@pytest.mark.parametrize("far", ["alpha", "team-two", "xyzm"])
def test_a_new_name_that_is_further_away_is_not_warned_of(
    filled: Filled, log_records: list[logging.LogRecord], far: str
) -> None:
    MlflowClient(uri(filled.home, far)).create_experiment("e")
    assert [record.levelno for record in log_records] == [logging.INFO]
