"""Another user, and a directory that this user may look into."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import warm
from programs import clean_environment

_NOBODY = 65534


def _environment() -> dict[str, str]:
    return clean_environment(HOME="/nonexistent", PYTHONDONTWRITEBYTECODE="1")


def _interpreters() -> Iterator[str]:
    yield sys.executable
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for directory in ("/usr/local/bin", "/usr/bin"):
        if found := shutil.which(name, path=directory):
            yield found


def _start(python: str, user_id: int | None) -> warm.Interpreter | None:
    """None where that user may not run that interpreter, or not read the packages."""
    try:
        interpreter = warm.Interpreter(
            python, _environment(), site=sysconfig.get_path("purelib"), user=user_id
        )
    except OSError:
        return None
    if interpreter.works():
        return interpreter
    interpreter.close()
    return None


@pytest.fixture(scope="session")
def unprivileged() -> Iterator[warm.Interpreter]:
    """An interpreter of a user whom file permissions bind.

    That is uid 65534 where the tests run as root, and the same user elsewhere.
    """
    user_id = _NOBODY if os.geteuid() == 0 else None
    started = (_start(python, user_id) for python in _interpreters())
    interpreter = next((found for found in started if found), None)
    if interpreter is None:
        pytest.skip(f"no Python {sys.version_info[:2]} that uid {user_id} may execute")
    yield interpreter
    interpreter.close()


@pytest.fixture(scope="session")
def run_unprivileged(unprivileged: warm.Interpreter) -> Callable[..., Any]:
    """Runs a script as that user; returns its last line, from JSON."""
    return lambda code, *arguments: unprivileged.run(code, *arguments, env=_environment())


@pytest.fixture(scope="session")
def run_script(scripts: warm.Interpreter) -> Callable[..., Any]:
    """Runs a script as this user; returns its last line, from JSON."""
    return lambda code, *arguments: scripts.run(code, *arguments, env=_environment())


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A temporary directory that everybody may enter; pytest's own ones are private."""
    path = Path(tempfile.mkdtemp(prefix="mlflow-ws-"))
    path.chmod(0o755)
    yield path
    for directory, _, _ in os.walk(path):
        Path(directory).chmod(0o755)
    shutil.rmtree(path)
