"""`python -m mlflow_ws_plugin.cli`."""

from mlflow_ws_plugin.cli import main

main(prog_name="mlflow-ws")
