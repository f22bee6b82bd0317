"""What holds for every test, and what a run leaves for those who judge it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import programs
import pytest
import warm

# Before MLflow is imported anywhere: a test run is no usage to report.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"

# A shell starts what runs in its background with Ctrl-C ignored, and a test's processes inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes in the home directory of who runs it."""
    # One for all workers, because Matplotlib spends seconds on its list of fonts in a new one.
    temporary = tmp_path_factory.getbasetemp()
    home = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "user"
    home.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield home


# Helpers are fixtures, because several directories have a `conftest` that a test could import.


@pytest.fixture(scope="session")
def clean_environment(own_home: Path) -> Callable[..., dict[str, str]]:
    return programs.clean_environment


@pytest.fixture(scope="session")
def scripts(own_home: Path) -> Iterator[warm.Interpreter]:
    """Runs scripts as processes of their own, without two seconds of imports for each."""
    interpreter = warm.Interpreter(sys.executable, programs.clean_environment())
    assert interpreter.works()
    yield interpreter
    interpreter.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--outcome", metavar="FILE", help="write what failed, and how, to FILE as JSON (for CI)"
    )


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--outcome")
    # Workers report to the process that started them.
    if file and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Outcome(Path(file)))


class _Outcome:
    """Collects failures: of tests by their id, of what comes before any test, of a whole worker."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._failed: dict[str, str] = {}
        self._broken: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            # A test can fail and its teardown too: the first says why.
            self._failed.setdefault(report.nodeid, report.longreprtext)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._broken.append(f"{report.nodeid}\n{report.longreprtext}")

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        self._broken.append(f"{crashitem}\na worker crashed")

    def pytest_sessionfinish(self, exitstatus: Any) -> None:
        outcome = {"status": int(exitstatus), "failed": self._failed, "broken": self._broken}
        self._file.write_text(json.dumps(outcome), encoding="utf-8")
