"""The project's tasks: `nox -l` lists them, `nox` runs what CI runs.

Every session installs what `constraints.txt` says, but for `lowest` and `newest`, which are there
to look beyond it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["check", "test", "wheel"]

ROOT = Path(__file__).parent
CONSTRAINTS = ROOT / "constraints.txt"


def _constrain(session: nox.Session, constraints: Path | None) -> None:
    """For pip and uv, which ignore an empty variable; what the caller has set is none of ours."""
    session.env["PIP_CONSTRAINT"] = session.env["UV_CONSTRAINT"] = str(constraints or "")


def _run_suite(session: nox.Session) -> None:
    session.run("python", "-m", "pytest", "-n", "auto", *session.posargs)


def _run_tier(session: nox.Session, marker: str, *options: str) -> None:
    """The tests of a marker, which the suite leaves out."""
    _constrain(session, CONSTRAINTS)
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-m", marker, *options, *session.posargs)


@nox.session
def check(session: nox.Session) -> None:
    """Format, lint, types and the layer contract."""
    _constrain(session, CONSTRAINTS)
    session.install("-e", ".[dev]")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session
def test(session: nox.Session) -> None:
    """The suite, as CI runs it. Arguments after `--` go to pytest, here and below."""
    _constrain(session, CONSTRAINTS)
    session.install("-e", ".[test]")
    _run_suite(session)


@nox.session
def soak(session: nox.Session) -> None:
    """Full counts and long loops of what the suite does once."""
    _run_tier(session, "soak", "-n", "auto")


@nox.session
def doors(session: nox.Session) -> None:
    """The core of the conformance suites, on every door but the embedded one."""
    _run_tier(session, "doors", "-n", "auto")


@nox.session
def versions(session: nox.Session) -> None:
    """Beside other MLflow minors, each in an environment of its own; needs the index."""
    _run_tier(session, "versions")


@nox.session
def bench(session: nox.Session) -> None:
    """What compares times, one after the other and with its figures; on a quiet machine."""
    _run_tier(session, "bench", "-s")


@nox.session
def shuffled(session: nox.Session) -> None:
    """The suite in random order, which no test may notice; `-- --randomly-seed=N` repeats one."""
    _constrain(session, CONSTRAINTS)
    session.install("-e", ".[test]", "pytest-randomly")
    _run_suite(session)


@nox.session
def lowest(session: nox.Session) -> None:
    """The suite on the lowest MLflow that `pyproject.toml` allows, with the newest of all else.

    Not with what is locked: an older MLflow refuses newer releases of others by its metadata.
    """
    _constrain(session, None)
    session.install("-e", ".[test]", f"mlflow~={_lowest_mlflow()}.0")
    _run_suite(session)


@nox.session(venv_backend="venv", reuse_venv=False)
def newest(session: nox.Session) -> None:
    """The suite on what the index gives today. It may break any day, which is what it is for."""
    _constrain(session, None)
    session.install("-e", ".[test]")
    _say_what_pip_passed_over(session)
    _run_suite(session)


@nox.session(venv_backend="venv", reuse_venv=False)
def lock(session: nox.Session) -> None:
    """Write `constraints.txt`: every package that the other sessions use, as of today."""
    _constrain(session, None)
    session.install("-e", ".[dev]", "build", "hatchling", "pytest-randomly")
    frozen = session.run("python", "-m", "pip", "freeze", "--exclude-editable", silent=True)
    assert isinstance(frozen, str)
    lines = sorted({line for line in frozen.splitlines() if "==" in line}, key=str.lower)
    head = f"# Python {'.'.join(map(str, sys.version_info[:2]))}. Written by `nox -s lock`.\n"
    CONSTRAINTS.write_text(head + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    session.log(f"{len(lines)} packages. Now run the suite on them: nox -s check test wheel")


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel, without any development dependency, runs the main job."""
    _constrain(session, CONSTRAINTS)
    session.install("build")
    dist = Path(session.create_tmp()) / "dist"
    session.run("python", "-m", "build", "--wheel", "--outdir", str(dist), silent=True)
    built = max(dist.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    clean = Path(session.create_tmp()) / "clean"
    session.run("python", "-m", "venv", "--clear", str(clean))
    python = str(clean / ("Scripts" if os.name == "nt" else "bin") / "python")
    pip = [python, "-m", "pip", "install"]
    if session.venv_backend == "uv":
        pip = ["uv", "pip", "install", "--python", python]
    session.run(*pip, "-q", f"{built}[examples]", external=True)
    home = clean / "home"
    with session.chdir(clean):
        session.run(
            python,
            str(ROOT / "examples" / "train.py"),
            external=True,
            env={"MLFLOW_TRACKING_URI": "ws://demo", "MLFLOW_WS_HOME": str(home)},
        )
    assert (home / "workspaces.db").exists()


def _lowest_mlflow() -> str:
    """The lower bound, read from the metadata: there is one place to change."""
    match = re.search(r'"mlflow>=([0-9.]+),', (ROOT / "pyproject.toml").read_text())
    assert match is not None
    return match[1]


def _say_what_pip_passed_over(session: nox.Session) -> None:
    """Pip steps back silently where a release cannot be installed, half of it missing perhaps."""
    shown = session.run("python", "-m", "pip", "index", "versions", "mlflow", silent=True)
    found = dict(re.findall(r"(INSTALLED|LATEST): +(\S+)", str(shown)))
    session.log(f"MLflow {found.get('INSTALLED')}; the newest on the index: {found.get('LATEST')}")
    if found.get("INSTALLED") != found.get("LATEST"):
        session.warn(
            f"MLflow {found.get('LATEST')} is listed and was not installed. Why: "
            f"pip install 'mlflow=={found.get('LATEST')}'"
        )
