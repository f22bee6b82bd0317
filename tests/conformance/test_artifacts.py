"""Artifacts in a home: what MLflow's functions promise, atomically, and nothing outside."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from doors import DOORS
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, list_artifacts, load_dict, load_image, load_text
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from PIL import Image

pytestmark = pytest.mark.usefixtures("fresh_mlflow")

DEADLINE_S = 60


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one workspace, to copy: making one takes most of a second."""
    home = tmp_path_factory.mktemp("template") / "home"
    MlflowClient(f"ws://{home.as_posix()}/team").create_experiment("e")
    from mlflow_ws_plugin.stores.database import close_all

    close_all()
    return home


@pytest.fixture
def home(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "home"))


@pytest.fixture
def client(home: Path, door: str) -> MlflowClient:
    uri = DOORS[door](home, "team")
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)


@pytest.fixture
def run(client: MlflowClient) -> Any:
    return client.create_run(client.get_experiment_by_name("e").experiment_id)


@pytest.fixture
def repository(client: MlflowClient, run: Any) -> Any:
    return get_artifact_repository(run.info.artifact_uri, tracking_uri=client.tracking_uri)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    directory = tmp_path / "work"
    directory.mkdir()
    return directory


def tree(directory: Path) -> dict[str, bytes | None]:
    """Every path below, files with what they hold."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


def stored(home: Path) -> dict[str, bytes]:
    """The files of a home's artifacts, wherever they lie below it."""
    found = tree(home / "artifacts") if (home / "artifacts").exists() else {}
    return {name: content for name, content in found.items() if content is not None}


# --- what MLflow logs -----------------------------------------------------------------------------


def test_a_file_lies_where_a_stock_server_with_that_artifact_root_looks(
    client: MlflowClient, run: Any, home: Path, work: Path
) -> None:
    (work / "a.bin").write_bytes(b"\0\xff")
    client.log_artifact(run.info.run_id, str(work / "a.bin"), "deep/down")
    place = f"workspaces/team/{run.info.experiment_id}/{run.info.run_id}/artifacts"
    assert run.info.artifact_uri == f"mlflow-artifacts:/{place}"
    assert stored(home) == {f"{place}/deep/down/a.bin": b"\0\xff"}


@pytest.mark.core
def test_each_of_mlflows_log_functions_reads_back_what_it_wrote(
    client: MlflowClient, run: Any, work: Path
) -> None:
    run_id, base = run.info.run_id, run.info.artifact_uri
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4])
    image = Image.new("RGB", (4, 3), (255, 0, 0))
    table = pd.DataFrame({"x": [1, 2], "y": ["a", "ü"]})
    client.log_text(run_id, "hällo\n", "text/a.txt")
    client.log_dict(run_id, {"k": [1, {"z": None}]}, "a.json")
    client.log_dict(run_id, {"k": [1]}, "a.yaml")
    client.log_figure(run_id, figure, "plots/figure.png")
    client.log_image(run_id, image, "image.png")
    client.log_table(run_id, table, "table.json")
    client.log_table(run_id, {"x": [3], "y": ["b"]}, "table.json")

    assert load_text(f"{base}/text/a.txt") == "hällo\n"
    assert load_dict(f"{base}/a.json") == {"k": [1, {"z": None}]}
    assert (work / "a.yaml").exists() is False
    path = download_artifacts(artifact_uri=f"{base}/a.yaml", dst_path=str(work))
    assert Path(path).read_text() == "k:\n- 1\n"
    figure_path = download_artifacts(artifact_uri=f"{base}/plots/figure.png", dst_path=str(work))
    with Image.open(figure_path) as read:
        assert read.format == "PNG"
    assert load_image(f"{base}/image.png").getpixel((0, 0))[:3] == (255, 0, 0)
    loaded = client.load_table(run.info.experiment_id, "table.json", run_ids=[run_id])
    assert loaded[["x", "y"]].to_numpy().tolist() == [[1, "a"], [2, "ü"], [3, "b"]]
    paths = [info.path for info in client.list_artifacts(run_id)]
    assert paths == ["a.json", "a.yaml", "image.png", "plots", "table.json", "text"]


@pytest.mark.core
def test_a_directory_is_stored_with_its_empty_directories_and_downloads_the_same(
    client: MlflowClient, run: Any, work: Path, tmp_path: Path
) -> None:
    source = work / "source"
    (source / "empty" / "emptier").mkdir(parents=True)
    (source / "full" / "ünï cödé").mkdir(parents=True)
    (source / "top.txt").write_text("top")
    (source / "full" / "ünï cödé" / "%41 b#c.txt").write_text("odd name")
    (source / ".hidden").write_text("hidden")
    (source / "nothing").touch()
    client.log_artifacts(run.info.run_id, str(source), "model")
    target = tmp_path / "target"
    target.mkdir()
    path = client.download_artifacts(run.info.run_id, "model", str(target))
    found, expected = tree(Path(path)), tree(source)
    empty = {name for name, content in expected.items() if content is None and "empty" in name}
    assert {k: v for k, v in found.items() if v is not None} == {
        k: v for k, v in expected.items() if v is not None
    }
    listed = {info.path for info in client.list_artifacts(run.info.run_id, "model")}
    assert listed == {
        f"model/{name}" for name in (".hidden", "empty", "full", "nothing", "top.txt")
    }
    assert {f.path for f in client.list_artifacts(run.info.run_id, "model/empty")} == {
        "model/empty/emptier"
    }
    assert empty <= found.keys()


def test_a_list_names_the_kind_and_size_of_each_entry_in_order(
    client: MlflowClient, run: Any
) -> None:
    for name in ("b.txt", "a.txt", "c/d.txt"):
        client.log_text(run.info.run_id, name * 3, name)
    run_id = run.info.run_id
    entries = [(f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run_id)]
    assert entries == [("a.txt", False, 15), ("b.txt", False, 15), ("c", True, None)]
    entries = [(f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run_id, "c")]
    assert entries == [("c/d.txt", False, 21)]
    # As MLflow's own stores: a file, and what is not there, hold nothing.
    assert client.list_artifacts(run_id, "a.txt") == []
    assert client.list_artifacts(run_id, "absent") == []


@pytest.mark.core
def test_overwriting_replaces_a_file_and_deleting_removes_only_what_was_named(
    client: MlflowClient, run: Any, repository: Any
) -> None:
    run_id, base = run.info.run_id, run.info.artifact_uri
    client.log_text(run_id, "a much longer first version", "x/a.txt")
    client.log_text(run_id, "second", "x/a.txt")
    client.log_text(run_id, "other", "x/b.txt")
    client.log_text(run_id, "third", "c.txt")
    assert load_text(f"{base}/x/a.txt") == "second"
    repository.delete_artifacts("x/a.txt")
    assert [f.path for f in client.list_artifacts(run_id, "x")] == ["x/b.txt"]
    repository.delete_artifacts("x")
    assert [f.path for f in client.list_artifacts(run_id)] == ["c.txt"]
    repository.delete_artifacts()
    assert client.list_artifacts(run_id) == []


def test_a_big_file_comes_back_with_every_byte(
    client: MlflowClient, run: Any, work: Path, tmp_path: Path
) -> None:
    source = work / "big.bin"
    block = os.urandom(1 << 20)
    with source.open("wb") as file:
        for number in range(64):
            file.write(number.to_bytes(8, "big") + block)
    client.log_artifact(run.info.run_id, str(source))
    target = tmp_path / "target"
    target.mkdir()
    path = Path(client.download_artifacts(run.info.run_id, "big.bin", str(target)))
    assert _digest(path) == _digest(source)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_source_file_may_be_read_only_or_a_symbolic_link(
    client: MlflowClient, run: Any, work: Path
) -> None:
    (work / "real.txt").write_text("real")
    (work / "real.txt").chmod(0o444)
    (work / "link.txt").symlink_to(work / "real.txt")
    for name in ("real.txt", "link.txt", "link.txt"):
        client.log_artifact(run.info.run_id, str(work / name))
    (work / "real.txt").unlink()
    assert load_text(f"{run.info.artifact_uri}/link.txt") == "real"


# --- what is not there ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["absent.txt", "deep/absent.txt", "there.txt/below"])
def test_a_read_of_what_is_not_there_is_resource_does_not_exist(
    client: MlflowClient, run: Any, work: Path, path: str
) -> None:
    client.log_text(run.info.run_id, "x", "there.txt")
    with pytest.raises(MlflowException) as caught:
        client.download_artifacts(run.info.run_id, path, str(work))
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    with pytest.raises(MlflowException) as caught:
        client.download_artifacts(run.info.run_id, path)
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_source_that_is_not_there_is_an_error_and_stores_nothing(
    client: MlflowClient, run: Any, work: Path, home: Path
) -> None:
    with pytest.raises(OSError, match="absent"):
        client.log_artifact(run.info.run_id, str(work / "absent"))
    assert stored(home) == {}


def test_deleting_what_is_not_there_is_no_error(repository: Any) -> None:
    repository.delete_artifacts("absent.txt")
    repository.delete_artifacts("absent/deep")


# --- atomicity ------------------------------------------------------------------------------------


def test_a_reader_never_sees_a_part_of_a_file_that_is_overwritten(
    client: MlflowClient, run: Any, work: Path, repository: Any
) -> None:
    """Every read is one of the two versions, whole."""
    versions = [bytes([65 + number]) * (3 << 20) for number in range(2)]
    sources = []
    for number, content in enumerate(versions):
        (work / str(number)).mkdir()
        sources.append(work / str(number) / "model.bin")
        sources[-1].write_bytes(content)
    client.log_artifact(run.info.run_id, str(sources[0]))
    place = Path(repository.get_local_path("model.bin"))
    stop = threading.Event()
    failed: list[BaseException] = []

    def overwrite() -> None:
        try:
            for source in itertools.cycle(sources):
                if stop.is_set():
                    return
                repository.log_artifact(str(source))
        except BaseException as error:  # noqa: BLE001  # shown by the assertion below
            failed.append(error)

    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        seen: list[bytes] = []
        deadline = time.monotonic() + DEADLINE_S
        # Until the file was seen to change, so that the test says something.
        while (len(seen) < 100 or len(set(seen)) < 2) and time.monotonic() < deadline:
            seen.append(place.read_bytes())
    finally:
        stop.set()
        writer.join(DEADLINE_S)
    assert failed == []
    assert {len(content) for content in seen} == {3 << 20}
    assert set(seen) == set(versions)


def _fail_after(first_bytes: int) -> Callable[..., None]:
    def copy(source: Any, target: Any, *_: Any, **__: Any) -> None:
        target.write(source.read(first_bytes))
        target.flush()
        raise OSError(errno.ENOSPC, "No space left on device")

    return copy


@pytest.mark.parametrize("existing", [True, False])
def test_a_copy_that_fails_in_the_middle_leaves_what_was_there(
    client: MlflowClient,
    run: Any,
    work: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    existing: bool,
) -> None:
    if existing:
        client.log_text(run.info.run_id, "old", "a.txt")
    before = stored(home)
    (work / "a.txt").write_text("new" * 1000)
    monkeypatch.setattr(shutil, "copyfileobj", _fail_after(100))
    with pytest.raises(OSError, match="No space left"):
        client.log_artifact(run.info.run_id, str(work / "a.txt"))
    assert stored(home) == before
    names = [f.path for f in client.list_artifacts(run.info.run_id)]
    assert names == (["a.txt"] if existing else [])


def test_what_a_killed_upload_left_behind_is_in_no_list_and_no_download(
    client: MlflowClient,
    run: Any,
    work: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The process dies between two writes: here, nothing after the failure is cleaned up."""
    client.log_text(run.info.run_id, "whole", "a.txt")
    (work / "b.txt").write_text("new" * 1000)
    with monkeypatch.context() as dying:
        dying.setattr(shutil, "copyfileobj", _fail_after(100))
        dying.setattr(Path, "unlink", lambda *_args, **_kwargs: None)
        with pytest.raises(OSError, match="No space left"):
            client.log_artifact(run.info.run_id, str(work / "b.txt"))
    assert len(stored(home)) == 2
    assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["a.txt"]
    target = tmp_path / "target"
    target.mkdir()
    path = client.download_artifacts(run.info.run_id, "", str(target))
    assert [name for name, content in tree(Path(path)).items() if content is not None] == ["a.txt"]
    experiment_uri = run.info.artifact_uri.rpartition(f"/{run.info.run_id}")[0]
    experiment = get_artifact_repository(experiment_uri, tracking_uri=client.tracking_uri)
    assert [f.path for f in experiment.list_artifacts()] == [run.info.run_id]


# --- paths that lead elsewhere --------------------------------------------------------------------

TRAVERSALS = [
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "/etc",
    "/",
    "./../x",
    "..\\x",
    "a\\..\\..\\x",
    "%2e%2e/x",
    "%2e%2e%2fx",
    "%252e%252e/x",
    "a\0b",
]


def _answer(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except MlflowException:
        return None


@pytest.mark.parametrize("path", TRAVERSALS)
def test_a_path_that_leaves_the_run_is_refused_or_stays_inside(
    client: MlflowClient, run: Any, repository: Any, home: Path, work: Path, path: str
) -> None:
    """Nothing is read, written or deleted but below the run's own directory.

    A name that only looks like a way out, such as `%2e%2e`, may be a plain name.
    """
    own = f"workspaces/team/{run.info.experiment_id}/{run.info.run_id}/artifacts/"
    client.log_text(run.info.run_id, "mine", "a/mine.txt")
    outside = ("x", f"{own}../x", f"{own}../../x", "etc")
    for place in outside:
        (home / "artifacts" / place).write_text("not the run's")
    (work / "x").write_text("x")
    target = work.parent / "target"
    target.mkdir()
    before = tree(work.parent)

    _answer(lambda: repository.log_artifact(str(work / "x"), path))
    _answer(lambda: repository.log_artifacts(str(work), path))
    listed = _answer(lambda: repository.list_artifacts(path)) or []
    local = _answer(lambda: repository.get_local_path(path))
    _answer(lambda: repository.download_artifacts(path, str(target)))
    _answer(lambda: repository.delete_artifacts(path))

    after = tree(work.parent)
    inside = (f"home/artifacts/{own}", "target/", "home/artifacts/.partial")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert [name for name in sorted(changed) if not name.startswith(inside)] == []
    assert after[f"home/artifacts/{own}a/mine.txt"] == b"mine"
    assert b"not the run's" not in tree(target).values()
    assert {info.path.rpartition("/")[2] for info in listed} <= {"x"}
    assert local is None or Path(local).is_relative_to(home / "artifacts" / own)


def test_the_artifact_location_of_an_experiment_can_be_listed_and_downloaded(
    client: MlflowClient, run: Any, work: Path
) -> None:
    client.log_text(run.info.run_id, "x", "a.txt")
    location = client.get_experiment(run.info.experiment_id).artifact_location
    assert [f.path.rpartition("/")[2] for f in list_artifacts(artifact_uri=location)] == [
        run.info.run_id
    ]
    path = download_artifacts(artifact_uri=location, dst_path=str(work))
    assert (Path(path) / run.info.run_id / "artifacts" / "a.txt").read_text() == "x"


def test_a_symbolic_link_out_of_the_workspace_is_not_followed(
    client: MlflowClient, run: Any, repository: Any, tmp_path: Path, work: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.txt").write_text("secret")
    client.log_text(run.info.run_id, "mine", "a.txt")
    base = Path(repository.get_local_path(""))
    (base / "dir").symlink_to(secret)
    (base / "file.txt").symlink_to(secret / "key.txt")
    for path in ("dir", "dir/key.txt", "file.txt"):
        with pytest.raises(MlflowException):
            repository.download_artifacts(path, str(work))
        with pytest.raises(MlflowException):
            repository.get_local_path(path)
    with pytest.raises(MlflowException):
        repository.list_artifacts("dir")
    with pytest.raises(MlflowException):
        repository.log_artifact(str(secret / "key.txt"), "dir")
    assert tree(secret) == {"key.txt": b"secret"}


def test_a_whole_download_does_not_carry_files_out_through_a_symbolic_link(
    client: MlflowClient, run: Any, repository: Any, tmp_path: Path, work: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.txt").write_text("secret")
    client.log_text(run.info.run_id, "mine", "a.txt")
    (Path(repository.get_local_path("")) / "dir").symlink_to(secret)
    with contextlib.suppress(MlflowException):
        repository.download_artifacts("", str(work))
    assert b"secret" not in tree(work).values()


def test_deleting_a_symbolic_link_deletes_the_link_only(
    client: MlflowClient, run: Any, repository: Any
) -> None:
    client.log_text(run.info.run_id, "mine", "dir/a.txt")
    base = Path(repository.get_local_path(""))
    (base / "link").symlink_to(base / "dir")
    repository.delete_artifacts("link")
    assert load_text(f"{run.info.artifact_uri}/dir/a.txt") == "mine"


# --- a home that moves ----------------------------------------------------------------------------


@pytest.mark.filterwarnings(
    # MLflow's advice on model signatures and on pickled models, and its own use of pydantic.
    "ignore::UserWarning",
    "ignore::FutureWarning",
    "ignore::DeprecationWarning",
)
def test_a_home_that_moved_serves_its_runs_models_and_traces(
    client: MlflowClient, run: Any, home: Path, tmp_path: Path, door: str
) -> None:
    class Doubler(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: list[str], params: Any = None) -> list[str]:
            return [text * 2 for text in model_input]

    client.log_text(run.info.run_id, "hello", "note.txt")
    with mlflow.start_run(experiment_id=run.info.experiment_id):
        model = mlflow.pyfunc.log_model(
            name="doubler",
            python_model=Doubler(),
            registered_model_name="net",
            # Else MLflow starts a process that finds out.
            pip_requirements=[],
        )
    with mlflow.start_span("question") as span:
        span.set_inputs({"q": "why"})
        span.set_outputs("because")
    mlflow.flush_trace_async_logging()

    from mlflow_ws_plugin.stores.database import close_all

    close_all()
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    home.rename(moved)
    uri = DOORS[door](moved, "team")
    mlflow.set_tracking_uri(uri)
    there = MlflowClient(uri)
    assert load_text(f"{there.get_run(run.info.run_id).info.artifact_uri}/note.txt") == "hello"
    for model_uri in (model.model_uri, "models:/net/1", f"models:/{model.model_id}"):
        assert mlflow.pyfunc.load_model(model_uri).predict(["ab"]) == ["abab"]
    assert Model.load(f"models:/{model.model_id}").model_id == model.model_id
    trace = there.get_trace(span.trace_id)
    assert [(s.name, s.inputs, s.outputs) for s in trace.data.spans] == [
        ("question", {"q": "why"}, "because")
    ]
    assert not home.exists()
