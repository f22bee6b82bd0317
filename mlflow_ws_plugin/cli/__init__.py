"""The command `mlflow-ws`."""

from __future__ import annotations

import click

from mlflow_ws_plugin.cli.doctor import doctor
from mlflow_ws_plugin.cli.env import env
from mlflow_ws_plugin.cli.runs import runs
from mlflow_ws_plugin.cli.ui import ui
from mlflow_ws_plugin.cli.upgrade import upgrade
from mlflow_ws_plugin.cli.workspace import workspace

__all__ = ["main"]


class _Commands(click.Group):
    """Prints errors of the plugin and of MLflow as one message, no traceback; exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            # Imported late: `mlflow-ws --help` must not wait for MLflow.
            from mlflow.exceptions import MlflowException

            if isinstance(error, MlflowException):
                raise click.ClickException(str(error.message)) from error
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mlflow-ws-plugin")
def main() -> None:
    """MLflow workspaces that one URI names.

    \b
    Example:
      MLFLOW_TRACKING_URI=ws://demo python train.py
      mlflow-ws ui ws://demo
    """


for command in (doctor, env, runs, ui, upgrade, workspace):
    main.add_command(command)
