"""The frame of the command `mlflow-ws`: its help, its errors, and `upgrade`.

What each command does is in `tests/acceptance/test_commands.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from mlflow_ws_plugin import WorkspaceUri
from mlflow_ws_plugin.cli import main
from mlflow_ws_plugin.location import resolve
from mlflow_ws_plugin.stores.database import close_all, open_database

SECRET = "Xq7-hunter2"


def commands(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands with the words that call them, groups included."""
    yield above, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield (*above, name), command


COMMANDS = list(commands(main))
WORDS = [words for words, _ in COMMANDS]
TAKE_A_URI = [
    words
    for words, command in COMMANDS
    if [p.name for p in command.params if isinstance(p, click.Argument)] == ["uri"]
]


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user who has nothing yet, in an empty home directory."""
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_WS_HOME"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    close_all()


def call(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def contents(directory: Path) -> dict[Path, bytes]:
    """Every file, but for SQLite's own, which come and go with a connection."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if not path.name.endswith(("-wal", "-shm"))}


# Help.


def examples(words: tuple[str, ...]) -> str:
    """What the help shows after the word Example."""
    result = call(*words, "--help")
    assert result.exit_code == 0
    return result.output.partition("Example")[2].partition("\n\n")[0]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_the_help_has_an_example_on_a_line_of_its_own(words: tuple[str, ...]) -> None:
    """Click refills paragraphs, unless told not to."""
    line = rf"^ +.*\b{' '.join(('mlflow-ws', *words))}\b"
    assert re.search(line, examples(words), re.MULTILINE)


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_the_examples_name_workspaces_by_valid_uris(words: tuple[str, ...]) -> None:
    for uri in re.findall(r"ws[+a-z]*:/[^\s\"')]+", examples(words)):
        assert WorkspaceUri.parse(uri).name


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_both_spellings_of_help_are_known(option: str) -> None:
    assert call(option).output.startswith("Usage:")


def test_the_version_is_that_of_the_package() -> None:
    result = call("--version")
    assert result.exit_code == 0
    assert version("mlflow-ws-plugin") in result.output


def test_help_does_not_wait_for_mlflow() -> None:
    """MLflow takes seconds to import on a slow disk."""
    code = "import sys, mlflow_ws_plugin.cli; print({'mlflow', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"


# Errors.


@pytest.mark.parametrize("words", TAKE_A_URI, ids=" ".join)
def test_a_bad_uri_is_one_line_with_the_way_out(words: tuple[str, ...]) -> None:
    """On standard error, with exit code 1, and nothing to parse on standard output."""
    result = call(*words, "ws:demo")
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "Expected: ws://NAME or ws:///ABS/DIR/NAME" in line


@pytest.mark.parametrize(
    "uri", [f"ws+postgresql://ann:{SECRET}@db/lab/demo", f"ws://ann:{SECRET}@demo"]
)
def test_a_password_is_not_printed(uri: str) -> None:
    result = call("upgrade", uri)
    assert result.exit_code == 1
    assert SECRET not in result.output


@pytest.mark.parametrize("words", [("upgrad", "ws://demo"), ("upgrade",), ("upgrade", "--all")])
def test_a_wrong_call_shows_the_usage(words: tuple[str, ...]) -> None:
    """Exit code 2, as everywhere in the shell."""
    result = call(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage:")


def test_a_defect_of_ours_is_not_dressed_up_as_an_error_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It keeps its traceback, for the report."""

    def broken(_uri: str) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr("mlflow_ws_plugin.location.resolve", broken)
    assert isinstance(call("upgrade", "ws://demo").exception, RuntimeError)


# Upgrade.


@pytest.mark.parametrize("template", ["ws://{user}/new/demo", "ws+sqlite://{user}/new.db/demo"])
def test_upgrading_what_is_not_there_does_nothing(user: Path, template: str) -> None:
    result = call("upgrade", template.format(user=user.as_posix()))
    assert result.exit_code == 0
    assert result.output.startswith("Nothing to do")
    assert str(user) in result.output
    assert list(user.iterdir()) == []


def test_upgrading_what_is_up_to_date_does_nothing(user: Path) -> None:
    """Not a byte of the database is changed, and there is no copy of it."""
    uri = f"ws://{user.as_posix()}/home/demo"
    open_database(resolve(uri)).create()
    close_all()
    before = contents(user)
    result = call("upgrade", uri)
    assert result.exit_code == 0
    assert result.output.startswith("Nothing to do")
    close_all()
    assert contents(user) == before
