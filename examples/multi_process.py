# /// script
# requires-python = ">=3.10"
# dependencies = ["mlflow-ws-plugin"]
# ///
"""Distributed training in shape: four ranks, one run.

    MLFLOW_TRACKING_URI=ws://demo python multi_process.py

Rank 0 would be the trainer's main process; here the parent starts the run and hands its id to the
ranks, as torchrun's launchers do by an argument or a variable. The ranks are spawned, so they find
the workspace by the environment alone, and each works in a directory of its own.
"""

import multiprocessing
import os
import tempfile

import mlflow

RANKS = 4
STEPS = 25


def train(rank: int, run_id: str) -> None:
    """What one rank does: its own metrics, in the run of all."""
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        client = mlflow.MlflowClient()
        for step in range(STEPS):
            client.log_metric(run_id, f"loss/rank{rank}", 1.0 / (1 + step + rank), step=step)
        client.set_tag(run_id, f"rank{rank}", "done")
        os.chdir("/")


def main() -> None:
    """Start the run, let the ranks log into it, and look at what is there."""
    mlflow.set_experiment("multi-process")
    with mlflow.start_run(run_name="four ranks") as run:
        mlflow.log_param("ranks", RANKS)
        context = multiprocessing.get_context("spawn")
        ranks = [context.Process(target=train, args=(i, run.info.run_id)) for i in range(RANKS)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join()

    client = mlflow.MlflowClient()
    for rank in range(RANKS):
        history = client.get_metric_history(run.info.run_id, f"loss/rank{rank}")
        print(f"rank {rank}: {len(history)} points")


if __name__ == "__main__":
    main()
