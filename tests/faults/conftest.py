"""Another user, and a directory that this user may look into."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_DEADLINE_S = 90
_NOBODY = 65534

# The site directories of the tests' own environment, for an interpreter that is not its own.
_BOOTSTRAP = f"""
import site
site.addsitedir({sysconfig.get_path("purelib")!r})
"""


def _user(user_id: int | None) -> dict[str, Any]:
    return {} if user_id is None else {"user": user_id, "group": user_id, "extra_groups": []}


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW_"))}
    return {
        **kept,
        "HOME": "/nonexistent",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _interpreters() -> Iterator[str]:
    yield sys.executable
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for directory in ("/usr/local/bin", "/usr/bin"):
        if found := shutil.which(name, path=directory):
            yield found


def _works(interpreter: str, user_id: int | None) -> bool:
    code = f"{_BOOTSTRAP}import mlflow_ws_plugin, mlflow_ws_plugin.stores.tracking"
    try:
        done = subprocess.run(
            [interpreter, "-W", "ignore", "-c", code],
            cwd="/",
            env=_environment(),
            capture_output=True,
            timeout=_DEADLINE_S,
            check=False,
            **_user(user_id),
        )
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture(scope="session")
def run_unprivileged() -> Callable[..., Any]:
    """Runs a script as a user whom file permissions bind; returns its last line, from JSON.

    That is uid 65534 where the tests run as root, and the same user elsewhere.
    """
    user_id = _NOBODY if os.geteuid() == 0 else None
    interpreter = next((path for path in _interpreters() if _works(path, user_id)), None)
    if interpreter is None:
        pytest.skip(f"no Python {sys.version_info[:2]} that uid {user_id} may execute")

    def run(code: str, *arguments: str) -> Any:
        done = subprocess.run(
            [interpreter, "-c", _BOOTSTRAP + code, *arguments],
            cwd="/",
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
            **_user(user_id),
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def run_script() -> Callable[..., Any]:
    """Runs a script as this user; returns its last line, from JSON."""

    def run(code: str, *arguments: str, **variables: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**_environment(), **variables},
            capture_output=True,
            text=True,
            timeout=_DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A temporary directory that everybody may enter; pytest's own ones are private."""
    path = Path(tempfile.mkdtemp(prefix="mlflow-ws-"))
    path.chmod(0o755)
    yield path
    for directory, _, _ in os.walk(path):
        Path(directory).chmod(0o755)
    shutil.rmtree(path)
