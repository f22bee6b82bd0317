# ruff: noqa: T201 - what it prints is compared
"""scikit-learn with autologging, and nothing else of MLflow."""

import json
import sys

import mlflow
import numpy as np
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV

mlflow.sklearn.autolog(log_datasets=True)
x = np.arange(12.0).reshape(6, 2)
LinearRegression().fit(x, x[:, 0])
# For each model MLflow starts a process that finds out what it imports.
mlflow.sklearn.autolog(log_datasets=True, log_models="all" in sys.argv)
with mlflow.start_run(run_name="search"):
    GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2).fit(x, x[:, 0])
runs = mlflow.search_runs(order_by=["attributes.start_time"])
run = mlflow.get_run(runs.run_id[0])
model = mlflow.last_logged_model()
print(
    json.dumps(
        {
            "runs": len(runs),
            "statuses": sorted(runs.status),
            "experiments": sorted(set(runs.experiment_id)),
            "params": run.data.params,
            "metrics": {k: round(v, 6) for k, v in run.data.metrics.items()},
            "tags": sorted(k for k in run.data.tags),
            "datasets": [d.dataset.name for d in run.inputs.dataset_inputs],
            "artifacts": sorted(
                f.path for f in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)
            ),
            "children": int((runs.get("tags.mlflow.parentRunId").notna()).sum()),
            "models": len(mlflow.search_logged_models(output_format="list")),
            "location": model.artifact_location,
            "prediction": mlflow.pyfunc.load_model(f"models:/{model.model_id}").predict(x).shape,
        }
    )
)
