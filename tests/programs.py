"""Interpreters of a test's own, with nothing of the user's MLflow set."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_DEADLINE_S = 180


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without any setting of MLflow, with `variables`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW_"))}
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", **variables}


def run_python(
    *words: str | Path, env: Mapping[str, str], cwd: str | Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python WORDS` to its good end, in a new interpreter."""
    done = subprocess.run(
        [sys.executable, *words],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
