# ruff: noqa: T201 - what it prints is compared
"""Traces with the decorator and spans, and names no experiment."""

import json

import mlflow
from mlflow.entities import SpanType


@mlflow.trace(span_type=SpanType.TOOL, attributes={"unit": "m"})
def double(x):
    return x * 2


@mlflow.trace
def answer(question):
    with mlflow.start_span("inner") as span:
        span.set_inputs({"q": question})
        span.set_outputs(double(21))
    mlflow.update_current_trace(tags={"colour": "blue"}, metadata={"m": "1"})
    return 42


@mlflow.trace
def broken():
    raise ValueError("no")


answer("why")
answered = mlflow.get_last_active_trace_id()
try:
    broken()
except ValueError:
    failed = mlflow.get_last_active_trace_id()
with mlflow.start_run(run_name="first") as run:
    answer("in a run")
    in_run = mlflow.get_last_active_trace_id()
client = mlflow.MlflowClient()
root = client.start_trace("by hand", inputs={"x": 1}, experiment_id="0", tags={"k": "v"})
inner = client.start_span("inner", root.trace_id, root.span_id, inputs={"y": 2})
client.end_span(root.trace_id, inner.span_id, outputs=3)
client.end_trace(root.trace_id, outputs=4)
mlflow.flush_trace_async_logging()

by_hand = mlflow.get_trace(root.trace_id)
mlflow.set_trace_tag(answered, "tag", "v")
mlflow.log_feedback(trace_id=answered, name="good", value=True, rationale="so")
mlflow.log_expectation(trace_id=answered, name="answer", value=42)
trace = mlflow.get_trace(answered)
found = mlflow.search_traces(return_type="list")
of_run = mlflow.search_traces(run_id=run.info.run_id, return_type="list")
deleted = client.delete_traces(trace.info.experiment_id, trace_ids=[failed])
print(
    json.dumps(
        {
            "spans": [
                [s.name, s.span_type, s.inputs, s.outputs, s.status.status_code.value]
                for s in trace.data.spans
            ],
            "attributes": trace.data.spans[2].get_attribute("unit"),
            "state": str(trace.info.state),
            "experiment": trace.info.experiment_id,
            "tags": sorted(trace.info.tags.items()),
            "metadata": {
                k: v
                for k, v in trace.info.trace_metadata.items()
                if "size" not in k.lower() and "source" not in k
            },
            "previews": [trace.info.request_preview, trace.info.response_preview],
            "assessments": [[a.name, a.rationale] for a in trace.info.assessments],
            "by hand": [by_hand.info.experiment_id, [s.name for s in by_hand.data.spans]],
            "found": len(found),
            "filtered": len(
                mlflow.search_traces(filter_string="trace.status = 'OK'", return_type="list")
            ),
            "by 0": len(mlflow.search_traces(locations=["0"], return_type="list")),
            "of the run": [t.info.trace_id == in_run for t in of_run],
            "run": len(mlflow.search_runs()),
            "deleted": deleted,
            "left": len(mlflow.search_traces(return_type="list")),
        }
    )
)
