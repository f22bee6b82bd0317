# ruff: noqa: T201 - what it prints is compared
"""Says which experiment its runs land in: by the environment alone, or by `set_experiment`."""

import json
import sys

import mlflow
from mlflow.tracking.fluent import _get_experiment_id

if len(sys.argv) > 1:
    key, value = sys.argv[1].split("=")
    experiment = mlflow.set_experiment(**{key: value})
with mlflow.start_run(run_name="first") as run:
    mlflow.log_metric("m", 1)


@mlflow.trace
def traced():
    return 1


traced()
mlflow.flush_trace_async_logging()
name = mlflow.get_experiment(run.info.experiment_id).name
print(
    json.dumps(
        {
            "id": run.info.experiment_id,
            "name": name,
            "chosen": mlflow.get_experiment(_get_experiment_id()).name,
            "found": len(mlflow.search_runs()),
            "by name": len(mlflow.search_runs(experiment_names=[name])),
            "traces": len(mlflow.search_traces(return_type="list")),
            "experiments": sorted(e.name for e in mlflow.search_experiments()),
        }
    )
)
