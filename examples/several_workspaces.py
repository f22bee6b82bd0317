# /// script
# requires-python = ">=3.10"
# dependencies = ["mlflow-ws-plugin"]
# ///
"""Several workspaces in one process: each call lands where its URI says, in threads too.

    python several_workspaces.py

MLflow's fluent functions follow `mlflow.set_tracking_uri`, which is one for the whole process. A
client has a URI of its own, so clients of two workspaces work side by side.
"""

from concurrent.futures import ThreadPoolExecutor

import mlflow
from mlflow import MlflowClient


def one_run(uri: str) -> int:
    """Log one run into the workspace of `uri`; returns how many runs it holds then."""
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = client.get_experiment_by_name("shared-name")
    experiment = found.experiment_id if found else client.create_experiment("shared-name")
    run = client.create_run(experiment, run_name=f"run of {uri.rpartition('/')[2]}")
    for step in range(10):
        client.log_metric(run.info.run_id, "value", step**0.5, step=step)
    client.set_terminated(run.info.run_id)
    return len(client.search_runs([experiment]))


def main() -> None:
    """Two clients in two threads, then the fluent functions on one of the two workspaces."""
    uris = ["ws://team-a", "ws://team-b"]
    with ThreadPoolExecutor() as pool:
        for uri, count in zip(uris, pool.map(one_run, uris), strict=True):
            print(f"{uri} holds {count} runs")

    mlflow.set_tracking_uri("ws://team-b")
    names = mlflow.search_runs(experiment_names=["shared-name"])["tags.mlflow.runName"]
    print(f"team-b sees only its own: {sorted(set(names))}")


if __name__ == "__main__":
    main()
