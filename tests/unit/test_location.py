"""What a workspace URI resolves to, and that a process never changes its mind about it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_ws_plugin import location
from mlflow_ws_plugin.errors import (
    ConfigNotFound,
    InvalidConfig,
    InvalidWorkspaceUri,
    WorkspaceError,
)
from mlflow_ws_plugin.location import resolve
from mlflow_ws_plugin.uri import WorkspaceUri

SECRET = "Xq7-hunter2"
VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing resolved yet, and no settings."""
    location._relative.clear()
    for variable in (*VARIABLES, "MLFLOW_WS_HOME"):
        monkeypatch.delenv(variable, raising=False)
    yield
    location._relative.clear()


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home directory, which is the working directory too."""
    directory = tmp_path / "user"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("USERPROFILE", str(directory))
    monkeypatch.chdir(directory)
    return directory


def write_config(directory: Path, **content: str) -> Path:
    path = directory / "config.json"
    directory.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def contents(directory: Path) -> set[Path]:
    return set(directory.rglob("*"))


# Where each form leads.


@pytest.mark.parametrize(
    ("text", "database", "is_home"),
    [
        ("ws:///data/team/demo", "/data/team/workspaces.db", True),
        ("ws:///my%20data/demo", "/my data/workspaces.db", True),
        ("ws+sqlite:///data/mlflow.db/demo", "/data/mlflow.db", False),
    ],
)
def test_an_absolute_uri_names_its_database_and_the_artifacts_beside_it(
    text: str, database: str, *, is_home: bool
) -> None:
    found = resolve(text)
    assert (found.workspace, found.database, found.is_home) == ("demo", Path(database), is_home)
    assert (
        found.artifact_root == found.directory / "artifacts" == Path(database).parent / "artifacts"
    )
    assert str(found.uri) == text


def test_a_name_alone_is_in_the_default_home(user: Path) -> None:
    assert resolve("ws://demo") == resolve(f"ws://{user.as_posix()}/.mlflow-ws/demo")


@pytest.mark.parametrize(
    "home", ["/data/ws", "/my data/50%/a#b?c/données", "relative", "~/ws", "../sibling", "a/../b"]
)
def test_a_configured_home_gives_a_uri_that_means_the_same_to_a_child_process(
    user: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    """The absolute URI is parsed again there, in another directory and without the setting."""
    monkeypatch.setenv("MLFLOW_WS_HOME", home)
    found = resolve("ws://demo")
    assert found.database.resolve() == (user / Path(home).expanduser() / "workspaces.db").resolve()
    assert resolve(str(found.uri)).database.resolve() == found.database.resolve()


def test_a_config_json_without_a_tracking_uri_means_the_default_home(user: Path) -> None:
    write_config(user, workspace_name="My_Demo")
    found = resolve("ws:")
    assert found.database == user / ".mlflow-ws" / "workspaces.db"
    assert (found.workspace, found.display_name) == ("my-demo", "My_Demo")


def test_a_config_json_that_means_the_default_home_says_that_this_is_local(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, although it is resolved twice: an Azure user may have expected the cloud."""
    lines: list[str] = []
    monkeypatch.setattr(location._logger, "info", lambda line, *args: lines.append(line % args))
    path = write_config(user, subscription_id="1-2", workspace_name="demo")
    resolve("ws:")
    resolve("ws:")
    [line] = lines
    assert f"Workspace 'demo' of {path} is local: {user / '.mlflow-ws'}" in line


def test_a_config_json_with_a_tracking_uri_means_that(user: Path) -> None:
    write_config(user, workspace_name="demo", tracking_uri="ws:///data/team/demo")
    assert resolve("ws:") == resolve("ws:///data/team/demo")


def test_a_config_json_with_a_tracking_uri_keeps_the_name_for_display(user: Path) -> None:
    write_config(user, workspace_name="My_Demo", tracking_uri="ws:///data/team/my-demo")
    assert resolve("ws:").display_name == "My_Demo"


def test_another_workspace_beside_is_in_the_same_database(user: Path) -> None:
    write_config(user, workspace_name="My_Demo")
    found = resolve("ws:").beside("other")
    assert found == resolve(f"ws://{user.as_posix()}/.mlflow-ws/other")


# Once per process.


@pytest.mark.parametrize("text", ["ws:", "ws://demo"])
def test_a_relative_uri_means_the_same_after_a_change_of_directory_and_home(
    user: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """MLflow keeps one store per URI for ever; a later change must not split the data."""
    write_config(user, workspace_name="demo")
    before = resolve(text)
    other = user / "other"
    write_config(other, workspace_name="other")
    monkeypatch.chdir(other)
    monkeypatch.setenv("MLFLOW_WS_HOME", str(other))
    assert resolve(text) == before


@pytest.mark.parametrize("spelling", ["WS://demo", "ws://demo/", "ws://demo?"])
def test_another_spelling_of_a_relative_uri_means_the_same(
    user: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    before = resolve("ws://demo")
    monkeypatch.setenv("MLFLOW_WS_HOME", str(user / "other"))
    assert resolve(spelling) == before


def test_a_failed_search_is_not_remembered(user: Path) -> None:
    """A notebook writes the missing config.json and tries again."""
    with pytest.raises(ConfigNotFound):
        resolve("ws:")
    write_config(user, workspace_name="demo")
    assert resolve("ws:").workspace == "demo"


# The environment of child processes.


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("text", ["ws:", "ws://demo"])
def test_the_environment_gets_the_absolute_form_of_the_relative_one_it_holds(
    user: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    write_config(user, workspace_name="demo")
    monkeypatch.setenv(variable, text)
    resolve(text)
    assert os.environ[variable] == f"ws://{user.as_posix()}/.mlflow-ws/demo"


def test_the_environment_gets_the_absolute_form_when_it_is_set_later(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow copies the tracking URI into the environment whenever a script sets it."""
    resolve("ws://demo")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "ws://demo")
    resolve("ws://demo")
    assert os.environ["MLFLOW_TRACKING_URI"] == f"ws://{user.as_posix()}/.mlflow-ws/demo"


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize(
    "held", ["ws://other", "ws:", "http://localhost:5000", "ws:///data/demo", ""]
)
def test_the_environment_is_left_alone_when_it_holds_something_else(
    monkeypatch: pytest.MonkeyPatch, variable: str, held: str
) -> None:
    monkeypatch.setenv(variable, held)
    resolve("ws://demo")
    assert os.environ[variable] == held


@pytest.mark.parametrize("text", ["ws://demo", "ws:///data/demo"])
def test_the_environment_gets_no_variable_that_it_did_not_have(text: str) -> None:
    resolve(text)
    assert not set(VARIABLES) & set(os.environ)


# What is refused.


@pytest.mark.parametrize(
    ("text", "door"),
    [
        (f"ws+postgresql://ann:{SECRET}@db/lab/demo", "sql"),
        (f"ws+mysql://ann:{SECRET}@db/lab/demo", "sql"),
        (f"ws+mssql://ann:{SECRET}@db/lab/demo", "sql"),
        (f"ws+http://ann:{SECRET}@host/demo", "served"),
        (f"ws+https://ann:{SECRET}@host/demo", "served"),
    ],
)
def test_a_shared_door_is_refused_by_name_and_without_its_password(text: str, door: str) -> None:
    with pytest.raises(WorkspaceError, match=f"the {door} door comes with the shared doors") as e:
        resolve(text)
    assert SECRET not in str(e.value)


def test_a_shared_door_of_a_config_json_is_refused_too(user: Path) -> None:
    write_config(user, workspace_name="demo", tracking_uri="ws+https://host/demo")
    with pytest.raises(WorkspaceError, match="the served door comes"):
        resolve("ws:")


def test_a_broken_uri_is_refused() -> None:
    with pytest.raises(InvalidWorkspaceUri):
        resolve("ws:demo")


def test_a_broken_config_json_is_refused(user: Path) -> None:
    write_config(user, workspace_name="demo", tracking_uri="http://host")
    with pytest.raises(InvalidConfig):
        resolve("ws:")


# No trace.


@pytest.mark.parametrize(
    "text", ["ws:", "ws://demo", "ws://{user}/new/demo", "ws+sqlite://{user}/x.db/demo"]
)
def test_resolving_creates_nothing(user: Path, text: str) -> None:
    write_config(user, workspace_name="demo")
    before = contents(user)
    resolve(text.format(user=user.as_posix()))
    assert contents(user) == before


def test_the_absolute_form_is_absolute(user: Path) -> None:
    found = resolve("ws://demo")
    assert found.uri.is_absolute
    assert WorkspaceUri.parse(str(found.uri)) == found.uri
