"""The project's tasks: `nox -l` lists them, `nox` runs what CI runs.

`nox -s test` runs the suite on the lowest and on the newest MLflow that `pyproject.toml` allows.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["check", "test", "wheel"]

ROOT = Path(__file__).parent


def _lowest_mlflow() -> str:
    """The lower bound, read from the metadata: there is one place to change."""
    match = re.search(r'"mlflow>=([0-9.]+),', (ROOT / "pyproject.toml").read_text())
    assert match is not None
    return match[1]


@nox.session
def check(session: nox.Session) -> None:
    """Format, lint, types and the layer contract."""
    session.install("-e", ".[dev]")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
@nox.parametrize("mlflow", ["lowest", "newest"])
def test(session: nox.Session, mlflow: str) -> None:
    """The whole suite. Arguments after `--` go to pytest."""
    wanted = f"mlflow~={_lowest_mlflow()}.0" if mlflow == "lowest" else "mlflow<4"
    session.install("-e", ".[test]", wanted)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel, without any development dependency, runs the main job."""
    session.install("build")
    dist = Path(session.create_tmp()) / "dist"
    session.run("python", "-m", "build", "--wheel", "--outdir", str(dist), silent=True)
    built = max(dist.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    clean = Path(session.create_tmp()) / "clean"
    session.run("python", "-m", "venv", "--clear", str(clean))
    python = str(clean / ("Scripts" if os.name == "nt" else "bin") / "python")
    session.run(python, "-m", "pip", "install", "-q", f"{built}[examples]", external=True)
    home = clean / "home"
    with session.chdir(clean):
        session.run(
            python,
            str(ROOT / "examples" / "train.py"),
            external=True,
            env={"MLFLOW_TRACKING_URI": "ws://demo", "MLFLOW_WS_HOME": str(home)},
        )
    assert (home / "workspaces.db").exists()
