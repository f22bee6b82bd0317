"""Processes of their own: scripts, and MLflow servers that do not see this plugin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import warm

from mlflow_ws_plugin.serving import reserved_port

_DEADLINE_S = 120

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
class Server:
    """A running `mlflow server`."""

    url: str
    process_id: int


@pytest.fixture(scope="session")
def without_plugin(
    tmp_path_factory: pytest.TempPathFactory, clean_environment: Callable[..., dict[str, str]]
) -> dict[str, str]:
    """An environment in which every Python process is one that never had this plugin."""
    directory = tmp_path_factory.mktemp("without-plugin")
    (directory / "sitecustomize.py").write_text(_HIDE_PLUGIN)
    return clean_environment(PYTHONPATH=str(directory))


@pytest.fixture(scope="session")
def scripts_without_plugin(without_plugin: dict[str, str]) -> Iterator[warm.Interpreter]:
    """Runs scripts as `scripts` does, where this plugin was never installed."""
    interpreter = warm.Interpreter(sys.executable, without_plugin, imports=warm.IMPORTS)
    assert interpreter.works()
    yield interpreter
    interpreter.close()


def _processes_without_plugin(environment: Mapping[str, str]) -> dict[int, int]:
    """The processes that ran in `environment`, each with the entry points of ours that it saw."""
    lines = (Path(environment["PYTHONPATH"]) / "processes").read_text().split("\n")
    return {int(pid): int(count) for pid, count in (line.split() for line in lines if line)}


@contextmanager
def _serve(*command: str, cwd: Path, env: Mapping[str, str]) -> Iterator[Server]:
    """A command that starts an MLflow server; killed with all its workers afterwards."""
    log = cwd / "server.log"
    with reserved_port() as port, log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--workers", "1"],
            cwd=cwd,
            env=dict(env),
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
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(_DEADLINE_S)


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=_DEADLINE_S):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"The server did not come up.\n{log.read_text()}")


# Helpers are fixtures, because several directories have a `conftest` that a test could import.


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Server]]:
    return _serve


@pytest.fixture(scope="session")
def processes_without_plugin(without_plugin: dict[str, str]) -> Callable[[], dict[int, int]]:
    return lambda: _processes_without_plugin(without_plugin)
