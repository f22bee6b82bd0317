"""`mlflow-ws doctor`."""

from __future__ import annotations

import dataclasses

import click

from mlflow_ws_plugin.cli.output import output_option, print_json
from mlflow_ws_plugin.cli.target import optional_uri, target

__all__ = ["doctor"]


@click.command()
@optional_uri
@click.option("--write", is_flag=True, help="Also try to write; nothing stays behind.")
@output_option
def doctor(uri: str | None, output: str, *, write: bool) -> None:
    """Find out what is wrong with a workspace URI. Exit code 1 if anything is.

    Says what the URI resolves to, the versions, the schema, the permissions and the file system.
    Each line is ok, or says what to do. Creates nothing.

    \b
    Examples:
      mlflow-ws doctor ws://demo
      mlflow-ws doctor ws://demo --write
    """
    from mlflow_ws_plugin.diagnosis import diagnose

    findings = list(diagnose(target(uri), write=write))
    if output == "json":
        print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{'ok' if finding.ok else 'BAD':<4} {finding.what:<17} {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)
