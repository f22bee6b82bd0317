"""Artifacts, through MLflow's client, behave as on MLflow's own SQLite store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from PIL import Image
from twin import Side, same_as_stock

mpl.use("agg")


def _run(s: Side) -> str:
    return s.client.create_run("0", start_time=1, run_name="first").info.run_id


def _tree(s: Side, run_id: str, path: str | None = None) -> Iterator[tuple[str, int | None]]:
    for entry in s.client.list_artifacts(run_id, path):
        yield entry.path, entry.file_size
        if entry.is_dir:
            yield from _tree(s, run_id, entry.path)


def _listing(s: Side, run_id: str) -> list[tuple[str, int | None]]:
    return sorted(_tree(s, run_id))


def _download(s: Side, run_id: str, path: str, to: str | None = None) -> dict[str, bytes]:
    """The files that a download brought, below what it returned."""
    if to is not None:
        (s.cwd.parent / to).mkdir(exist_ok=True)
        to = str(s.cwd.parent / to)
    local = Path(s.client.download_artifacts(run_id, path, to))
    if local.is_file():
        return {local.name: local.read_bytes()}
    files = (file for file in local.rglob("*") if file.is_file())
    return {file.relative_to(local).as_posix(): file.read_bytes() for file in files}


@pytest.mark.core
@same_as_stock
def test_texts_and_dicts(s: Side) -> None:
    run_id = _run(s)
    s.do(s.client.log_text, run_id, "first ü ☃\r\n", "a.txt")
    s.do(s.client.log_text, run_id, "second", "a.txt")
    s.do(s.client.log_text, run_id, "", "deep/er/empty.txt")
    s.do(s.client.log_dict, run_id, {"a": [1, None], "ü": 1.5}, "d.json")
    s.do(s.client.log_dict, run_id, {"a": [1, None]}, "sub/d.yaml")
    s.do(s.client.log_dict, run_id, {"a": 1}, "no extension")
    s.do(s.client.log_dict, run_id, {"a": {1}}, "set.json")
    s.do(_listing, s, run_id)
    for path in ("a.txt", "d.json", "sub/d.yaml", "deep", "no extension"):
        s.do(_download, s, run_id, path)


@same_as_stock
def test_figures_images_and_tables(s: Side) -> None:
    from matplotlib.figure import Figure

    s.use()
    run_id = _run(s)
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([1, 2])
    s.do(s.client.log_figure, run_id, figure, "figure.png")
    s.do(s.client.log_image, run_id, np.zeros((4, 4, 3), np.uint8), "image.png")
    s.do(s.client.log_image, run_id, Image.new("RGB", (2, 2)), "sub/image.png")
    s.do(s.client.log_image, run_id, np.full((2, 2), 300), "bad.png")
    s.do(s.client.log_table, run_id, {"a": [1, 2], "b": ["x", "y"]}, "table.json")
    s.do(s.client.log_table, run_id, pd.DataFrame({"a": [3], "b": ["z"]}), "table.json")
    s.note("table", s.client.load_table("0", "table.json").to_dict("list"))
    s.note("files", [name for name, _ in _listing(s, run_id)])
    s.do(_download, s, run_id, "table.json")
    s.do(s.client.get_run, run_id)


@same_as_stock
def test_an_image_with_a_key_and_a_step(s: Side) -> None:
    run_id = _run(s)
    for step in (0, 1):
        image = np.zeros((4, 4, 3), np.uint8)
        s.client.log_image(run_id, image, key="eval/sample", step=step, timestamp=5 + step)
    s.client.log_metric(run_id, "m", 1, 1)
    names = [name for name, _ in _listing(s, run_id)]
    # The names hold a random id each.
    s.note("directories", sorted({str(Path(name).parent) for name in names}))
    s.note("files", len(names))
    s.note("tags", s.client.get_run(run_id).data.tags)


@pytest.mark.core
@same_as_stock
def test_files_and_directories(s: Side) -> None:
    run_id = _run(s)
    s.write("tree/a.txt", "a")
    s.write("tree/sub/b.bin", bytes(range(256)) * 1000)
    s.write("tree/sub/with space ü.txt", "c")
    s.write("tree/.hidden", "d")
    local = s.write("single.txt", "single").parent
    s.do(s.client.log_artifact, run_id, str(local / "single.txt"))
    s.do(s.client.log_artifact, run_id, local / "single.txt", "as/path")
    s.do(s.client.log_artifact, run_id, str(local / "tree"))
    s.do(s.client.log_artifact, run_id, str(local / "tree"), "below")
    s.do(s.client.log_artifacts, run_id, str(local / "tree"))
    s.do(s.client.log_artifacts, run_id, local / "tree", "other/place")
    s.do(_listing, s, run_id)
    for path in ("single.txt", "tree", "below", "other/place", "sub", "", ".hidden"):
        s.do(_download, s, run_id, path, f"to {path.replace('/', '-')}")
        s.do(_download, s, run_id, path)


@same_as_stock
def test_an_empty_directory_is_kept_and_downloads(s: Side) -> None:
    run_id = _run(s)
    s.do(_download, s, run_id, "")
    (s.write("tree/a.txt", "a").parent / "empty").mkdir()
    s.do(s.client.log_artifacts, run_id, str(s.cwd.parent / "local" / "tree"))
    s.do(_listing, s, run_id)
    s.do(s.client.list_artifacts, run_id, "empty")
    s.do(_download, s, run_id, "", "to")
    s.do(_download, s, run_id, "empty")
    s.do(_download, s, run_id, "empty", "to")


@same_as_stock
def test_what_is_not_there(s: Side) -> None:
    run_id = _run(s)
    s.do(s.client.list_artifacts, run_id)
    for path in ("absent", "absent/file.txt", "a.txt/below"):
        s.do(s.client.list_artifacts, run_id, path)
    s.client.log_text(run_id, "a", "a.txt")
    s.do(s.client.list_artifacts, run_id, "a.txt")
    s.do(s.client.list_artifacts, run_id, "")
    s.do(s.client.list_artifacts, run_id, "/")
    s.do(s.client.list_artifacts, run_id, ".")
    local = s.write("a.txt", "a").parent
    s.do(s.client.log_artifact, run_id, str(local / "absent.txt"))
    s.do(_listing, s, run_id)


@same_as_stock
def test_a_local_directory_that_is_not_there(s: Side) -> None:
    run_id = _run(s)
    s.do(s.client.log_artifacts, run_id, str(s.cwd / "absent"))
    s.do(s.client.log_artifacts, run_id, str(s.write("a.txt", "a")))
    s.do(_listing, s, run_id)


@same_as_stock
def test_downloads_of_what_is_not_there(s: Side) -> None:
    run_id = _run(s)
    s.client.log_text(run_id, "a", "a.txt")
    for path in ("absent", "absent/file.txt"):
        s.do(_download, s, run_id, path)
    for path in ("absent", "absent/file.txt"):
        s.do(_download, s, run_id, path, "to")
    s.do(s.client.download_artifacts, run_id, "a.txt", str(s.cwd.parent / "no" / "directory"))


@same_as_stock
def test_paths_that_leave_the_run_are_refused(s: Side) -> None:
    run_id = _run(s)
    local = s.write("a.txt", "a")
    s.client.log_artifact(run_id, local)
    for path in (
        "../x",
        "..",
        "a/../../b",
        "a/../b",
        "/abs",
        "//x",
        "~/x",
        "a//b",
        "./a",
        "%2e%2e",
    ):
        s.do(s.client.log_artifact, run_id, str(local), path)
        s.do(s.client.log_artifacts, run_id, str(local.parent), path)
        s.do(s.client.log_text, run_id, "text", f"{path}/t.txt")
    s.do(_listing, s, run_id)


@same_as_stock
def test_reads_of_paths_that_leave_the_run_are_refused(s: Side) -> None:
    run_id = _run(s)
    s.do(s.client.log_artifact, run_id, s.write("a.txt", "a"))
    for path in ("../x", "..", "a/../../b", "/etc/passwd", "../../../../etc/passwd"):
        s.do(s.client.list_artifacts, run_id, path)
        s.do(s.client.download_artifacts, run_id, path)


@same_as_stock
def test_a_file_and_a_directory_do_not_replace_each_other_silently(s: Side) -> None:
    run_id = _run(s)
    s.client.log_text(run_id, "file", "name")
    s.client.log_text(run_id, "file", "directory/inner.txt")
    s.do(_listing, s, run_id)
    s.note("errors", [_error(s.client.log_text, run_id, "below a file", "name/inner.txt")])
    s.note("errors", [_error(s.client.log_text, run_id, "over a directory", "directory")])
    s.do(_listing, s, run_id)


def _error(call: object, *args: object) -> bool:
    try:
        call(*args)
    except Exception:  # noqa: BLE001 - the operating system's words, by the way it was copied
        return True
    return False


@same_as_stock
def test_deletion_by_the_repository(s: Side) -> None:
    run_id = _run(s)
    for name in ("a.txt", "sub/b.txt", "sub/deep/c.txt"):
        s.client.log_text(run_id, name, name)
    uri = s.client.get_run(run_id).info.artifact_uri
    repository = get_artifact_repository(uri, tracking_uri=s.uri)
    s.do(repository.delete_artifacts, "a.txt")
    s.do(_listing, s, run_id)
    s.do(repository.delete_artifacts, "sub")
    s.do(_listing, s, run_id)
    s.client.log_text(run_id, "again", "again.txt")
    s.do(repository.delete_artifacts)
    s.do(_listing, s, run_id)
    s.do(s.client.log_text, run_id, "after", "after.txt")
    s.do(_listing, s, run_id)


@same_as_stock
def test_deletion_of_what_is_not_there(s: Side) -> None:
    run_id = _run(s)
    s.client.log_text(run_id, "a", "a.txt")
    uri = s.client.get_run(run_id).info.artifact_uri
    repository = get_artifact_repository(uri, tracking_uri=s.uri)
    for path in ("absent", "absent/file.txt"):
        s.do(repository.delete_artifacts, path)
    s.do(_listing, s, run_id)


@same_as_stock
def test_deletion_below_a_file(s: Side) -> None:
    run_id = _run(s)
    s.client.log_text(run_id, "a", "a.txt")
    uri = s.client.get_run(run_id).info.artifact_uri
    s.do(get_artifact_repository(uri, tracking_uri=s.uri).delete_artifacts, "a.txt/below")
    s.do(_listing, s, run_id)


@same_as_stock
def test_artifacts_of_a_deleted_run_stay_readable(s: Side) -> None:
    run_id = _run(s)
    s.client.log_text(run_id, "a", "a.txt")
    s.client.delete_run(run_id)
    s.do(_listing, s, run_id)
    s.do(_download, s, run_id, "a.txt")
    for unknown in ("0" * 32, ""):
        s.do(s.client.list_artifacts, unknown)
        s.do(s.client.download_artifacts, unknown, "a.txt")


@same_as_stock
def test_artifacts_of_a_chosen_location(s: Side) -> None:
    elsewhere = s.cwd.parent / "elsewhere"
    for i, location in enumerate((str(elsewhere), f"file://{elsewhere}/uri")):
        experiment_id = s.client.create_experiment(f"trial {i}", artifact_location=location)
        run_id = s.client.create_run(experiment_id, 1, run_name="first").info.run_id
        s.do(s.client.log_text, run_id, "a", "sub/a.txt")
        s.do(_listing, s, run_id)
        s.do(_download, s, run_id, "sub")
    files = [file.name for file in elsewhere.rglob("*") if file.is_file()]
    s.note("files", files)
