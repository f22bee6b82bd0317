"""The stock MLflow UI, in a real browser, on a workspace that `mlflow-ws ui` serves."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from programs import clean_environment, run_python

mpl.use("Agg")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TIMEOUT_MS = 60_000
POINTS = 40

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (apt-get install it)"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two workspaces: `demo` with a run, a figure, a model and a trace, and `other` with a run."""
    home = tmp_path_factory.mktemp("browser") / "home"
    script = """
import sys, matplotlib, mlflow
from matplotlib.figure import Figure
from mlflow.entities import Metric
matplotlib.use("Agg")
home = sys.argv[1]
mlflow.set_tracking_uri(f"ws://{home}/demo")
mlflow.set_experiment("digits")
class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, model_input: list[str]) -> list[str]:
        return model_input
with mlflow.start_run(run_name="training") as run:
    for step in range(40):
        mlflow.log_metric("loss", step % 2, step=step)  # no point can be left out
    figure = Figure(); figure.subplots().plot([3, 1, 2])
    mlflow.log_figure(figure, "figure.png")
    mlflow.pyfunc.log_model(
        name="echo", python_model=Echo(), registered_model_name="echoes", pip_requirements=[]
    )
with mlflow.start_span("answer") as span:
    span.set_inputs({"question": "what is six times seven"})
mlflow.flush_trace_async_logging()
mlflow.set_tracking_uri(f"ws://{home}/other")
mlflow.set_experiment("elsewhere")
with mlflow.start_run(run_name="hidden"):
    mlflow.log_metric("loss", 1)
"""
    run_python("-c", script, home, env=clean_environment())
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """What `mlflow-ws ui` prints, without the page."""
    with subprocess.Popen(
        [sys.executable, "-m", "mlflow_ws_plugin.cli", "ui", f"ws://{home}/demo", "--port", "0"],
        # Without MLflow's job runner and its seven processes.
        env=clean_environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://[^/]+", process.stdout.readline())
        assert found
        yield found[0]
        process.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            # The sandbox needs a user namespace; the rest keeps the browser off the network.
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(TIMEOUT_MS)
    # On the first visit of an experiment with traces MLflow 3.17 explains its issue detection: some
    # time after the page is there, and then nothing else can be clicked, nor does Escape close it.
    page.add_locator_handler(
        page.locator("[data-component-id='mlflow.detect_issues.guidance']").first,
        lambda: page.get_by_role("button", name="Got it").click(),
    )
    yield page
    page.close()


@pytest.fixture(scope="module")
def run_page(home: Path, address: str) -> str:
    """The address of the run's page, up to the tab."""
    client = MlflowClient(f"ws://{home}/demo", f"ws://{home}/demo")
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    return f"{address}/#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}"


def test_the_printed_page_leads_to_the_run(page: Page, address: str) -> None:
    """Workspace, experiment, run: by clicks alone."""
    page.goto(f"{address}/#/experiments?workspace=demo")
    page.get_by_role("link", name="digits").click()
    click_until_seen(
        page.get_by_text("Training runs").first,
        page.get_by_role("link", name="training", exact=True),
    )


def click_until_seen(link: Locator, goal: Locator) -> None:
    """As a user does: MLflow goes on to the overview some time later; a click before is lost."""
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    while not goal.is_visible():
        assert time.monotonic() < deadline, f"{goal} did not appear"
        link.click()
        with contextlib.suppress(PlaywrightTimeout):
            goal.wait_for(timeout=5_000)


def test_the_metric_chart_is_drawn(page: Page, run_page: str) -> None:
    """The chart of `loss` has a line with as many points as were logged."""
    page.goto(f"{run_page}/model-metrics?workspace=demo")
    line = page.locator(".js-plotly-plot path.js-line").first
    line.wait_for(state="attached")
    points = re.findall(r"[ML]", line.get_attribute("d") or "")
    assert len(points) == POINTS


def test_the_artifact_preview_shows_the_figure(page: Page, run_page: str) -> None:
    """The image's bytes came through the server: the browser knows its width."""
    page.goto(f"{run_page}/artifacts/figure.png?workspace=demo")
    image = page.locator("img[src^='blob:'], img[src*='figure.png']").first
    image.wait_for(state="visible")
    page.wait_for_function("image => image.naturalWidth > 100", arg=image.element_handle())


def test_the_registered_model_is_listed(page: Page, address: str) -> None:
    """With its version."""
    page.goto(f"{address}/#/models/echoes/versions/1?workspace=demo")
    expect(page.get_by_role("heading", name="Version 1")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.get_by_role("link", name="training")).to_be_visible(timeout=TIMEOUT_MS)


def test_the_trace_is_listed(page: Page, run_page: str) -> None:
    """With its input."""
    page.goto(f"{run_page.partition('/runs/')[0]}/traces?workspace=demo")
    expect(page.get_by_text("what is six times seven").first).to_be_visible(timeout=TIMEOUT_MS)


def test_another_workspace_shows_its_own_runs_only(page: Page, address: str) -> None:
    """After the switch at the top of the page, `digits` is not there."""
    page.goto(f"{address}/#/experiments?workspace=demo")
    expect(page.get_by_role("link", name="digits")).to_be_visible(timeout=TIMEOUT_MS)
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="other").click()
    page.goto(f"{address}/#/experiments?workspace=other")
    expect(page.get_by_role("link", name="elsewhere")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.get_by_role("link", name="digits")).to_have_count(0)
