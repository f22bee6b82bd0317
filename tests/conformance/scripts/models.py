# ruff: noqa: T201 - what it prints is compared
"""Logs, registers and loads models, and names no experiment."""

import json

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

x = pd.DataFrame({"a": np.arange(6.0), "b": np.arange(6.0)})
fitted = LinearRegression().fit(x, x.a)
signature = infer_signature(x, fitted.predict(x))
with mlflow.start_run(run_name="train") as run:
    info = mlflow.sklearn.log_model(
        fitted, name="net", signature=signature, input_example=x[:2], registered_model_name="Net"
    )
    data = mlflow.data.from_pandas(x, name="xs")
    mlflow.log_input(data, context="training")
    mlflow.log_metric("loss", 0.5, dataset=data, model_id=info.model_id)
alone = mlflow.sklearn.log_model(fitted, name="alone", pip_requirements=[])
version = mlflow.register_model(alone.model_uri, "Net", tags={"k": "v"})
client = mlflow.MlflowClient()
client.set_registered_model_alias("Net", "best", "2")
external = mlflow.create_external_model(name="elsewhere", params={"p": "1"})
with mlflow.start_run(run_name="empty"):
    by_run = mlflow.register_model(f"runs:/{run.info.run_id}/net", "Other")


def predict(uri):
    return np.round(mlflow.pyfunc.load_model(uri).predict(x[:2]), 6).tolist()


stored = client.get_model_version("Net", "1")
model = mlflow.get_logged_model(info.model_id)
print(
    json.dumps(
        {
            "uri": info.model_uri,
            "artifact_path": info.artifact_path,
            "location": model.artifact_location,
            "model": [
                model.name,
                model.experiment_id,
                str(model.status),
                model.source_run_id,
                [[m.key, m.value, m.dataset_name] for m in model.metrics],
            ],
            "flavors": sorted(mlflow.models.get_model_info(info.model_uri).flavors),
            "predictions": [
                predict(uri)
                for uri in (
                    info.model_uri,
                    f"runs:/{run.info.run_id}/net",
                    "models:/Net/1",
                    "models:/Net@best",
                    "models:/Net/latest",
                    alone.model_uri,
                )
            ],
            "native": type(mlflow.sklearn.load_model("models:/Net/1")).__name__,
            "stored": [stored.source, stored.run_id, stored.model_id, str(stored.status)],
            "download": client.get_model_version_download_uri("Net", "1"),
            "registered": [version.version, by_run.version, by_run.source],
            "files": sorted(f.path for f in mlflow.artifacts.list_artifacts(info.model_uri)),
            "external": [external.name, external.experiment_id, external.params],
            "found": sorted(m.name for m in mlflow.search_logged_models(output_format="list")),
            "versions": sorted((v.name, str(v.version)) for v in mlflow.search_model_versions()),
            "outputs": len(mlflow.get_run(run.info.run_id).outputs.model_outputs),
        }
    )
)
