"""A port that is found is given to nobody else who looks for one, until the server has it."""

from __future__ import annotations

import socket
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from mlflow_ws_plugin import serving
from mlflow_ws_plugin.errors import WorkspaceError
from mlflow_ws_plugin.serving import reserved_port

HOST = "127.0.0.1"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the port is only looked for")
def test_a_reserved_port_is_refused_to_everybody_but_a_server() -> None:
    """A server sets SO_REUSEADDR; who looks for a port does not."""
    with reserved_port() as port:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((HOST, port))
        assert HTTPServer.allow_reuse_address
        with HTTPServer((HOST, port), BaseHTTPRequestHandler) as server:
            assert server.server_port == port
            # It listens, and it is this one that is connected to.
            with socket.create_connection((HOST, port)):
                connection, _ = server.get_request()
                connection.close()


def test_nothing_answers_on_a_reserved_port() -> None:
    """So that whoever waits for the server waits for this one."""
    with reserved_port() as port, pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{HOST}:{port}/health")


def test_a_port_is_let_go_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    def make() -> socket.socket:
        made.append(socket.socket())
        return made[-1]

    monkeypatch.setattr(serving, "socket", SimpleNamespace(**vars(socket) | {"socket": make}))
    with reserved_port():
        pass
    assert [reservation.fileno() for reservation in made] == [-1]


def test_two_reservations_are_two_ports() -> None:
    with reserved_port() as first, reserved_port() as second:
        assert first != second


def test_a_port_that_somebody_listens_on_cannot_be_reserved() -> None:
    with (
        socket.create_server((HOST, 0)) as taken,
        pytest.raises(WorkspaceError, match="--port 0"),
        reserved_port(taken.getsockname()[1]),
    ):
        pass
