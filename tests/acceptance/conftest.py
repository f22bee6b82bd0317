"""Processes of their own: scripts, and MLflow servers that do not see this plugin."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_SCRIPT_DEADLINE_S = 90
_SERVER_DEADLINE_S = 90

# Python imports `sitecustomize` before anything else, in every process that inherits PYTHONPATH. It
# makes the plugin what it is on a machine that never had it: neither its metadata nor its modules
# are found. Each process proves it, and says so in a file.
_HIDE_PLUGIN = """
import importlib.abc, importlib.metadata, os, sys

def _is_plugin(name):
    return name is not None and name.replace("_", "-").lower() == "mlflow-ws-plugin"

_discover = importlib.metadata.Distribution.discover
def _discover_others(**kwargs):
    return (found for found in _discover(**kwargs) if not _is_plugin(found.metadata["Name"]))
importlib.metadata.Distribution.discover = staticmethod(_discover_others)

class _NoPlugin(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mlflow_ws_plugin":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, _NoPlugin())

_ours = [
    point
    for distribution in importlib.metadata.distributions()
    for point in distribution.entry_points
    if point.value.startswith("mlflow_ws_plugin")
]
with open(os.path.join(os.path.dirname(__file__), "processes"), "a") as log:
    log.write(f"{os.getpid()} {len(_ours)}\\n")
"""


@dataclass(frozen=True)
class Output:
    """What a script left: its last line of standard output as JSON, and its standard error."""

    value: Any
    stderr: str


@dataclass(frozen=True)
class Server:
    """A running `mlflow server`."""

    url: str
    process_id: int


def _clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without any setting of MLflow, with `variables`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW_"))}
    # Nobody's real home or usage statistics are part of a test.
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", **variables}


def _run_script(
    code: str,
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    deadline_s: float = _SCRIPT_DEADLINE_S,
) -> Output:
    """Run `code` in a new interpreter; it must end in time and with exit code 0."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=dict(env or _clean_environment()),
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    lines = done.stdout.strip().splitlines()
    return Output(json.loads(lines[-1]) if lines else None, done.stderr)


@pytest.fixture(scope="session")
def without_plugin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which every Python process is one that never had this plugin."""
    directory = tmp_path_factory.mktemp("without-plugin")
    (directory / "sitecustomize.py").write_text(_HIDE_PLUGIN)
    return _clean_environment(PYTHONPATH=str(directory))


def _processes_without_plugin(environment: Mapping[str, str]) -> dict[int, int]:
    """The processes that ran in `environment`, each with the entry points of ours that it saw."""
    lines = (Path(environment["PYTHONPATH"]) / "processes").read_text().split("\n")
    return {int(pid): int(count) for pid, count in (line.split() for line in lines if line)}


@contextmanager
def _stock_server(home: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """`mlflow server --enable-workspaces` on `home`; killed with all its workers afterwards."""
    home.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    log = home.with_name(f"{home.name}-server.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--backend-store-uri", f"sqlite:///{home}/workspaces.db", "--enable-workspaces"),
                *("--artifacts-destination", str(home / "artifacts")),
                *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            ],
            cwd=home.parent,
            env={**environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_healthy(url, process, log)
        yield Server(url, process.pid)
    finally:
        # The process group is the session that was started above, so nobody else's.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SERVER_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"The server did not come up.\n{log.read_text()}")


# Helpers are fixtures, because several directories have a `conftest` that a test could import.


@pytest.fixture(scope="session")
def clean_environment() -> Callable[..., dict[str, str]]:
    return _clean_environment


@pytest.fixture(scope="session")
def run_script() -> Callable[..., Output]:
    return _run_script


@pytest.fixture(scope="session")
def stock_server() -> Callable[..., AbstractContextManager[Server]]:
    return _stock_server


@pytest.fixture(scope="session")
def processes_without_plugin(without_plugin: dict[str, str]) -> Callable[[], dict[int, int]]:
    return lambda: _processes_without_plugin(without_plugin)
