"""Evaluation datasets, scorers, reviews, issues, MCP servers and gateways behave as on SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from mlflow.entities import Feedback, IssueReference, TraceInfo, TraceLocation, TraceState
from mlflow.entities.gateway_budget_policy import (
    BudgetAction,
    BudgetDuration,
    BudgetDurationUnit,
    BudgetTargetScope,
    BudgetUnit,
)
from mlflow.entities.gateway_endpoint import (
    GatewayEndpointModelConfig,
    GatewayEndpointTag,
    GatewayModelLinkageType,
)
from mlflow.entities.gateway_guardrail import GuardrailAction, GuardrailStage
from mlflow.entities.issue import IssueSeverity, IssueStatus
from mlflow.entities.mcp_server import MCPStatus
from mlflow.genai.label_schemas.label_schemas import InputCategorical, InputPassFail, InputText
from twin import Side, same_as_stock

_TRACE = f"tr-{1:032x}"


def _trace(s: Side, trace_id: str = _TRACE) -> None:
    location = TraceLocation.from_experiment_id("0")
    s.tracking.start_trace(TraceInfo(trace_id, location, 1000, TraceState.OK))


@pytest.mark.core
@same_as_stock
def test_evaluation_datasets_and_their_records(s: Side) -> None:
    s.use()
    experiment_id = s.do(s.client.create_experiment, "trial")
    dataset = s.do(s.client.create_dataset, "questions", ["0", experiment_id], {"team": "blue"})
    s.do(s.client.create_dataset, "alone")
    for name, experiments in (("", "0"), (None, "0")):
        s.do(s.client.create_dataset, name, experiments)
    dataset_id = dataset.dataset_id
    s.do(s.client.get_dataset, dataset_id)
    s.do(s.tracking.get_dataset_experiment_ids, dataset_id)
    records = [{"inputs": {"q": i}, "expectations": {"a": i}, "tags": {"k": "v"}} for i in (1, 2)]
    upsert = s.tracking.upsert_dataset_records
    s.do(upsert, dataset_id, records)
    s.do(upsert, dataset_id, [{"inputs": {"q": 1}, "expectations": {"b": 0}}])
    loaded, _ = s.tracking._load_dataset_records(dataset_id)
    s.note("records", sorted(([r.inputs, r.expectations, r.tags] for r in loaded), key=repr))
    delete = s.tracking.delete_dataset_records
    s.do(delete, dataset_id, [record.dataset_record_id for record in loaded[:1]])
    s.do(delete, dataset_id, ["absent"])
    s.do(s.client.set_dataset_tags, dataset_id, {"team": "red", "n": 1})
    for _ in range(2):
        s.do(s.client.delete_dataset_tag, dataset_id, "team")
    remove = s.client.remove_dataset_from_experiments
    s.do(remove, dataset_id, [experiment_id])
    s.do(s.client.add_dataset_to_experiments, dataset_id, [experiment_id, experiment_id])
    s.do(s.client.add_dataset_to_experiments, dataset_id, ["777"])
    s.do(remove, dataset_id, ["0"])
    s.do(s.tracking.get_dataset_experiment_ids, dataset_id)
    for experiments in (None, ["0"], [experiment_id], []):
        s.do(s.client.search_datasets, experiments, order_by=["name"])
    for filter_string in ("name LIKE 'q%'", "tags.n = '1'", "created_by = 'x'", "nothing = 'x'"):
        s.do(s.client.search_datasets, filter_string=filter_string)
    for _ in range(2):
        s.do(s.client.delete_dataset, dataset_id)
        s.do(s.client.get_dataset, dataset_id)


@same_as_stock
def test_scorers_have_versions(s: Side) -> None:
    register, serialized = s.tracking.register_scorer, json.dumps({"name": "judge", "body": "1"})
    experiment_id = s.do(s.client.create_experiment, "trial")
    for experiment in ("0", "0", experiment_id, "777", "letters"):
        s.do(register, experiment, "judge", serialized)
    s.do(register, "0", "other", serialized)
    s.do(register, "0", "", serialized)
    for experiment in ("0", experiment_id, "777"):
        s.do(s.tracking.list_scorers, experiment)
        s.do(s.tracking.list_scorer_versions, experiment, "judge")
        s.do(s.tracking.get_scorer, experiment, "judge")
        s.do(s.tracking.get_scorer, experiment, "judge", 1)
        s.do(s.tracking.get_scorer, experiment, "judge", 99)
    s.do(s.tracking.list_scorers_across_experiments, ["0", experiment_id])
    scorer_id = s.tracking.get_scorer("0", "judge").scorer_id
    s.do(s.tracking.upsert_online_scoring_config, "0", "judge", 0.5)
    s.do(s.tracking.upsert_online_scoring_config, "0", "judge", 2.0)
    s.do(s.tracking.upsert_online_scoring_config, "0", "absent", 0.5)
    s.do(s.tracking.get_online_scoring_configs, [scorer_id])
    s.do(s.tracking.get_active_online_scorers)
    delete = s.tracking.delete_scorer
    for version in (1, 1, None, None):
        s.do(delete, "0", "judge", version)
        s.do(s.tracking.list_scorers, "0")


@same_as_stock
def test_label_schemas_and_review_queues(s: Side) -> None:
    create = s.tracking.create_label_schema
    good = InputPassFail("Correct", "Incorrect")
    schema = s.do(create, "0", name="good", type="feedback", input=good, instruction="look")
    kind = InputCategorical(["a", "b"])
    s.do(create, "0", name="kind", type="expectation", input=kind, enable_comment=True)
    s.do(create, "0", name="good", type="feedback", input=InputText())
    s.do(create, "0", name="x", type="wrong", input=InputText())
    s.do(create, "777", name="x", type="feedback", input=InputText())
    s.do(s.tracking.get_label_schema, schema.schema_id)
    s.do(s.tracking.get_label_schema_by_name, "0", "kind")
    s.do(s.tracking.get_label_schema_by_name, "0", "absent")
    page = s.do(s.tracking.list_label_schemas, "0", max_results=3)
    s.do(s.tracking.list_label_schemas, "0", max_results=3, page_token=page.token)
    s.do(s.tracking.list_label_schemas, "777")
    s.do(s.tracking.update_label_schema, schema.schema_id, name="better", enable_comment=True)
    _trace(s)
    _reviews(s, schema.schema_id)
    for _ in range(2):
        s.do(s.tracking.delete_label_schema, schema.schema_id)
        s.do(s.tracking.get_label_schema, schema.schema_id)


def _reviews(s: Side, schema_id: str) -> None:
    create = s.tracking.create_review_queue
    queue = s.do(create, "0", name="q", queue_type="custom", users=["ann"], schema_ids=[schema_id])
    s.do(create, "0", name="q", queue_type="custom")
    s.do(create, "777", name="q", queue_type="custom")
    s.do(create, "0", name="q2", queue_type="custom", schema_ids=["absent"])
    own = s.do(s.tracking.get_or_create_user_queue, "0", user="bob")
    s.do(s.tracking.get_or_create_user_queue, "0", user="bob")
    s.do(s.tracking.get_review_queue, queue.queue_id)
    s.do(s.tracking.get_review_queue_by_name, "0", "q")
    for user in (None, "ann", "bob", "absent"):
        s.do(s.tracking.list_review_queues, "0", user=user)
    queue_id = queue.queue_id
    s.do(s.tracking.add_items_to_review_queue, queue_id, item_ids=[_TRACE])
    s.do(s.tracking.add_items_to_review_queue, queue_id, item_ids=["tr-absent"])
    s.do(s.tracking.list_review_queues, "0", item_id=_TRACE)
    status = s.tracking.set_review_queue_item_status
    s.do(status, queue_id, item_id=_TRACE, status="complete", completed_by="ann")
    s.do(status, queue_id, item_id=_TRACE, status="pending", completed_by="ann")
    s.do(status, queue_id, item_id="absent", status="complete", completed_by="ann")
    s.do(s.tracking.list_review_queue_items, queue_id)
    s.do(s.tracking.list_review_queue_items, queue_id, status="pending")
    s.do(s.tracking.update_review_queue, queue_id, users=["ann", "carl"], name="renamed")
    s.do(s.tracking.remove_items_from_review_queue, queue_id, item_ids=[_TRACE])
    s.do(s.tracking.list_review_queue_items, queue_id)
    for identity in (queue_id, queue_id, own.queue_id):
        s.do(s.tracking.delete_review_queue, identity)
    s.do(s.tracking.list_review_queues, "0")


@same_as_stock
def test_issues(s: Side) -> None:
    _trace(s)
    create = s.tracking.create_issue
    run_id = s.client.create_run("0", start_time=1, run_name="first").info.run_id
    low = IssueSeverity.LOW
    issue = s.do(create, "0", "slow", "too slow", severity=low, source_run_id=run_id)
    s.do(create, "0", "wrong", "is wrong", root_causes=["a"], categories=["b"], created_by="ann")
    s.do(create, "777", "lost", "lost")
    s.do(s.tracking.get_issue, issue.issue_id)
    s.do(s.tracking.update_issue, issue.issue_id, status=IssueStatus.RESOLVED, name="fast")
    s.do(s.tracking.update_issue, "absent", name="fast")
    s.do(s.tracking.get_issue, "absent")
    reference = IssueReference(issue_id=issue.issue_id, issue_name="fast", trace_id=_TRACE)
    s.do(s.tracking.create_assessment, reference)
    for experiment in ("0", None, "777"):
        for filter_string in (None, "status = 'resolved'", "status = 'pending'", "nothing = 'x'"):
            found = s.do(_issues, s, experiment, filter_string)
            s.note("count", len(found or []))


def _issues(s: Side, *args: object) -> list[tuple[str, int | None]]:
    found = s.tracking.search_issues(*args, include_trace_count=True)
    # Of the same millisecond, they come in the order of random ids.
    return sorted((issue.name, issue.trace_count) for issue in found)


@same_as_stock
def test_mcp_servers(s: Side) -> None:
    c, name = s.client, "io.example/files"
    s.do(c.create_mcp_server, name, "files")
    s.do(c.create_mcp_server, name)
    s.do(c.create_mcp_server, "")
    version = {"name": name, "version": "1.0.0", "description": "files"}
    s.do(c.create_mcp_server_version, version)
    s.do(c.create_mcp_server_version, {**version, "version": "1.1.0"}, status=MCPStatus.ACTIVE)
    s.do(c.create_mcp_server_version, version)
    s.do(c.create_mcp_server_version, {"name": "io.example/new", "version": "1"})
    s.do(c.create_mcp_server_version, {"name": name})
    for number in ("1.0.0", "1.1.0", "9"):
        s.do(c.get_mcp_server_version, name, number)
    s.do(c.get_latest_mcp_server_version, name)
    s.do(c.update_mcp_server, name, description="changed")
    s.do(c.update_mcp_server_version, name, "1.0.0", status=MCPStatus.DEPRECATED)
    s.do(c.set_mcp_server_alias, name, "best", "1.0.0")
    s.do(c.set_mcp_server_alias, name, "lost", "9")
    s.do(c.get_mcp_server_version_by_alias, name, "best")
    s.do(c.set_mcp_server_tag, name, "k", "v")
    s.do(c.set_mcp_server_version_tag, name, "1.0.0", "k", "v")
    endpoint = s.do(
        c.create_mcp_access_endpoint, name, "https://example.com/mcp", server_version="1.1.0"
    )
    s.do(c.get_mcp_access_endpoint, name, endpoint.id)
    s.do(c.update_mcp_access_endpoint, name, endpoint.id, url="https://example.com/2")
    s.do(c.search_mcp_access_endpoints, name)
    s.do(c.get_mcp_server, name)
    for filter_string in (None, "name LIKE '%files'", "nothing = 'x'"):
        s.do(c.search_mcp_servers, filter_string, order_by=["name"])
    s.do(c.search_mcp_server_versions, name, order_by=["version"])
    _trace(s)
    servers = [{"name": name, "version": "1.1.0"}]
    s.do(s.tracking.link_mcp_server_versions_to_trace, _TRACE, servers)
    s.do(s.tracking.get_mcp_server_versions_for_trace, _TRACE)
    s.do(c.delete_mcp_access_endpoint, name, endpoint.id)
    s.do(c.delete_mcp_server_tag, name, "k")
    s.do(c.delete_mcp_server_version_tag, name, "1.0.0", "k")
    s.do(c.delete_mcp_server_alias, name, "best")
    for _ in range(2):
        s.do(c.delete_mcp_server_version, name, "1.0.0")
        s.do(c.delete_mcp_server, name)
    s.do(c.get_mcp_server, name)


# --- gateways -------------------------------------------------------------------------------------


@pytest.fixture
def passphrase(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow encrypts secrets, and warns of its built-in passphrase."""
    monkeypatch.setenv("MLFLOW_CRYPTO_KEK_PASSPHRASE", "a passphrase of this test only, long")
    return


@pytest.mark.usefixtures("passphrase")
@same_as_stock
def test_gateway_secrets_models_and_endpoints(s: Side) -> None:
    t = s.tracking
    secret = s.do(t.create_gateway_secret, "key", {"api_key": "sk-123456"}, "openai")
    s.do(t.create_gateway_secret, "key", {"api_key": "sk-123456"}, "openai")
    s.do(t.get_secret_info, secret.secret_id)
    s.do(t.get_secret_info, secret_name="key")
    s.do(t.get_secret_info, "absent")
    s.do(t.update_gateway_secret, secret.secret_id, {"api_key": "sk-654321"}, updated_by="ann")
    s.do(t.list_secret_infos)
    s.do(t.list_secret_infos, "anthropic")
    define = t.create_gateway_model_definition
    model = s.do(define, "big", secret.secret_id, "openai", "gpt")
    small = s.do(define, "small", secret.secret_id, "openai", "gpt-mini")
    s.do(define, "lost", "absent", "openai", "gpt")
    s.do(t.get_gateway_model_definition, model.model_definition_id)
    s.do(t.get_gateway_model_definition, name="big")
    s.do(t.update_gateway_model_definition, model.model_definition_id, model_name="gpt-2")
    s.note("definitions", sorted(m.name for m in t.list_gateway_model_definitions()))
    config = GatewayEndpointModelConfig(model.model_definition_id, GatewayModelLinkageType.PRIMARY)
    make = t.create_gateway_endpoint
    endpoint = s.do(make, "chat", [config], experiment_id="0")
    s.do(make, "chat", [config])
    s.do(make, "own", [config])
    s.do(make, "lost", [config], experiment_id="777")
    s.do(make, "empty", [])
    endpoint_id = endpoint.endpoint_id
    s.do(t.get_gateway_endpoint, endpoint_id)
    s.do(t.get_gateway_endpoint, name="own")
    s.do(t.update_gateway_endpoint, endpoint_id, name="talk", experiment_id="0")
    s.note("endpoints", sorted(e.name for e in t.list_gateway_endpoints()))
    extra = GatewayEndpointModelConfig(small.model_definition_id, GatewayModelLinkageType.PRIMARY)
    s.do(t.attach_model_to_endpoint, endpoint_id, extra)
    s.do(t.attach_model_to_endpoint, endpoint_id, extra)
    for _ in range(2):
        s.do(t.detach_model_from_endpoint, endpoint_id, small.model_definition_id, "PRIMARY")
    s.do(t.set_gateway_endpoint_tag, endpoint_id, GatewayEndpointTag("k", "v"))
    s.do(t.get_gateway_endpoint, endpoint_id)
    s.do(t.delete_gateway_endpoint_tag, endpoint_id, "k")
    _guardrails(s, endpoint_id)
    s.do(t.delete_gateway_model_definition, model.model_definition_id)
    s.do(t.delete_gateway_secret, secret.secret_id)
    for _ in range(2):
        s.do(t.delete_gateway_endpoint, endpoint_id)
    s.do(t.delete_gateway_model_definition, small.model_definition_id)
    s.do(s.client.search_experiments, order_by=["name"])


def _guardrails(s: Side, endpoint_id: str) -> None:
    t = s.tracking
    scorer = t.register_scorer("0", "judge", json.dumps({"name": "judge"}))
    s.do(t.create_endpoint_binding, endpoint_id, "scorer", scorer.scorer_id)
    s.do(t.list_endpoint_bindings, endpoint_id)
    for _ in range(2):
        s.do(t.delete_endpoint_binding, endpoint_id, "scorer", scorer.scorer_id)
    stage, action = GuardrailStage.BEFORE, GuardrailAction.VALIDATION
    guardrail = s.do(t.create_gateway_guardrail, "safe", scorer.scorer_id, 1, stage, action)
    s.do(t.create_gateway_guardrail, "lost", "absent", 1, stage, action)
    guardrail_id = guardrail.guardrail_id
    s.do(t.get_gateway_guardrail, guardrail_id)
    s.do(t.list_gateway_guardrails)
    s.do(t.add_guardrail_to_endpoint, endpoint_id, guardrail_id, 1)
    s.do(t.update_endpoint_guardrail_config, endpoint_id, guardrail_id, 2)
    s.do(t.list_endpoint_guardrail_configs, endpoint_id)
    for _ in range(2):
        s.do(t.remove_guardrail_from_endpoint, endpoint_id, guardrail_id)
        s.do(t.delete_gateway_guardrail, guardrail_id)


@same_as_stock
def test_gateway_budgets(s: Side) -> None:
    t = s.tracking
    day = BudgetDuration(BudgetDurationUnit.DAYS, 1)
    arguments = (BudgetUnit.USD, 5.0, day, BudgetTargetScope.GLOBAL, BudgetAction.ALERT)
    policy = s.do(t.create_budget_policy, *arguments, created_by="ann")
    s.do(t.get_budget_policy, policy.budget_policy_id)
    s.do(t.update_budget_policy, policy.budget_policy_id, budget_amount=7.5)
    s.do(t.list_budget_policies)
    s.do(t.sum_gateway_trace_cost, 0, 99_000)
    for _ in range(2):
        s.do(t.delete_budget_policy, policy.budget_policy_id)
        s.do(t.get_budget_policy, policy.budget_policy_id)


@same_as_stock
def test_feedback_of_a_review_lands_on_the_trace(s: Side) -> None:
    _trace(s)
    s.do(s.tracking.create_assessment, Feedback("good", value=True, trace_id=_TRACE))
    s.do(s.tracking.get_trace_info, _TRACE)
