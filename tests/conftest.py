"""What holds for every test, and what a run leaves for those who judge it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

# Before MLflow is imported anywhere: a test run is no usage to report.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"

# A shell starts what runs in its background with Ctrl-C ignored, and a test's processes inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
