"""Make the README's pictures again: `python docs/pictures.py`.

Runs the example into a workspace of its own, serves it with `mlflow-ws ui`, and photographs three
pages with Chromium. Needs the packages of the extra `test` and Debian's `chromium`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
SETTLE_MS = 2_500  # MLflow's charts and images fade in
# The panel on the right is not what the pictures are about.
WITHOUT_ASSISTANT = {"x": 0, "y": 0, "width": 945, "height": 720}


def main() -> None:
    """Write `chart.png`, `figure.png` and `model.png` beside this file."""
    with tempfile.TemporaryDirectory() as directory:
        uri = f"ws://{directory}/home/demo"
        environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
        example = DOCS.parent / "examples" / "train.py"
        subprocess.run([sys.executable, example], env=environment, cwd=directory, check=True)
        client = MlflowClient(uri, uri)
        experiment = client.get_experiment_by_name("digits")
        [run] = client.search_runs([experiment.experiment_id], "run_name = 'search'")
        path = f"#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}"
        pages = {
            "chart": (f"{path}/model-metrics", ".js-plotly-plot path.js-line"),
            "figure": (f"{path}/artifacts/confusion_matrix.png", "img[src^='blob:']"),
            "model": ("#/models/digits/versions/1", "h2"),
        }
        command = [sys.executable, "-m", "mlflow_ws_plugin.cli", "ui", uri, "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            address = re.search(r"http://[^/]+", server.stdout.readline())[0]
            photograph(address, pages)
            server.terminate()


def photograph(address: str, pages: dict[str, tuple[str, str]]) -> None:
    """One picture per page, once the element that matters is there."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        for name, (path, element) in pages.items():
            page.goto(f"{address}/{path}?workspace=demo")
            page.locator(element).first.wait_for(state="attached")
            page.wait_for_timeout(SETTLE_MS)
            page.screenshot(path=DOCS / f"{name}.png", clip=WITHOUT_ASSISTANT)
        browser.close()


if __name__ == "__main__":
    main()
