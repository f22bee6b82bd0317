# ruff: noqa: T201 - what it prints is compared
"""Only reads, in a workspace that does not exist yet."""

import json

import mlflow


def code(call, *args, **kwargs):
    try:
        result = call(*args, **kwargs)
    except mlflow.MlflowException as error:
        return error.error_code
    return repr(result) if result is None else len(result)


default = mlflow.get_experiment("0")
print(
    json.dumps(
        {
            "0": [default.experiment_id, default.name, default.lifecycle_stage],
            "by name": mlflow.get_experiment_by_name("Default").experiment_id,
            "absent": mlflow.get_experiment_by_name("absent"),
            "experiments": [e.name for e in mlflow.search_experiments()],
            "runs": mlflow.search_runs().shape[0],
            "runs of 0": mlflow.search_runs(["0"]).shape[0],
            "runs by name": code(mlflow.search_runs, experiment_names=["Default", "absent"]),
            "all runs": code(mlflow.search_runs, search_all_experiments=True),
            "run": code(mlflow.get_run, "0" * 32),
            "models": mlflow.search_logged_models().shape[0],
            "traces": mlflow.search_traces(locations=["0"]).shape[0],
            "registered": len(mlflow.search_registered_models()),
            "versions": len(mlflow.search_model_versions()),
            "prompts": len(mlflow.genai.search_prompts()),
            "load": code(mlflow.pyfunc.load_model, "models:/absent/1"),
            "experiment": code(mlflow.get_experiment, "1234"),
        }
    )
)
