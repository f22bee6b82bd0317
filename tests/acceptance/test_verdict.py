"""What CI makes of failed tests: red, and what failed at the end; or green, and FLAKY."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project with the `.venv` that the README makes; here it is the tests' own."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return tmp_path


def judge(checkout: Path, code: str, *options: str) -> tuple[int, str]:
    """Run `code` as tests, then the verdict where they fail; the last exit code and all lines."""
    (checkout / "test_toy.py").write_text(code)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    env = {**kept, "PYTHONPATH": str(ROOT / "tests"), "PYTEST_PLUGINS": "conftest"}
    outcome = checkout / "outcome.json"
    pytest_ = [".venv/bin/python", "-m", "pytest", "--outcome", str(outcome), *options]
    verdict = [sys.executable, str(ROOT / ".ci" / "verdict"), str(checkout), str(outcome)]
    output = ""
    for command in (pytest_, verdict):
        done = subprocess.run(
            command,
            cwd=checkout,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        output += done.stdout
        if done.returncode == 0:
            break
    return done.returncode, output


FAILS_ONCE = """
import pathlib, pytest
@pytest.mark.parametrize("name", ["a", "b c/[é]"])
def test_toy(name):
    seen = pathlib.Path(f"seen-{name[0]}")
    if not seen.exists():
        seen.touch()
        raise ValueError(f"the first time of {name}")
"""


def test_what_passes_alone_is_green_and_named_with_its_first_traceback(checkout: Path) -> None:
    code, output = judge(checkout, FAILS_ONCE, "-n", "1")
    assert code == 0, output
    end = output[output.index("\nFLAKY: ") :]
    assert "FLAKY test_toy.py::test_toy[a]\n" in end
    assert "ValueError: the first time of a" in end
    assert end.count("\nFLAKY test_toy.py::test_toy[") == 2


FAILS_AGAIN = """
def test_passes(): pass
def test_toy(): raise ValueError("each time")
"""


def test_what_fails_alone_too_is_red_and_the_end_says_what_it_was(checkout: Path) -> None:
    code, output = judge(checkout, FAILS_AGAIN)
    assert code == 1
    assert output.count("1 failed") >= 2
    assert "E   ValueError: each time" in output[output.index("\nFAILED: 1 tests") :]
    assert output.endswith("\nFAILED test_toy.py::test_toy\n")


MANY_FAIL = """
import pathlib, pytest
@pytest.mark.parametrize("number", range(4))
def test_toy(number):
    runs = pathlib.Path("runs")
    runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
    assert runs.stat().st_size > 4
"""


def test_more_than_three_failures_are_red_at_once(checkout: Path) -> None:
    code, output = judge(checkout, MANY_FAIL)
    assert code == 1
    assert "FAILED: 4 tests" in output
    assert (checkout / "runs").read_text() == "xxxx"


CRASHES_ONCE = """
import os, pathlib
def test_toy():
    if not pathlib.Path("seen").exists():
        pathlib.Path("seen").touch()
        os._exit(1)
"""


@pytest.mark.parametrize(
    ("code", "options", "said"),
    [
        pytest.param(CRASHES_ONCE, ["-n", "1"], "a worker crashed", id="crash"),
        pytest.param("import nothing_of_this_name", [], "ModuleNotFoundError", id="collection"),
        pytest.param("", [], "pytest's code 5", id="no tests"),
        pytest.param("", ["--no-such-option"], "did not come to its end", id="not run at all"),
    ],
)
def test_what_is_no_failure_of_a_test_is_red_at_once(
    checkout: Path, code: str, options: list[str], said: str
) -> None:
    exit_code, output = judge(checkout, code, *options)
    assert exit_code == 1
    assert said in output
