"""Traces, their spans and assessments behave as on MLflow's own SQLite store."""

from __future__ import annotations

import json

import pytest
from mlflow.entities import (
    AssessmentSource,
    Expectation,
    Feedback,
    Span,
    TraceInfo,
    TraceLocation,
    TraceState,
)
from mlflow.entities.assessment import ExpectationValue, FeedbackValue
from mlflow.entities.span import create_mlflow_span
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.entities.trace_status import TraceStatus
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.status import Status, StatusCode
from twin import Side, same_as_stock


def _id(i: int) -> str:
    return f"tr-{i:032x}"


def _info(i: int, experiment_id: str = "0", **kwargs: object) -> TraceInfo:
    fields = {
        "request_time": 1000 * i,
        "state": TraceState.OK,
        "execution_duration": 10 * i,
        "request_preview": f"question {i}",
        "response_preview": f"answer {i}",
        "client_request_id": f"client {i}",
        "trace_metadata": {"session": str(i % 2)},
        "tags": {"mlflow.traceName": f"trace {i}", "even": str(i % 2 == 0)},
        **kwargs,
    }
    return TraceInfo(
        trace_id=_id(i),
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        **fields,
    )


def _span(i: int, span_id: int, parent: int | None = None, **attributes: object) -> Span:
    def context(identity: int) -> SpanContext:
        return SpanContext(i, identity, is_remote=False, trace_flags=TraceFlags(1))

    values = {"mlflow.traceRequestId": _id(i), "mlflow.spanType": "CHAIN", **attributes}
    otel = ReadableSpan(
        name=f"span {span_id}",
        context=context(span_id),
        parent=None if parent is None else context(parent),
        attributes={k: json.dumps(v) for k, v in values.items()},
        status=Status(StatusCode.OK),
        start_time=1_000_000 * i,
        end_time=1_000_000 * i + 500 * span_id,
        resource=Resource({}),
    )
    return create_mlflow_span(otel, _id(i))


def _ids(s: Side, *args: object, **kwargs: object) -> list[object]:
    found, token = s.tracking.search_traces(*args, **kwargs)
    return [[info.trace_id[-2:] for info in found], bool(token)]


# --- traces ---------------------------------------------------------------------------------------


@pytest.mark.core
@same_as_stock
def test_a_trace_reads_back_the_same(s: Side) -> None:
    experiment_id = s.do(s.client.create_experiment, "trial")
    s.do(s.tracking.start_trace, _info(1))
    s.do(s.tracking.start_trace, _info(2, experiment_id, state=TraceState.ERROR))
    s.do(s.tracking.start_trace, _info(1, tags={"again": "1"}, state=TraceState.IN_PROGRESS))
    s.do(s.tracking.start_trace, _info(3, "777"))
    s.do(s.tracking.start_trace, _info(4, "letters"))
    s.do(s.tracking.start_trace, _info(5, tags={"k" * 251: "v"}))
    s.do(s.tracking.start_trace, _info(6, tags={"k": "v" * 9000}))
    for i in (1, 2, 3, 99):
        s.do(s.tracking.get_trace_info, _id(i))
        s.do(s.tracking.get_trace, _id(i))
    s.do(s.tracking.batch_get_trace_infos, [_id(2), _id(1), _id(99)])
    s.do(s.tracking.batch_get_traces, [_id(2), _id(1), _id(99)], experiment_id)
    s.client.delete_experiment(experiment_id)
    s.do(s.tracking.start_trace, _info(7, experiment_id))
    s.do(s.tracking.get_trace_info, _id(2))


@same_as_stock
def test_spans_round_trip(s: Side) -> None:
    spans = [
        _span(1, 1, **{"mlflow.spanInputs": {"x": [1, None, "ü"]}, "mlflow.spanOutputs": 1.5}),
        _span(1, 2, parent=1, model="m", **{"mlflow.spanType": "LLM"}),
        _span(1, 3, parent=2),
    ]
    s.do(s.tracking.start_trace, _info(1))
    s.do(s.tracking.log_spans, "0", spans)
    s.do(s.tracking.get_trace, _id(1))
    s.do(s.tracking.batch_get_traces, [_id(1)])
    s.do(s.tracking.batch_get_traces, [_id(1)], "0")
    s.do(s.tracking.log_spans, "0", spans[:1])
    s.do(s.tracking.log_spans, "0", [_span(2, 1), _span(3, 1)])
    s.do(s.tracking.log_spans, "0", [])
    s.do(s.tracking.log_spans, "777", [_span(4, 1)])
    s.do(s.tracking.log_spans, "letters", [_span(4, 1)])
    for i in (2, 3, 4):
        s.do(s.tracking.get_trace, _id(i))
    s.do(_ids, s, ["0"], order_by=["timestamp_ms"])


def _fill(s: Side) -> list[str]:
    experiments = ["0", s.client.create_experiment("trial")]
    for i in range(1, 10):
        state = TraceState.ERROR if i % 4 == 0 else TraceState.OK
        s.tracking.start_trace(_info(i, experiments[i % 2], state=state))
        s.tracking.log_spans(experiments[i % 2], [_span(i, 1), _span(i, 2, parent=1)])
    return experiments


@pytest.mark.core
@same_as_stock
def test_search_selects_and_orders_traces(s: Side) -> None:
    experiments = _fill(s)
    for filter_string in (
        None,
        "status = 'OK'",
        "attributes.status != 'OK'",
        "trace.status = 'ERROR'",
        "timestamp_ms > 4000",
        "attributes.timestamp <= 4000 AND tags.even = 'True'",
        "execution_time_ms >= 50",
        "execution_time < 30",
        "tags.even = 'False'",
        "tag.even != 'False'",
        "tags.absent = 'x'",
        "name = 'trace 3'",
        "name LIKE 'trace %'",
        "trace.name ILIKE 'TRACE 3'",
        "request_metadata.session = '1'",
        "metadata.session = '0'",
        "client_request_id = 'client 3'",
        f"trace_id = '{_id(3)}'",
        f"request_id IN ('{_id(3)}', '{_id(4)}')",
        "run_id = 'x'",
        "span.name = 'span 2'",
        "span.type = 'CHAIN'",
        "span.name LIKE '%9'",
        "trace.text LIKE '%question 5%'",
        "nothing = 'x'",
        "name = 'a' OR name = 'b'",
        "timestamp_ms > 'x'",
        "name =",
    ):
        s.do(_ids, s, experiments, filter_string, order_by=["timestamp_ms"])
    for order_by in (
        ["timestamp_ms DESC"],
        ["execution_time_ms ASC"],
        ["status", "timestamp_ms"],
        ["name DESC"],
        ["tags.even", "timestamp_ms"],
        ["request_metadata.session", "timestamp_ms DESC"],
        ["nothing"],
        ["timestamp_ms SIDEWAYS"],
    ):
        s.do(_ids, s, experiments, order_by=order_by)
    for chosen in (experiments[:1], experiments[1:], [], ["777"]):
        s.do(_ids, s, chosen, order_by=["timestamp_ms"])
        s.do(_ids, s, locations=chosen, order_by=["timestamp_ms"])
    s.do(_ids, s)
    s.do(_ids, s, None, locations=None)
    s.do(s.tracking.search_traces, experiments[:1], max_results=2)
    for max_results in (1, 3, 0, -1, 501, 5000):
        s.do(_ids, s, experiments, max_results=max_results)
    token = None
    for _ in range(3):
        found, token = s.tracking.search_traces(experiments, max_results=4, page_token=token)
        s.note("page", [info.trace_id for info in found])
    s.do(_ids, s, experiments, page_token="no token")


@same_as_stock
def test_the_client_searches_and_gets_traces(s: Side) -> None:
    s.use()
    experiments = _fill(s)
    s.do(s.client.get_trace, _id(3))
    s.do(s.client.get_trace, _id(99))
    s.do(s.client.search_traces, locations=experiments[:1], order_by=["timestamp_ms"])
    s.do(s.client.search_traces, locations=["0"], filter_string="tags.even = 'True'")
    s.do(s.client.search_traces, locations=experiments, include_spans=False, max_results=3)


@same_as_stock
def test_tags_of_traces(s: Side) -> None:
    s.do(s.tracking.start_trace, _info(1))
    for value in ("1", "2", "", 3, None, "v" * 9000):
        s.do(s.client.set_trace_tag, _id(1), "tag", value)
        s.do(s.tracking.get_trace_info, _id(1))
    for key in ("", "k" * 250, "k" * 251, "a/b", "mlflow.note", None):
        s.do(s.client.set_trace_tag, _id(1), key, "v")
    for _ in range(2):
        s.do(s.client.delete_trace_tag, _id(1), "tag")
    s.do(s.tracking.get_trace_info, _id(1))


@same_as_stock
def test_deletion_of_traces(s: Side) -> None:
    first, second = _fill(s)
    s.do(s.client.delete_traces, first, trace_ids=[_id(2), _id(99)])
    s.do(s.client.delete_traces, first, trace_ids=[_id(3)])
    s.do(s.client.delete_traces, second, max_timestamp_millis=5000, max_traces=1)
    s.do(s.client.delete_traces, second, max_timestamp_millis=5000)
    s.do(s.client.delete_traces, first)
    s.do(s.client.delete_traces, first, max_timestamp_millis=1, trace_ids=[_id(4)])
    s.do(s.client.delete_traces, first, max_traces=0, max_timestamp_millis=99_000)
    s.do(s.client.delete_traces, "777", trace_ids=[_id(4)])
    s.do(s.client.delete_traces, "letters", trace_ids=[_id(4)])
    s.do(_ids, s, [first, second], order_by=["timestamp_ms"])
    s.do(s.tracking.get_trace, _id(2))
    s.do(s.client.delete_traces, first, max_timestamp_millis=99_000)
    s.do(_ids, s, [first, second], order_by=["timestamp_ms"])


@same_as_stock
def test_assessments_of_traces(s: Side) -> None:
    s.do(s.tracking.start_trace, _info(1))
    s.do(s.tracking.log_spans, "0", [_span(1, 1)])
    human = AssessmentSource("HUMAN", "ann")
    create = s.tracking.create_assessment
    feedback = s.do(
        create, Feedback("good", value=True, trace_id=_id(1), source=human, rationale="so")
    )
    judge = AssessmentSource("LLM_JUDGE", "judge")
    value = {"answer": [1, "ü"]}
    expected = s.do(create, Expectation("answer", value, trace_id=_id(1), source=human))
    s.do(create, Feedback("score", 0.5, trace_id=_id(1), source=judge, metadata={"k": "v"}))
    s.do(create, Feedback("failed", error=ValueError("no"), trace_id=_id(1), source=judge))
    s.do(create, Feedback("lost", 1, trace_id=_id(99), source=human))
    s.do(s.tracking.get_assessment, _id(1), feedback.assessment_id)
    update = s.tracking.update_assessment
    s.do(
        update, _id(1), feedback.assessment_id, feedback=FeedbackValue(value=False), rationale="no"
    )
    s.do(update, _id(1), expected.assessment_id, expectation=ExpectationValue("other"))
    s.do(update, _id(1), feedback.assessment_id, expectation=ExpectationValue("wrong kind"))
    s.do(update, _id(1), feedback.assessment_id, name="renamed", metadata={"m": "1"})
    s.do(s.tracking.get_trace_info, _id(1))
    overriding = Feedback("good", value=True, trace_id=_id(1), source=human)
    overriding.overrides = feedback.assessment_id
    override = s.do(create, overriding)
    s.do(s.tracking.get_assessment, _id(1), feedback.assessment_id)
    for assessment_id in (override.assessment_id, override.assessment_id, "absent"):
        s.do(s.tracking.delete_assessment, _id(1), assessment_id)
        s.do(s.tracking.get_assessment, _id(1), assessment_id)
    for filter_string in (
        "feedback.renamed = 'false'",
        "expectation.answer = 'other'",
        "feedback.score = '0.5'",
    ):
        s.do(_ids, s, ["0"], filter_string)


@same_as_stock
def test_traces_link_to_runs_and_prompts(s: Side) -> None:
    s.use()
    for i in (1, 2):
        s.do(s.tracking.start_trace, _info(i))
    run_id = s.client.create_run("0", start_time=1, run_name="first").info.run_id
    s.do(s.client.link_traces_to_run, [_id(1), _id(2)], run_id)
    s.do(s.client.link_traces_to_run, [_id(1)], run_id)
    s.do(_ids, s, ["0"], f"attributes.run_id = '{run_id}'", order_by=["timestamp_ms"])
    s.do(s.client.unlink_traces_from_run, [_id(1)], run_id)
    s.do(_ids, s, ["0"], f"attributes.run_id = '{run_id}'")
    s.do(s.client.link_traces_to_run, [], run_id)
    s.do(s.client.link_traces_to_run, [_id(1)], "")
    s.do(s.client.link_traces_to_run, [_id(i) for i in range(101)], run_id)
    prompt = s.client.register_prompt("greeting", "Hello {{ name }}")
    s.do(s.client.link_prompt_versions_to_trace, [prompt], _id(1))
    s.do(s.tracking.link_prompts_to_trace, _id(1), [prompt])
    s.do(s.tracking.get_trace_info, _id(1))
    s.do(_ids, s, ["0"], "prompt = 'greeting/1'")


@same_as_stock
def test_metrics_and_correlations_of_traces(s: Side) -> None:
    experiments = _fill(s)
    average = [MetricAggregation(AggregationType.AVG), MetricAggregation(AggregationType.COUNT)]
    query = s.tracking.query_trace_metrics
    for chosen in (experiments, experiments[:1], ["777"]):
        s.do(query, chosen, MetricViewType.TRACES, "latency", average)
        s.do(query, chosen, MetricViewType.TRACES, "trace_count", average[1:], ["trace_status"])
        s.do(query, chosen, MetricViewType.SPANS, "span_count", average[1:], ["span_name"])
    s.do(query, ["0"], MetricViewType.TRACES, "nothing", average)
    correlate = s.tracking.calculate_trace_filter_correlation
    for chosen in (experiments, ["0"], ["777"]):
        s.do(correlate, chosen, "status = 'ERROR'", "tags.even = 'True'")
    s.do(correlate, ["0"], "status = 'OK'", "tags.even = 'True'", "timestamp_ms > 4000")
    s.do(correlate, ["0"], "nothing = 'x'", "tags.even = 'True'")


@same_as_stock
def test_sessions_complete_when_their_last_trace_is_old(s: Side) -> None:
    for i in range(1, 6):
        metadata = {"mlflow.trace.session": f"session {i % 2}"}
        s.tracking.start_trace(_info(i, trace_metadata=metadata))
    find = s.tracking.find_completed_sessions
    s.do(find, "0", 0, 99_000)
    s.do(find, "0", 0, 4500)
    s.do(find, "0", 0, 99_000, max_results=1)
    s.do(find, "0", 0, 99_000, filter_string="tags.even = 'True'")
    s.do(find, "777", 0, 99_000)


@same_as_stock
def test_the_second_version_of_the_trace_protocol_still_works(s: Side) -> None:
    info = s.do(s.tracking.deprecated_start_trace_v2, "0", 5, {"m": "1"}, {"k": "v"})
    end = s.tracking.deprecated_end_trace_v2
    s.do(end, info.request_id, 9, TraceStatus.OK, {"n": "2"}, {"l": "w"})
    s.do(s.tracking.get_trace_info, info.request_id)
    s.do(s.tracking.deprecated_start_trace_v2, "777", 5, {}, {})
    s.do(end, _id(99), 9, TraceStatus.OK, {}, {})
