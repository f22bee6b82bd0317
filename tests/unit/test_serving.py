"""A port is chosen once, and is nobody else's until the server has it."""

from __future__ import annotations

import socket
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

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


def test_a_port_is_free_again_after_the_block() -> None:
    with reserved_port() as port:
        pass
    with reserved_port(port) as again:
        assert again == port


def test_a_port_that_somebody_listens_on_cannot_be_reserved() -> None:
    with (
        socket.create_server((HOST, 0)) as taken,
        pytest.raises(WorkspaceError, match="--port 0"),
        reserved_port(taken.getsockname()[1]),
    ):
        pass
