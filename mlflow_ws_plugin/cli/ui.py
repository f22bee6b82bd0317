"""`mlflow-ws ui`."""

from __future__ import annotations

import shlex
import signal
import threading
import webbrowser
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from mlflow_ws_plugin.cli.target import optional_uri, target

if TYPE_CHECKING:
    from mlflow_ws_plugin.serving import Server

__all__ = ["ui"]


@click.command()
@optional_uri
@click.option("--port", default=5000, show_default=True, help="Loopback port; 0 for any free one.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option("--print", "only_print", is_flag=True, help="Print the command, start nothing.")
def ui(uri: str | None, port: int, *, open_page: bool, only_print: bool) -> None:
    """Browse a workspace in MLflow's own UI, until Ctrl-C.

    Starts the stock MLflow server on the workspace's database and artifacts, on this machine only,
    and prints the address of the workspace's page. The other workspaces of the same home are in the
    switcher at the top of that page. URI defaults to MLFLOW_TRACKING_URI, then to the nearest
    config.json.

    \b
    Examples:
      mlflow-ws ui ws://demo
      mlflow-ws ui ws://demo --port 0 --open
      mlflow-ws ui ws://demo --print
    """
    from mlflow_ws_plugin.serving import reserved_port, server_for
    from mlflow_ws_plugin.stores.backend import open_existing

    location = open_existing(target(uri)).location
    # A command that is printed is for later: its port may be taken now.
    with nullcontext(port) if only_print and port else reserved_port(port) as chosen:
        server = server_for(location, chosen)
        if only_print:
            click.echo(shlex.join(["mlflow", *server.arguments]))
        else:
            _serve(server, location.workspace, open_page=open_page)


def _serve(server: Server, workspace: str, *, open_page: bool) -> None:
    from mlflow_ws_plugin.serving import running

    # SIGTERM and SIGHUP stop the server as Ctrl-C does.
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and threading.current_thread() is threading.main_thread():
            signal.signal(getattr(signal, name), _interrupt)
    with running(server) as process:
        click.echo(f"Workspace '{workspace}': {server.page}")
        click.echo("Press Ctrl-C to stop.", err=True)
        if open_page:
            webbrowser.open(server.page)
        try:
            process.wait()
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            return
    raise click.ClickException("The MLflow server ended by itself.")


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
