"""Which locations given by hand are refused, because they could reach another workspace's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException

from mlflow_ws_plugin.location import Location, resolve
from mlflow_ws_plugin.stores.places import (
    check_experiment_location,
    check_source,
    logical_segments,
)

# A workspace of a home that is not there: what other homes hold is refused to it too.
ELSEWHERE = resolve("ws:///nowhere/home/demo")

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two workspaces."""
    directory = tmp_path / "home"
    for workspace in ("demo", "other"):
        (directory / "artifacts" / "workspaces" / workspace / "1").mkdir(parents=True)
    (directory / "workspaces.db").touch()
    return directory


def demo(home: Path) -> Location:
    return resolve(f"ws://{home.as_posix()}/demo")


def own(home: Path) -> Path:
    """The files of the workspace `demo`."""
    return home / "artifacts" / "workspaces" / "demo"


def refusal_of_location(location: str) -> str:
    with pytest.raises(MlflowException) as refused:
        check_experiment_location(location, ELSEWHERE)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    assert "artifact_location" in str(refused.value)
    return str(refused.value)


def refusal_of_source(source: str, home: Path) -> str:
    with pytest.raises(MlflowException) as refused:
        check_source(source, demo(home))
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    assert "source" in str(refused.value)
    return str(refused.value)


# Logical paths.


@pytest.mark.parametrize(
    ("uri", "segments"),
    [
        ("mlflow-artifacts:/workspaces/demo/1", ["workspaces", "demo", "1"]),
        ("mlflow-artifacts:///workspaces/demo", ["workspaces", "demo"]),
        ("mlflow-artifacts:/a//b/./c/", ["a", "b", "c"]),
        ("mlflow-artifacts:/a%20b/100%25/c%23d", ["a b", "100%", "c#d"]),
        ("mlflow-artifacts:/donn%C3%A9es/données", ["données", "données"]),
        ("mlflow-artifacts:/...", ["..."]),
        ("mlflow-artifacts:/..a/b..", ["..a", "b.."]),
        ("mlflow-artifacts:/", []),
    ],
)
def test_a_plain_logical_path_is_taken_apart(uri: str, segments: list[str]) -> None:
    assert logical_segments(uri) == segments


@pytest.mark.parametrize(
    "path",
    [
        "/workspaces/demo/../other",
        "/..",
        "/a/%2e%2e/b",
        "/a/.%2E/b",
        "/a/%2e/b",
        "/a/%252e%252e/b",
        "/a/%252e/b",
        "/a%2fb",
        "/a%2Fb",
        "/a%252fb",
        "/a\\b",
        "/a%5cb",
        "/a%255Cb",
        "/a/..\\b",
        "/a%00b",
        "/a%0Ab",
        "//host/workspaces/demo",
        "//user@host/a",
        "/a?b=c",
        "/a#b",
        "//[broken/a",
    ],
)
def test_a_path_that_another_program_could_read_otherwise_is_not_plain(path: str) -> None:
    assert logical_segments(f"mlflow-artifacts:{path}") is None


PIECES = ["/", "//", ".", "..", "%", "25", "2e", "2f", "5c", "\\", "a", "é", "[", "@", ":", "\t"]


@unhurried
@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example("/../../etc")
@example("/%2e%2e/%2e%2e/etc")
@example("/%2Fetc")
@example("//[broken/a")
def test_what_is_plain_stays_below_the_root_it_is_joined_to(path: str) -> None:
    """By the text and by the file system's own reading of it."""
    segments = logical_segments(f"mlflow-artifacts:{path}")
    if segments is not None:
        root = Path.cwd() / "root"
        joined = root.joinpath(*segments)
        assert joined.relative_to(root).parts == tuple(segments)
        assert Path(os.path.normpath(joined)) == joined


# Experiments and model versions: what both may have.

ALLOWED = [
    "mlflow-artifacts:/workspaces/demo/1",
    "mlflow-artifacts:/workspaces/demo/1/run/artifacts",
    "s3://bucket/prefix",
    "s3://bucket/a..b",
    "dbfs:/a/b",
    "{tmp}/elsewhere",
    "file://{tmp}/elsewhere",
    "{tmp}/artifacts/elsewhere",  # No home: there is no database beside it.
    "{home}",
    "{home}/elsewhere",
    "relative/path",
]
REFUSED = [
    ("mlflow-artifacts:/workspaces/other/1", "of this workspace"),
    ("MLFLOW-ARTIFACTS:/workspaces/other/1", "of this workspace"),
    ("mlflow-artifacts:/workspaces/demo", "of this workspace"),
    ("mlflow-artifacts:/workspaces/demo2/1", "of this workspace"),
    ("mlflow-artifacts:/1", "of this workspace"),
    ("mlflow-artifacts:/", "of this workspace"),
    ("mlflow-artifacts://host/workspaces/demo/1", "of this workspace"),
    ("mlflow-artifacts:/workspaces/demo/../other/1", "of this workspace"),
    ("mlflow-artifacts:/workspaces/demo/1/%2e%2e/%2e%2e/other", "of this workspace"),
    ("mlflow-artifacts:/workspaces/demo/1/%252e%252e/x", "of this workspace"),
    ("mlflow-artifacts:/workspaces/demo%2f..%2fother/1", "of this workspace"),
    ("mlflow-artifacts:/workspaces/demo/1\\..\\..\\other", "of this workspace"),
    ("s3://bucket/a/../b", "'..'"),
    ("s3://bucket/a/%2e%2e/b", "'..'"),
    ("{tmp}/elsewhere/../home/artifacts", "'..'"),
    ("file://{tmp}/a/../home/artifacts", "'..'"),
    ("file://{tmp}/a/%2e%2e/home/artifacts", "'..'"),
    ("../relative", "'..'"),
    ("{home}/artifacts", "inside the home"),
    ("{home}/artifacts/workspaces/other/1", "inside the home"),
    ("{home}/./artifacts//workspaces/other", "inside the home"),
    ("file://{home}/artifacts/workspaces/other/1", "inside the home"),
    ("file:{home}/artifacts/workspaces/other/1", "inside the home"),
    ("file://{home}/%61rtifacts/workspaces/other/1", "inside the home"),
    ("{home}/artifacts/not/there/yet", "inside the home"),
    ("{link}/workspaces/other/1", "inside the home"),
    ("file://{link}/workspaces/other/1", "inside the home"),
    ("s3://[broken/a", "refused"),
    # MLflow decodes a path without a scheme too, before it opens it.
    ("{home}/%61rtifacts/workspaces/other/1", "inside the home"),
    ("{tmp}/a/%2e%2e/home/artifacts", "'..'"),
]


def filled(template: str, home: Path) -> str:
    """With the directories of this test, and a symbolic link into the home's artifacts."""
    link = home.parent / "link"
    link.symlink_to(home / "artifacts", target_is_directory=True)
    return template.format(tmp=home.parent.as_posix(), home=home.as_posix(), link=link.as_posix())


@pytest.mark.parametrize("location", ALLOWED)
def test_an_experiment_may_be_anywhere_that_is_nobody_elses(home: Path, location: str) -> None:
    check_experiment_location(filled(location, home), demo(home))


@pytest.mark.parametrize("source", ALLOWED)
def test_a_source_may_be_anywhere_that_is_nobody_elses(home: Path, source: str) -> None:
    check_source(filled(source, home), demo(home))


@pytest.mark.parametrize(("location", "reason"), REFUSED)
def test_an_experiment_location_that_could_reach_others_is_refused(
    home: Path, location: str, reason: str
) -> None:
    assert reason in refusal_of_location(filled(location, home))


@pytest.mark.parametrize(("source", "reason"), REFUSED)
def test_a_source_that_could_reach_others_is_refused(home: Path, source: str, reason: str) -> None:
    assert reason in refusal_of_source(filled(source, home), home)


def test_the_refusal_names_the_home_and_the_place_that_is_right(home: Path) -> None:
    assert str(home) in refusal_of_location(f"{home.as_posix()}/artifacts")
    assert "mlflow-artifacts:/workspaces/demo/..." in refusal_of_location("mlflow-artifacts:/1")


def test_the_artifacts_of_a_home_may_be_on_another_disk(home: Path) -> None:
    """Where `artifacts` itself is a symbolic link, its target still belongs to the home."""
    disk = home.parent / "disk"
    (home / "artifacts").rename(disk)
    (home / "artifacts").symlink_to(disk, target_is_directory=True)
    location = f"{home.as_posix()}/artifacts/workspaces/other/1"
    assert "inside the home" in refusal_of_location(location)


# A workspace's own files.


@pytest.mark.parametrize("template", ["{own}/1/run/artifacts/model", "file://{own}/1", "{own}"])
def test_a_source_may_be_a_file_of_the_workspace_itself(home: Path, template: str) -> None:
    """As `mlflow.register_model` gives it after a download in place."""
    check_source(template.format(own=own(home).as_posix()), demo(home))


@pytest.mark.parametrize("place", ["artifacts", "artifacts/workspaces/other/1"])
def test_the_artifacts_beside_a_given_database_file_are_managed_too(
    tmp_path: Path, place: str
) -> None:
    """A `ws+sqlite:` database has no `workspaces.db` beside it that would give it away."""
    location = resolve(f"ws+sqlite://{tmp_path.as_posix()}/given.db/demo")
    for check in (check_experiment_location, check_source):
        with pytest.raises(MlflowException, match="manages it itself"):
            check((tmp_path / place).as_posix(), location)


@pytest.mark.parametrize("neighbour", ["demo2", "demo-other"])
def test_a_source_in_a_workspace_with_a_longer_name_is_refused(home: Path, neighbour: str) -> None:
    source = (own(home).parent / neighbour / "1").as_posix()
    assert "inside the home" in refusal_of_source(source, home)


def test_a_symbolic_link_out_of_the_own_files_is_followed_first(home: Path) -> None:
    (own(home) / "link").symlink_to(own(home).parent / "other", target_is_directory=True)
    assert "inside the home" in refusal_of_source((own(home) / "link" / "1").as_posix(), home)


def test_an_experiment_may_not_be_in_the_own_files_by_path(home: Path) -> None:
    """Only the logical form survives a move of the home."""
    assert "inside the home" in refusal_of_location((own(home) / "1").as_posix())
