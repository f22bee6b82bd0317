"""Starting the stock MLflow server on a workspace's database."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from mlflow_ws_plugin.errors import BackendUnavailable, WorkspaceError
from mlflow_ws_plugin.location import Location

__all__ = ["Server", "reserved_port", "running", "server_for"]

_HOST: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 120
_STOP_TIMEOUT_S: Final = 10
# What a client's shell sets and a server must not see: it would pin, move or refuse requests.
_NOT_FOR_SERVERS: Final = frozenset(
    {
        "MLFLOW_ARTIFACTS_DESTINATION",
        "MLFLOW_BACKEND_STORE_URI",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT",
        "MLFLOW_ENABLE_WORKSPACES",
        "MLFLOW_EXPERIMENT_ID",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_REGISTRY_STORE_URI",
        "MLFLOW_REGISTRY_URI",
        "MLFLOW_RUN_ID",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_WORKSPACE",
        "MLFLOW_WORKSPACE_STORE_URI",
    }
)


@dataclass(frozen=True, slots=True)
class Server:
    """A stock MLflow server that is not yet running.

    Attributes:
        arguments: What follows `mlflow` on its command line; holds no secret.
        address: `http://host:port`.
        page: The page of the workspace in MLflow's UI.
    """

    arguments: tuple[str, ...]
    address: str
    page: str


def server_for(location: Location, port: int) -> Server:
    """The stock server that shows `location`, on loopback only.

    Raises:
        WorkspaceError: MLflow's server cannot name that database.
    """
    if "?" in location.database.as_posix():
        raise WorkspaceError(
            f"{location.database} has a '?' in its name, where MLflow's server would end it. "
            "Rename the directory; a home can be moved as a whole."
        )
    address = f"http://{_HOST}:{port}"
    arguments = (
        "server",
        "--backend-store-uri",
        f"sqlite:///{location.database.as_posix()}",
        "--enable-workspaces",
        "--artifacts-destination",
        str(location.artifact_root),
        "--host",
        _HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    )
    page = f"{address}/#/experiments?workspace={quote(location.workspace)}"
    return Server(arguments, address, page)


@contextlib.contextmanager
def reserved_port(port: int = 0) -> Iterator[int]:
    """A loopback port, any free one for 0, for a server that is started in the block.

    MLflow's server has to be told its port: with 0 it would find one, and tell its own workers 0.
    On Linux the port stays bound here without being listened on. A server binds it too, because it
    sets SO_REUSEADDR, as all of MLflow's do; the kernel gives it to nobody who asks for any port. A
    program that is told the same number can still be first. Elsewhere, the port is only known to be
    free at the beginning.

    Raises:
        WorkspaceError: The port is taken.
    """
    with socket.socket() as reservation:
        if port:
            # Not refused because of connections to a server that was stopped a minute ago.
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reservation.bind((_HOST, port))
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except OSError as error:
            raise WorkspaceError(
                f"Port {port} on {_HOST} cannot be used: {error.strerror}. Choose another one with "
                "--port, or --port 0 for any free one."
            ) from error
        number: int = reservation.getsockname()[1]
        if sys.platform != "linux":
            reservation.close()
        yield number


@contextlib.contextmanager
def running(server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server, wait until it answers, and stop it with all its children at the end.

    Raises:
        BackendUnavailable: The server ended, or did not answer in time; with its last words.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter, a list of words
            [sys.executable, "-m", "mlflow", *server.arguments],
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, server.address, lambda: _tail(log.fileno()))
            yield process
        finally:
            _stop(process)


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in inherited.items() if key not in _NOT_FOR_SERVERS}


def _wait_until_ready(
    process: subprocess.Popen[bytes], address: str, last_words: Callable[[], str]
) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):  # noqa: S310  # http
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    how = "did not answer in time" if process.poll() is None else "ended at start"
    raise BackendUnavailable(f"The MLflow server {how}. Its last words:\n{last_words()}")


def _tail(log: int, lines: int = 12) -> str:
    size = os.fstat(log).st_size
    text = os.pread(log, 16_384, max(0, size - 16_384)).decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server's whole process group: first politely, then surely."""
    if os.name == "nt":
        process.terminate()
        process.wait()
        return
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_TIMEOUT_S)
