"""Running one scenario on a workspace and on MLflow's own SQLite store, and comparing the two.

A scenario is a function of a `Side`. What it does through `Side.do` is recorded: results as plain
values, errors as their kind, code and message. The two records must be equal once ids, clocks and
places are out of the way, and nothing else is.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import enum
import inspect
import os
import pprint
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import surface
from doors import DOORS
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from mlflow import MlflowClient
from mlflow.entities import EvaluationDataset, RunInputs, RunOutputs, Span, Trace
from mlflow.exceptions import MlflowException
from mlflow.store.entities.paged_list import PagedList

WORKSPACE = "demo"
FIRST_EXPERIMENT = 500_000
"""The id of the workspace's Default experiment.

The home holds a neighbour workspace, whose last experiment has the id before. So ids of the
workspace cannot be taken for anything else, and `id - FIRST_EXPERIMENT` is the id in a fresh stock
database.
"""

_SHOWN_LINES = 120
_DEADLINE_S = 60


@dataclasses.dataclass
class Side:
    """One of the two: where a scenario runs, and what it saw there."""

    name: str
    uri: str
    cwd: Path
    artifacts: tuple[str, ...]
    """What artifact URIs and artifact paths begin with here; the longest first."""

    steps: list[tuple[str, Any]] = dataclasses.field(default_factory=list)
    called: set[tuple[str, str]] = dataclasses.field(default_factory=set)

    def open(self) -> None:
        self.client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        self.tracking = self._watched("tracking", self.client._tracking_client.store)
        self.registry = self._watched("registry", self.client._get_registry_client().store)

    def use(self) -> None:
        """Make it the tracking URI of the process: some of MLflow asks nothing else."""
        mlflow.set_tracking_uri(self.uri)

    def close(self) -> None:
        mlflow.set_tracking_uri(None)
        for store in (self.tracking, self.registry):
            store.engine.dispose()

    def do(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call and record. Returns what the call returned; None after an error."""
        label = self._label(call, args, kwargs)
        try:
            result = call(*args, **kwargs)
        except Warning:
            # An error only under pytest: no result of either side.
            raise
        except Exception as error:  # noqa: BLE001 - which error it is, is what is compared
            self.steps.append((label, failure(error)))
            return None
        finally:
            wait_for_links()
        self.steps.append((label, plain(result)))
        return result

    def note(self, label: str, value: Any) -> None:
        """Record a value that no single call returned."""
        self.steps.append((label, plain(value)))

    def write(self, name: str, content: str | bytes) -> Path:
        """A local file that the scenario may upload."""
        path = self.cwd.parent / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def record(self) -> list[tuple[str, Any]]:
        """The steps, normalised."""
        ids: dict[str, str] = {}
        return [(label, normalised(value, self, ids)) for label, value in self.steps]

    def _label(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        kwargs = {k: "..." if k == "page_token" else v for k, v in kwargs.items()}
        shown = [repr(a) for a in args if a is not self] + [f"{k}={v!r}" for k, v in kwargs.items()]
        shown = [_ADDRESS.sub("", normalised(text, self, {}))[:80] for text in shown]
        return f"{call.__name__}({', '.join(shown)})"

    def _watched(self, area: str, store: Any) -> Any:
        """`store`, which notes in `called` what is called on it, by itself included."""
        for name in surface.public_methods(type(store)):
            method = getattr(store, name)

            def noted(*args: Any, _name: str = name, _method: Any = method, **kwargs: Any) -> Any:
                self.called.add((area, _name))
                return _method(*args, **kwargs)

            noted.__name__ = name
            setattr(store, name, noted)
        return store


def wait_for_links() -> None:
    """MLflow links prompts to experiments and models in threads that it does not wait for."""
    for thread in threading.enumerate():
        if thread.name.startswith("link_prompt"):
            thread.join(_DEADLINE_S)


# --- the two sides --------------------------------------------------------------------------------


def make_stock_template(directory: Path) -> Path:
    """A database as MLflow makes it on first use."""
    database = directory / "mlflow.db"
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    client.get_experiment("0")
    client._tracking_client.store.engine.dispose()
    return database


def make_home_template(directory: Path) -> Path:
    """A home with a neighbour workspace in it, which has what scenarios make, by the same names."""
    home = directory / "home"
    uri = f"ws://{home}/neighbour"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment_id = client.create_experiment("trial", tags={"colour": "red"})
    run = client.create_run(experiment_id, run_name="first", tags={"colour": "red"})
    client.log_metric(run.info.run_id, "loss", 1)
    client.create_registered_model("net")
    client.create_model_version("net", run.info.artifact_uri, run.info.run_id)
    client.register_prompt("greeting", "Hello of the neighbour")
    client.create_logged_model(experiment_id, "model")
    client._tracking_client.store.engine.dispose()
    last = (FIRST_EXPERIMENT - 1, "last", "mlflow-artifacts:/workspaces/neighbour/last")
    with sqlite3.connect(home / "workspaces.db") as connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, "
            "creation_time, last_update_time, workspace) VALUES (?, ?, ?, 'active', 1, 1, ?)",
            (*last, "neighbour"),
        )
    connection.close()
    return home


def stock_side(directory: Path, template: Path) -> Side:
    """A fresh stock database; its artifacts are below the working directory, as by default."""
    cwd = directory / "stock" / "cwd"
    cwd.mkdir(parents=True)
    database = cwd.parent / "mlflow.db"
    shutil.copyfile(template, database)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (f"{cwd}/mlruns/0",))
    connection.close()
    artifacts = (f"file://{cwd}/mlruns", f"{cwd}/mlruns")
    return Side("stock", f"sqlite:///{database}", cwd, artifacts)


def workspace_side(directory: Path, template: Path, door: str) -> Side:
    """A workspace that does not exist yet, in a home that does."""
    cwd = directory / "ws" / "cwd"
    cwd.mkdir(parents=True)
    home = cwd.parent / "home"
    shutil.copytree(template, home)
    own = f"workspaces/{WORKSPACE}"
    artifacts = (f"file://{home}/artifacts/{own}", f"{home}/artifacts/{own}")
    artifacts = (*artifacts, f"mlflow-artifacts:/{own}")
    return Side("ws", DOORS[door](home, WORKSPACE), cwd, artifacts)


# --- a test out of a scenario ---------------------------------------------------------------------


def same_as_stock(scenario: Callable[[Side], None]) -> Callable[[Any], None]:
    """The test that `scenario` sees the same on both sides."""

    def test(sides: tuple[Side, Side]) -> None:
        stock, workspace = sides
        for side in sides:
            _run(scenario, side)
        assert any(not _failed(value) for _, value in stock.steps), "the scenario did nothing"
        difference = differences(stock, workspace)
        assert not difference, f"stock (-) and workspace (+) differ:\n{difference}"
        claimed = surface.claimed_by(scenario.__name__)
        missing = claimed - workspace.called
        assert not missing, f"surface.py says that this scenario exercises {sorted(missing)}"

    test.__name__ = test.__qualname__ = scenario.__name__
    test.__doc__ = scenario.__doc__
    test.__module__ = scenario.__module__
    return test


def _run(scenario: Callable[[Side], None], side: Side) -> None:
    before = Path.cwd()
    os.chdir(side.cwd)
    try:
        side.open()
        scenario(side)
    finally:
        side.close()
        os.chdir(before)
    if side.name == "ws":
        # A call that forgot the URI would have used MLflow's default, which is here.
        assert not list(side.cwd.iterdir()), "files appeared outside of the home"


def _failed(value: Any) -> bool:
    return isinstance(value, dict) and "error" in value


def differences(stock: Side, workspace: Side) -> str:
    """A unified diff of the two records; empty if they are equal."""
    records = stock.record(), workspace.record()
    if records[0] == records[1]:
        return ""
    texts = [pprint.pformat(record, width=100).splitlines() for record in records]
    lines = list(difflib.unified_diff(*texts, lineterm="", n=4))
    return "\n".join([*lines[:_SHOWN_LINES], f"({len(lines)} lines)"])


# --- plain values ---------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """`value` out of dicts, lists and strings only, with nothing left out but the workspace."""
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    if dataclasses.is_dataclass(value):
        return _fields(value, {f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if type(value).__module__.startswith("mlflow."):
        properties = inspect.getmembers(type(value), lambda member: isinstance(member, property))
        return _fields(value, {name: getattr(value, name) for name, _ in properties})
    raise TypeError(f"no plain form of {type(value)}: {value!r}")


def _fields(value: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: plain(v) for k, v in fields.items() if k != "workspace" and not k.startswith("_")}
    return {"is": type(value).__name__, **kept}


def _page(page: PagedList[Any]) -> dict[str, Any]:
    # A token is opaque: it may hold an id. Whether there is one, is the result.
    return {"page": [plain(item) for item in page], "more": bool(page.token)}


def _dataset(dataset: EvaluationDataset) -> dict[str, Any]:
    # Its digest is of the clock; others are loaded when asked for, from the global tracking URI.
    names = ("dataset_id", "name", "tags", "schema", "profile", "created_time")
    return _fields(dataset, {name: getattr(dataset, name) for name in names})


def _inputs(inputs: RunInputs) -> dict[str, Any]:
    # In the order of random ids.
    datasets = sorted((plain(item) for item in inputs.dataset_inputs), key=repr)
    return {"datasets": datasets, "models": plain(inputs.model_inputs)}


def _outputs(outputs: RunOutputs) -> list[Any]:
    # In the order of random ids.
    return plain(sorted(outputs.model_outputs, key=lambda output: output.step))


_CONVERSIONS: list[tuple[Any, Callable[[Any], Any]]] = [
    (enum.Enum, lambda value: value.name),
    # In words, so that nan is nan, -0.0 is not 0.0, and neither True nor 1.0 is 1.
    (bool, lambda value: f"bool {value}"),
    ((type(None), int, str), lambda value: value),
    (float, lambda value: f"float {value!r}"),
    (bytes, lambda value: f"bytes {value!r}"),
    (Path, str),
    (dt.datetime, lambda value: f"datetime {value.timestamp() * 1000:.0f}"),
    (PagedList, _page),
    ((list, tuple), lambda value: [plain(item) for item in value]),
    ((set, frozenset), lambda value: sorted(plain(item) for item in value)),
    (Mapping, lambda value: {str(k): plain(v) for k, v in value.items()}),
    (Message, MessageToDict),
    (EvaluationDataset, _dataset),
    (RunInputs, _inputs),
    (RunOutputs, _outputs),
    (Span, lambda value: plain(value.to_dict())),
    (Trace, lambda value: {"info": plain(value.info), "spans": plain(value.data.spans)}),
]


def failure(error: Exception) -> dict[str, Any]:
    """An error as it is compared: MLflow's by code, since subclasses of it are allowed."""
    if isinstance(error, MlflowException):
        return {"error": "MlflowException", "code": error.error_code, "message": str(error)}
    return {"error": type(error).__name__, "message": str(error)}


# --- out of the way: ids, clocks, places ----------------------------------------------------------

_IDS = re.compile(
    r"(?<![0-9a-zA-Z])(?P<prefix>[a-z]{1,4}-)?"
    r"(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16})(?![0-9a-zA-Z])"
)
_OWN_EXPERIMENT = re.compile(rf"(?<!\d){str(FIRST_EXPERIMENT)[:-2]}(\d\d)(?!\d)")
# Each artifact repository, and each store class, has its own words.
_WORDS = (
    (re.compile(r"Invalid path: .*", re.DOTALL), "<invalid path>"),
    (re.compile(r"(No artifacts of|Failed to download artifacts from) .*", re.DOTALL), "<missing>"),
    (re.compile(r"No such artifact: .*"), "<missing>"),
    (re.compile(r"(Trace with ID .* not found\.) It may have been deleted\."), r"\1"),
    (re.compile(r"\b(SqlAlchemyStore|Workspace(Tracking|Registry)Store)\b"), "<store>"),
)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SQL = re.compile(r"\(sqlite3\.\w+Error\).*", re.DOTALL)
# Clocks are later than September 2020 and earlier than 2033; scenarios use smaller numbers.
_CLOCK = re.compile(r"(?<!\d)1[6-9]\d{8}(?P<finer>\d{3}|\d{6}|\d{9})?(?!\d)")


def normalised(value: Any, side: Side, ids: dict[str, str]) -> Any:
    """`value` without what two runs of one script never share.

    Ids become numbers in order of appearance, so which id appears where is still compared.
    """
    if isinstance(value, dict):
        return {normalised(k, side, ids): normalised(v, side, ids) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [normalised(item, side, ids) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        text = _normalised_text(str(value), side, ids)
        return text if text.startswith("<") else int(text)
    return _normalised_text(value, side, ids) if isinstance(value, str) else value


def _normalised_text(text: str, side: Side, ids: dict[str, str]) -> str:
    def numbered(match: re.Match[str]) -> str:
        if _CLOCK.fullmatch(match[0]):
            return match[0]
        return ids.setdefault(match[0], f"<{match['prefix'] or ''}id {len(ids) + 1}>")

    # SQLAlchemy appends the statement with all its values.
    text = _SQL.sub("<SQL>", text)
    for words, meaning in _WORDS:
        text = words.sub(meaning, text)
    for prefix in side.artifacts:
        text = text.replace(prefix, "<artifacts>")
    text = text.replace(side.uri, "<uri>").replace(str(side.cwd.parent), "<directory>")
    text = _IDS.sub(numbered, text)
    text = _CLOCK.sub(lambda match: f"<clock {len(match['finer'] or '')}>", text)
    if side.name == "ws":
        text = _OWN_EXPERIMENT.sub(lambda match: str(int(match[1])), text)
    return text
