# ruff: noqa: T201 - what it prints is compared
"""Logs with the fluent functions and names no experiment."""

import json

import mlflow

with mlflow.start_run(run_name="first") as run:
    mlflow.log_param("rate", 0.1)
    mlflow.log_params({"depth": 3, "name": "ü"})
    for step in range(3):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"acc": 0.5, "nan": float("nan")}, step=2)
    mlflow.set_tags({"colour": "blue", "n": 1})
    mlflow.log_text("hello", "notes/hello.txt")
    mlflow.log_dict({"a": 1}, "config.json")
    with mlflow.start_run(run_name="child", nested=True) as child:
        mlflow.log_metric("inner", 1)

try:
    with mlflow.start_run(run_name="broken"):
        mlflow.log_param("rate", 1)
        mlflow.log_param("rate", 2)
except mlflow.MlflowException as error:
    refused = error.error_code

finished = mlflow.get_run(run.info.run_id)
frame = mlflow.search_runs(order_by=["attributes.start_time"])
print(
    json.dumps(
        {
            "refused": refused,
            "experiment": finished.info.experiment_id,
            "default": mlflow.get_experiment("0").experiment_id,
            "by name": mlflow.get_experiment_by_name("Default").experiment_id,
            "run": finished.data.to_dictionary(),
            "status": finished.info.status,
            "artifacts": finished.info.artifact_uri,
            "parent": mlflow.get_parent_run(child.info.run_id).info.run_id,
            "history": [
                (m.step, m.value)
                for m in mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
            ],
            "columns": sorted(frame.columns),
            "found": frame[["tags.mlflow.runName", "status", "experiment_id"]].values.tolist(),
            "all": len(mlflow.search_runs(search_all_experiments=True)),
            "text": mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes/hello.txt"),
            "dict": mlflow.artifacts.load_dict(finished.info.artifact_uri + "/config.json"),
            "listed": [f.path for f in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)],
            "last": mlflow.last_active_run().info.run_name,
        }
    )
)
