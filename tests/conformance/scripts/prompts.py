# ruff: noqa: T201 - what it prints is compared
"""Prompts, evaluation datasets and an evaluation, and names no experiment."""

import json

import mlflow
from mlflow.genai.datasets import create_dataset, get_dataset
from mlflow.genai.scorers import scorer


@scorer
def exact(outputs, expectations):
    return outputs == expectations["answer"]


mlflow.genai.register_prompt("greeting", "Hello {{ name }}", commit_message="first")
mlflow.genai.register_prompt("greeting", "Good day {{ name }}", tags={"k": "v"})
mlflow.genai.set_prompt_alias("greeting", "best", 1)
with mlflow.start_run(run_name="prompting") as run:
    prompt = mlflow.genai.load_prompt("prompts:/greeting@best")

dataset = create_dataset(name="questions", experiment_id="0", tags={"team": "blue"})
dataset.merge_records(
    [
        {"inputs": {"q": 1}, "expectations": {"answer": 2}},
        {"inputs": {"q": 2}, "expectations": {"answer": 5}},
    ]
)
loaded = get_dataset(dataset_id=dataset.dataset_id)
result = mlflow.genai.evaluate(data=loaded.to_df(), predict_fn=lambda q: q * 2, scorers=[exact])
mlflow.flush_trace_async_logging()
print(
    json.dumps(
        {
            "prompt": [prompt.version, prompt.format(name="you"), prompt.aliases],
            "found": [p.name for p in mlflow.genai.search_prompts()],
            "linked": "mlflow.linkedPrompts" in mlflow.get_run(run.info.run_id).data.tags,
            "records": sorted(json.dumps(i) for i in loaded.to_df()["inputs"]),
            "experiments": [str(e) for e in loaded.experiment_ids],
            "metrics": result.metrics,
            "traces": len(mlflow.search_traces(run_id=result.run_id, return_type="list")),
            "runs": sorted(set(mlflow.search_runs().experiment_id)),
            "datasets": [
                d.name for d in mlflow.genai.datasets.search_datasets(experiment_ids=["0"])
            ],
        }
    )
)
