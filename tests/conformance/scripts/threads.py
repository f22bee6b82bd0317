# ruff: noqa: T201 - what it prints is compared
"""Threads and child processes log what the main thread has set up."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import mlflow

mlflow.set_experiment("parallel")
CHILD = "import mlflow; mlflow.log_metric('from_child', 1)"


def log(i):
    with mlflow.start_run(run_name=f"run {i}", nested=True):
        for step in range(5):
            mlflow.log_metric("loss", i * step, step=step)
        mlflow.log_text(str(i), "i.txt")
    return i


with ThreadPoolExecutor(4) as pool:
    done = sorted(pool.map(log, range(8)))
with mlflow.start_run(run_name="parent") as run:
    import os

    environment = {**os.environ, "MLFLOW_RUN_ID": run.info.run_id}
    subprocess.run([sys.executable, "-W", "ignore", "-c", CHILD], check=True, env=environment)
    mlflow.log_metric("later", 1, synchronous=False)
mlflow.flush_async_logging()
frame = mlflow.search_runs(order_by=["tags.mlflow.runName"])
print(
    json.dumps(
        {
            "done": done,
            "names": frame["tags.mlflow.runName"].tolist(),
            "statuses": sorted(set(frame.status)),
            "losses": frame["metrics.loss"].dropna().tolist(),
            "parent": mlflow.get_run(run.info.run_id).data.metrics,
        }
    )
)
