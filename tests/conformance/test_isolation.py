"""From one workspace nothing of another one in the same home can be read, changed or referred to.

`CALLS` is one call for each of MLflow's store methods that takes an id or a name. Each is made
three times: within its own workspace, where it must work (so that the other two mean something);
from another workspace; and that one must be refused, or find nothing, and leave every row of the
database as it is.
"""

from __future__ import annotations

import contextlib
import inspect
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from doors import DOORS
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.entities import (
    Dataset,
    DatasetInput,
    Expectation,
    ExperimentTag,
    Feedback,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
    Param,
    RunStatus,
    RunTag,
    TraceInfo,
    TraceLocation,
    TraceState,
    ViewType,
)
from mlflow.entities.entity_type import EntityAssociationType
from mlflow.entities.gateway_budget_policy import (
    BudgetAction,
    BudgetDuration,
    BudgetTargetScope,
    BudgetUnit,
)
from mlflow.entities.gateway_endpoint import (
    GatewayEndpointModelConfig,
    GatewayEndpointTag,
    GatewayModelLinkageType,
)
from mlflow.entities.gateway_guardrail import GuardrailAction, GuardrailStage
from mlflow.entities.issue import IssueStatus
from mlflow.entities.model_registry import (
    ModelVersion,
    ModelVersionTag,
    PromptVersion,
    RegisteredModelTag,
)
from mlflow.entities.span import Span
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.entities.webhook import WebhookEvent
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking._model_registry.utils import _get_store as registry_store
from mlflow.tracking._tracking_service.utils import _get_store as tracking_store
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags
from packaging.version import Version

from mlflow_ws_plugin.stores.database import close_all

pytestmark = pytest.mark.usefixtures("fresh_mlflow")

SECRET = "the-secret-of-"


# --- two workspaces with one of everything --------------------------------------------------------


class Workspace:
    """A workspace, as MLflow's clients and stores see it, and the ids of what it holds."""

    def __init__(self, home: Path, name: str, door: str) -> None:
        self.home = home
        self.name = name
        self.door = door
        self.uri = DOORS[door](home, name)
        self.client = MlflowClient(self.uri)
        self.ids = SimpleNamespace()

    @property
    def tracking(self) -> Any:
        return tracking_store(self.uri)

    @property
    def registry(self) -> Any:
        return registry_store(self.uri)

    def in_copy(self, home: Path) -> Workspace:
        """The same workspace in a copy of its home."""
        copy = Workspace(home, self.name, self.door)
        copy.ids = self.ids
        return copy

    def fill(self) -> Workspace:
        secret = SECRET + self.name
        i = self.ids
        i.name, i.secret, i.uri = self.name, secret, self.uri
        self._fill_tracking(i, secret)
        self._fill_traces(i, secret)
        self._fill_registry(i, secret)
        self._fill_review(i, secret)
        self._fill_gateway(i, secret)
        self._fill_mcp(i, secret)
        return self

    def _fill_tracking(self, i: SimpleNamespace, secret: str) -> None:
        client, store = self.client, self.tracking
        i.experiment_name = f"{self.name}-experiment"
        i.experiment = client.create_experiment(i.experiment_name, tags={"k": secret})
        i.other_experiment = client.create_experiment(f"{self.name}-other")
        run = client.create_run(i.experiment, run_name=secret)
        i.run, i.artifact_uri = run.info.run_id, run.info.artifact_uri
        client.log_metric(i.run, "m", 1.0)
        client.log_param(i.run, "p", secret)
        client.set_tag(i.run, "t", secret)
        client.log_text(i.run, secret, "note.txt")
        i.deleted_run = client.create_run(i.experiment).info.run_id
        client.delete_run(i.deleted_run)
        i.deleted_experiment = client.create_experiment(f"{self.name}-deleted")
        client.delete_experiment(i.deleted_experiment)
        i.model = client.create_logged_model(
            i.experiment, name=secret, source_run_id=i.run, tags={"k": secret}
        ).model_id
        i.model_location = client.get_logged_model(i.model).artifact_location
        dataset = Dataset(secret, "digest", "local", secret, secret, secret)
        store.log_inputs(i.run, datasets=[DatasetInput(dataset, [])])
        i.dataset_name = f"{self.name}-dataset"
        i.dataset = store.create_dataset(i.dataset_name, {"k": secret}, [i.experiment]).dataset_id
        store.upsert_dataset_records(i.dataset, [{"inputs": {"q": secret}}])
        i.record = store._load_dataset_records(i.dataset)[0][0].dataset_record_id

    def _fill_traces(self, i: SimpleNamespace, secret: str) -> None:
        number = 0xA if self.name == "alpha" else 0xB
        i.trace, i.span_number = f"tr-{number:032x}", number
        self.tracking.start_trace(trace_info(i.trace, i.experiment, secret))
        self.tracking.log_spans(i.experiment, [span(number, secret)])
        self.tracking.set_trace_tag(i.trace, "k", secret)
        i.assessment = self.tracking.create_assessment(
            Feedback(name="good", value=secret, trace_id=i.trace)
        ).assessment_id
        self.tracking.link_traces_to_run([i.trace], i.run)

    def _fill_registry(self, i: SimpleNamespace, secret: str) -> None:
        client = self.client
        i.registered = f"{self.name}-net"
        client.create_registered_model(i.registered, {"k": secret}, secret)
        client.create_model_version(
            i.registered, f"{i.artifact_uri}/net", i.run, tags={"k": secret}, description=secret
        )
        client.set_registered_model_alias(i.registered, "best", "1")
        i.prompt = f"{self.name}-prompt"
        client.register_prompt(i.prompt, f"{secret} {{{{x}}}}", tags={"k": secret})
        client.set_prompt_alias(i.prompt, "live", 1)
        self.registry.set_prompt_tag(i.prompt, "k", secret)
        i.webhook = self.registry.create_webhook(
            f"{self.name}-hook",
            # An address, so that no name is looked up; nothing is sent to it.
            "https://1.1.1.1/hook",
            [WebhookEvent.from_str("registered_model.created")],
            description=secret,
        ).webhook_id

    def _fill_review(self, i: SimpleNamespace, secret: str) -> None:
        from mlflow.genai.label_schemas import InputText

        store = self.tracking
        i.issue = store.create_issue(i.experiment, secret, secret, source_run_id=i.run).issue_id
        i.scorer_name = f"{self.name}-scorer"
        scorer = store.register_scorer(i.experiment, i.scorer_name, f'{{"x": "{secret}"}}')
        i.scorer = scorer.scorer_id
        i.unused_scorer = f"{self.name}-unused-scorer"
        store.register_scorer(i.experiment, i.unused_scorer, f'{{"x": "{secret}"}}')
        i.schema_name = f"{self.name}-schema"
        i.schema = store.create_label_schema(
            i.experiment,
            name=i.schema_name,
            type="feedback",
            input=InputText(),
            instruction=secret,
        ).schema_id
        i.queue_name = f"{self.name}-queue"
        i.queue = store.create_review_queue(
            i.experiment,
            name=i.queue_name,
            queue_type="custom",
            created_by=secret,
            users=["me"],
            schema_ids=[i.schema],
        ).queue_id
        store.add_items_to_review_queue(i.queue, item_ids=[i.trace])

    def _fill_gateway(self, i: SimpleNamespace, secret: str) -> None:
        store = self.tracking
        i.key_name = f"{self.name}-key"
        i.key = store.create_gateway_secret(
            i.key_name, {"api_key": secret}, provider="openai", created_by=secret
        ).secret_id
        i.definition_name = f"{self.name}-definition"
        i.definition = store.create_gateway_model_definition(
            i.definition_name, i.key, "openai", "gpt", created_by=secret
        ).model_definition_id
        i.second_definition = store.create_gateway_model_definition(
            f"{self.name}-second", i.key, "openai", "gpt", created_by=secret
        ).model_definition_id
        i.endpoint_name = f"{self.name}-endpoint"
        i.endpoint = store.create_gateway_endpoint(
            i.endpoint_name, [model_config(i.definition)], created_by=secret
        ).endpoint_id
        i.guardrail = store.create_gateway_guardrail(
            f"{self.name}-guardrail",
            i.scorer,
            1,
            GuardrailStage.BEFORE,
            GuardrailAction.VALIDATION,
            created_by=secret,
        ).guardrail_id
        i.unused_guardrail = store.create_gateway_guardrail(
            f"{self.name}-unused",
            i.scorer,
            1,
            GuardrailStage.BEFORE,
            GuardrailAction.VALIDATION,
            created_by=secret,
        ).guardrail_id
        store.add_guardrail_to_endpoint(i.endpoint, i.guardrail)
        store.create_endpoint_binding(i.endpoint, "scorer", i.scorer)
        store.set_gateway_endpoint_tag(i.endpoint, GatewayEndpointTag("k", secret))
        i.budget = store.create_budget_policy(*BUDGET, created_by=secret).budget_policy_id

    def _fill_mcp(self, i: SimpleNamespace, secret: str) -> None:
        store = self.tracking
        i.mcp = f"{self.name}/mcp"
        store.create_mcp_server(i.mcp, description=secret)
        store.create_mcp_server_version({**mcp_json(i.mcp, "1.0.0"), "description": secret})
        store.set_mcp_server_tag(i.mcp, "k", secret)
        store.set_mcp_server_version_tag(i.mcp, "1.0.0", "k", secret)
        store.set_mcp_server_alias(i.mcp, "live", "1.0.0")
        i.access = store.create_mcp_access_endpoint(
            i.mcp, f"https://1.1.1.1/{secret}", server_version="1.0.0"
        ).id


BUDGET = (
    BudgetUnit.USD,
    1.0,
    BudgetDuration("DAYS", 1),
    BudgetTargetScope.WORKSPACE,
    BudgetAction.ALERT,
)


def model_config(definition: str) -> GatewayEndpointModelConfig:
    return GatewayEndpointModelConfig(definition, GatewayModelLinkageType.PRIMARY)


def mcp_json(name: str, version: str) -> dict[str, str]:
    return {"name": name, "version": version, "description": "x"}


def trace_info(trace_id: str, experiment_id: str, text: str) -> TraceInfo:
    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=1,
        state=TraceState.OK,
        request_preview=text,
        tags={"k": text},
    )


def span(number: int, text: str) -> Span:
    context = SpanContext(number, number, is_remote=False, trace_flags=TraceFlags(1))
    attributes = {
        "mlflow.traceRequestId": f'"tr-{number:032x}"',
        "mlflow.spanInputs": f'"{text}"',
    }
    return Span(ReadableSpan(text, context, attributes=attributes, start_time=1, end_time=2))


def prompt_version(name: str) -> PromptVersion:
    return PromptVersion(name, 1, "x")


# --- the calls ------------------------------------------------------------------------------------

Call = Callable[[Workspace, SimpleNamespace], Any]

READS: dict[str, Call] = {
    # runs
    "get_run": lambda w, i: w.tracking.get_run(i.run),
    "get_metric_history": lambda w, i: w.tracking.get_metric_history(i.run, "m"),
    "get_metric_history_bulk": lambda w, i: w.tracking.get_metric_history_bulk([i.run], "m", 9),
    "get_metric_history_bulk_interval": lambda w, i: w.tracking.get_metric_history_bulk_interval(
        [i.run], "m", 9, 0, 9
    ),
    "get_metric_history_bulk_interval_from_steps": lambda w, i: (
        w.tracking.get_metric_history_bulk_interval_from_steps(i.run, "m", [0], 9)
    ),
    "get_max_step_for_metric": lambda w, i: w.tracking.get_max_step_for_metric(i.run, "m"),
    "search_runs": lambda w, i: w.tracking.search_runs([i.experiment], "", ViewType.ALL),
    "search_runs by run id": lambda w, i: w.tracking.search_runs(
        [w.ids.experiment, i.experiment], f"attributes.run_id = '{i.run}'", ViewType.ALL
    ),
    # experiments
    "get_experiment": lambda w, i: w.tracking.get_experiment(i.experiment),
    "get_experiment_by_name": lambda w, i: w.tracking.get_experiment_by_name(i.experiment_name),
    "search_experiments": lambda w, i: w.tracking.search_experiments(
        ViewType.ALL, filter_string=f"name = '{i.experiment_name}'"
    ),
    "filter_active_experiment_ids": lambda w, i: w.tracking.filter_active_experiment_ids(
        [i.experiment]
    ),
    # logged models
    "get_logged_model": lambda w, i: w.tracking.get_logged_model(i.model),
    "search_logged_models": lambda w, i: w.tracking.search_logged_models([i.experiment]),
    # datasets
    "get_dataset": lambda w, i: w.tracking.get_dataset(i.dataset),
    "get_dataset_experiment_ids": lambda w, i: w.tracking.get_dataset_experiment_ids(i.dataset),
    "search_datasets": lambda w, i: w.tracking.search_datasets([i.experiment]),
    "search_datasets by name": lambda w, i: w.tracking.search_datasets(
        filter_string=f"name = '{i.dataset_name}'"
    ),
    "_load_dataset_records": lambda w, i: w.tracking._load_dataset_records(i.dataset),
    "search_entities_by_source": lambda w, i: w.tracking.search_entities_by_source(
        i.dataset, EntityAssociationType.EVALUATION_DATASET, EntityAssociationType.EXPERIMENT
    ),
    "search_entities_by_destination": lambda w, i: w.tracking.search_entities_by_destination(
        i.experiment, EntityAssociationType.EXPERIMENT, EntityAssociationType.EVALUATION_DATASET
    ),
    "search_entities_by_destination of a run": lambda w, i: (
        w.tracking.search_entities_by_destination(
            i.run, EntityAssociationType.RUN, EntityAssociationType.TRACE
        )
    ),
    # traces
    "get_trace": lambda w, i: w.tracking.get_trace(i.trace),
    "get_trace_info": lambda w, i: w.tracking.get_trace_info(i.trace),
    "batch_get_traces": lambda w, i: w.tracking.batch_get_traces([i.trace]),
    "batch_get_traces with location": lambda w, i: w.tracking.batch_get_traces(
        [i.trace], i.experiment
    ),
    "batch_get_trace_infos": lambda w, i: w.tracking.batch_get_trace_infos([i.trace]),
    "search_traces": lambda w, i: w.tracking.search_traces(locations=[i.experiment]),
    "search_traces of a run": lambda w, i: w.tracking.search_traces(
        locations=[w.ids.experiment], filter_string=f"run_id = '{i.run}'"
    ),
    "find_completed_sessions": lambda w, i: w.tracking.find_completed_sessions(
        i.experiment, 0, 1 << 50
    ),
    "calculate_trace_filter_correlation": lambda w, i: (
        w.tracking.calculate_trace_filter_correlation(
            [i.experiment], "status = 'OK'", "status = 'ERROR'"
        )
    ),
    "query_trace_metrics": lambda w, i: w.tracking.query_trace_metrics(
        [i.experiment],
        MetricViewType.TRACES,
        "trace_count",
        [MetricAggregation(AggregationType.COUNT)],
    ),
    "get_assessment": lambda w, i: w.tracking.get_assessment(i.trace, i.assessment),
    # scorers, issues, label schemas, review queues
    "get_scorer": lambda w, i: w.tracking.get_scorer(i.experiment, i.scorer_name),
    "list_scorers": lambda w, i: w.tracking.list_scorers(i.experiment),
    "list_scorer_versions": lambda w, i: w.tracking.list_scorer_versions(
        i.experiment, i.scorer_name
    ),
    "list_scorers_across_experiments": lambda w, i: w.tracking.list_scorers_across_experiments(
        [i.experiment]
    ),
    "get_online_scoring_configs": lambda w, i: w.tracking.get_online_scoring_configs([i.scorer]),
    "get_issue": lambda w, i: w.tracking.get_issue(i.issue),
    "search_issues": lambda w, i: w.tracking.search_issues(i.experiment),
    "get_label_schema": lambda w, i: w.tracking.get_label_schema(i.schema),
    "get_label_schema_by_name": lambda w, i: w.tracking.get_label_schema_by_name(
        i.experiment, i.schema_name
    ),
    "list_label_schemas": lambda w, i: w.tracking.list_label_schemas(i.experiment),
    "get_review_queue": lambda w, i: w.tracking.get_review_queue(i.queue),
    "get_review_queue_by_name": lambda w, i: w.tracking.get_review_queue_by_name(
        i.experiment, name=i.queue_name
    ),
    "list_review_queues": lambda w, i: w.tracking.list_review_queues(i.experiment),
    "list_review_queue_items": lambda w, i: w.tracking.list_review_queue_items(i.queue),
    # gateway
    "get_secret_info": lambda w, i: w.tracking.get_secret_info(i.key),
    "get_secret_info by name": lambda w, i: w.tracking.get_secret_info(secret_name=i.key_name),
    "get_gateway_model_definition": lambda w, i: w.tracking.get_gateway_model_definition(
        i.definition
    ),
    "get_gateway_model_definition by name": lambda w, i: w.tracking.get_gateway_model_definition(
        name=i.definition_name
    ),
    "get_gateway_endpoint": lambda w, i: w.tracking.get_gateway_endpoint(i.endpoint),
    "get_gateway_endpoint by name": lambda w, i: w.tracking.get_gateway_endpoint(
        name=i.endpoint_name
    ),
    "list_gateway_endpoints": lambda w, i: w.tracking.list_gateway_endpoints(secret_id=i.key),
    "list_endpoint_bindings": lambda w, i: w.tracking.list_endpoint_bindings(i.endpoint),
    "list_endpoint_guardrail_configs": lambda w, i: w.tracking.list_endpoint_guardrail_configs(
        i.endpoint
    ),
    "get_gateway_guardrail": lambda w, i: w.tracking.get_gateway_guardrail(i.guardrail),
    "get_budget_policy": lambda w, i: w.tracking.get_budget_policy(i.budget),
    "sum_gateway_trace_cost": lambda w, i: w.tracking.sum_gateway_trace_cost(
        0, 1 << 50, endpoint_id=i.endpoint
    ),
    # MCP servers
    "get_mcp_server": lambda w, i: w.tracking.get_mcp_server(i.mcp),
    "get_mcp_server_version": lambda w, i: w.tracking.get_mcp_server_version(i.mcp, "1.0.0"),
    "get_latest_mcp_server_version": lambda w, i: w.tracking.get_latest_mcp_server_version(i.mcp),
    "get_mcp_server_version_by_alias": lambda w, i: w.tracking.get_mcp_server_version_by_alias(
        i.mcp, "live"
    ),
    "get_mcp_access_endpoint": lambda w, i: w.tracking.get_mcp_access_endpoint(i.mcp, i.access),
    "search_mcp_server_versions": lambda w, i: w.tracking.search_mcp_server_versions(i.mcp),
    "search_mcp_access_endpoints": lambda w, i: w.tracking.search_mcp_access_endpoints(i.mcp),
    # registry
    "get_registered_model": lambda w, i: w.registry.get_registered_model(i.registered),
    "get_latest_versions": lambda w, i: w.registry.get_latest_versions(i.registered),
    "get_model_version": lambda w, i: w.registry.get_model_version(i.registered, 1),
    "get_model_version_by_alias": lambda w, i: w.registry.get_model_version_by_alias(
        i.registered, "best"
    ),
    "get_model_version_download_uri": lambda w, i: w.registry.get_model_version_download_uri(
        i.registered, 1
    ),
    "search_model_versions": lambda w, i: w.registry.search_model_versions(
        f"name = '{i.registered}'"
    ),
    "search_model_versions by run": lambda w, i: w.registry.search_model_versions(
        f"run_id = '{i.run}'"
    ),
    "search_registered_models": lambda w, i: w.registry.search_registered_models(
        f"name = '{i.registered}'"
    ),
    "get_prompt": lambda w, i: w.registry.get_prompt(i.prompt),
    "get_prompt_version": lambda w, i: w.registry.get_prompt_version(i.prompt, 1),
    "get_prompt_version_by_alias": lambda w, i: w.registry.get_prompt_version_by_alias(
        i.prompt, "live"
    ),
    "search_prompts": lambda w, i: w.registry.search_prompts(f"name = '{i.prompt}'"),
    "search_prompt_versions": lambda w, i: w.client.search_prompts(f"name = '{i.prompt}'"),
    "get_webhook": lambda w, i: w.registry.get_webhook(i.webhook),
}

LISTS: dict[str, Call] = {
    # Without an id, but of the caller's workspace only.
    "search_experiments of all": lambda w, _: w.tracking.search_experiments(ViewType.ALL),
    "search_datasets of all": lambda w, _: w.tracking.search_datasets(),
    "search_issues of all": lambda w, _: w.tracking.search_issues(),
    "list_secret_infos": lambda w, _: w.tracking.list_secret_infos(),
    "list_gateway_endpoints of all": lambda w, _: w.tracking.list_gateway_endpoints(),
    "list_gateway_model_definitions": lambda w, _: w.tracking.list_gateway_model_definitions(),
    "list_gateway_guardrails": lambda w, _: w.tracking.list_gateway_guardrails(),
    "list_endpoint_bindings of all": lambda w, _: w.tracking.list_endpoint_bindings(),
    "list_budget_policies": lambda w, _: w.tracking.list_budget_policies(),
    "get_active_online_scorers": lambda w, _: w.tracking.get_active_online_scorers(),
    "search_mcp_servers": lambda w, _: w.tracking.search_mcp_servers(),
    "search_mcp_access_endpoints of all": lambda w, _: w.tracking.search_mcp_access_endpoints(),
    "search_registered_models of all": lambda w, _: w.registry.search_registered_models(),
    "search_model_versions of all": lambda w, _: w.registry.search_model_versions(),
    "search_prompts of all": lambda w, _: w.registry.search_prompts(),
    "list_webhooks": lambda w, _: w.registry.list_webhooks(),
    "list_webhooks_by_event": lambda w, _: w.registry.list_webhooks_by_event(
        WebhookEvent.from_str("registered_model.created")
    ),
}

METRIC = Metric("new", 1.0, 0, 0)

WRITES: dict[str, Call] = {
    # runs
    "create_run": lambda w, i: w.tracking.create_run(i.experiment, "me", 0, [], "new"),
    "update_run_info": lambda w, i: w.tracking.update_run_info(
        i.run, RunStatus.FAILED, 1, "changed"
    ),
    "delete_run": lambda w, i: w.tracking.delete_run(i.run),
    "restore_run": lambda w, i: w.tracking.restore_run(i.deleted_run),
    "log_metric": lambda w, i: w.tracking.log_metric(i.run, METRIC),
    "log_param": lambda w, i: w.tracking.log_param(i.run, Param("new", "1")),
    "set_tag": lambda w, i: w.tracking.set_tag(i.run, RunTag("t", "changed")),
    "delete_tag": lambda w, i: w.tracking.delete_tag(i.run, "t"),
    "log_batch": lambda w, i: w.tracking.log_batch(
        i.run, [METRIC], [Param("new", "1")], [RunTag("new", "1")]
    ),
    "log_batch of tags": lambda w, i: w.tracking.log_batch(i.run, [], [], [RunTag("t", "x")]),
    "log_metric_async": lambda w, i: w.tracking.log_metric_async(i.run, METRIC).wait(),
    "log_param_async": lambda w, i: w.tracking.log_param_async(i.run, Param("new", "1")).wait(),
    "set_tag_async": lambda w, i: w.tracking.set_tag_async(i.run, RunTag("t", "x")).wait(),
    "log_batch_async": lambda w, i: w.tracking.log_batch_async(i.run, [METRIC], [], []).wait(),
    "log_inputs": lambda w, i: w.tracking.log_inputs(
        i.run, datasets=[DatasetInput(Dataset("new", "d", "local", "s"), [])]
    ),
    "log_outputs": lambda w, i: w.tracking.log_outputs(i.run, [LoggedModelOutput(i.model, 0)]),
    "record_logged_model": lambda w, i: w.tracking.record_logged_model(
        i.run, Model(run_id=i.run, artifact_path="net")
    ),
    # model ids and run ids of the other workspace in a run of the caller's own
    "log_metric of a model": lambda w, i: w.tracking.log_metric(
        w.ids.run, Metric("new", 1.0, 0, 0, model_id=i.model)
    ),
    "log_batch of a model": lambda w, i: w.tracking.log_batch(
        w.ids.run, [Metric("new", 1.0, 0, 0, model_id=i.model)], [], []
    ),
    "log_inputs of a model": lambda w, i: w.tracking.log_inputs(
        w.ids.run, models=[LoggedModelInput(i.model)]
    ),
    "log_outputs of a model": lambda w, i: w.tracking.log_outputs(
        w.ids.run, [LoggedModelOutput(i.model, 0)]
    ),
    "create_logged_model of a run": lambda w, i: w.tracking.create_logged_model(
        w.ids.experiment, source_run_id=i.run
    ),
    "create_model_version of a model": lambda w, i: w.registry.create_model_version(
        w.ids.registered, f"{w.ids.artifact_uri}/net", model_id=i.model
    ),
    "create_model_version of a run": lambda w, i: w.registry.create_model_version(
        w.ids.registered, f"{w.ids.artifact_uri}/net", run_id=i.run
    ),
    "create_model_version of a source": lambda w, i: w.registry.create_model_version(
        w.ids.registered, f"{i.artifact_uri}/net"
    ),
    "create_model_version of a models:/ source": lambda w, i: w.registry.create_model_version(
        w.ids.registered, f"models:/{i.model}"
    ),
    "create_model_version of a runs:/ source": lambda w, i: w.registry.create_model_version(
        w.ids.registered, f"runs:/{i.run}/net"
    ),
    "create_issue of a run": lambda w, i: w.tracking.create_issue(
        w.ids.experiment, "new", "new", source_run_id=i.run
    ),
    # experiments
    "rename_experiment": lambda w, i: w.tracking.rename_experiment(i.experiment, "changed"),
    "delete_experiment": lambda w, i: w.tracking.delete_experiment(i.experiment),
    "restore_experiment": lambda w, i: w.tracking.restore_experiment(i.deleted_experiment),
    "set_experiment_tag": lambda w, i: w.tracking.set_experiment_tag(
        i.experiment, ExperimentTag("k", "changed")
    ),
    "delete_experiment_tag": lambda w, i: w.tracking.delete_experiment_tag(i.experiment, "k"),
    # logged models
    "create_logged_model": lambda w, i: w.tracking.create_logged_model(i.experiment),
    "set_logged_model_tags": lambda w, i: w.tracking.set_logged_model_tags(
        i.model, [LoggedModelTag("k", "changed")]
    ),
    "delete_logged_model_tag": lambda w, i: w.tracking.delete_logged_model_tag(i.model, "k"),
    "log_logged_model_params": lambda w, i: w.tracking.log_logged_model_params(
        i.model, [LoggedModelParameter("new", "1")]
    ),
    "finalize_logged_model": lambda w, i: w.tracking.finalize_logged_model(
        i.model, LoggedModelStatus.FAILED
    ),
    "delete_logged_model": lambda w, i: w.tracking.delete_logged_model(i.model),
    "set_model_versions_tags": lambda w, i: w.tracking.set_model_versions_tags(
        w.ids.registered, "1", i.model
    ),
    # datasets
    "create_dataset": lambda w, i: w.tracking.create_dataset("new", experiment_ids=[i.experiment]),
    "add_dataset_to_experiments": lambda w, i: w.tracking.add_dataset_to_experiments(
        i.dataset, [i.other_experiment]
    ),
    "add_dataset_to_experiments of one's own": lambda w, i: w.tracking.add_dataset_to_experiments(
        w.ids.dataset, [i.other_experiment]
    ),
    "remove_dataset_from_experiments": lambda w, i: w.tracking.remove_dataset_from_experiments(
        i.dataset, [i.experiment]
    ),
    "set_dataset_tags": lambda w, i: w.tracking.set_dataset_tags(i.dataset, {"k": "changed"}),
    "delete_dataset_tag": lambda w, i: w.tracking.delete_dataset_tag(i.dataset, "k"),
    "upsert_dataset_records": lambda w, i: w.tracking.upsert_dataset_records(
        i.dataset, [{"inputs": {"q": "new"}}]
    ),
    "delete_dataset_records": lambda w, i: w.tracking.delete_dataset_records(i.dataset, [i.record]),
    "delete_dataset_records by guessed record": lambda w, i: w.tracking.delete_dataset_records(
        w.ids.dataset, [i.record]
    ),
    "delete_dataset": lambda w, i: w.tracking.delete_dataset(i.dataset),
    # traces
    "start_trace": lambda w, i: w.tracking.start_trace(
        trace_info("tr-" + "c" * 32, i.experiment, "new")
    ),
    "start_trace of the same id": lambda w, i: w.tracking.start_trace(
        trace_info(i.trace, w.ids.experiment, "changed")
    ),
    "log_spans": lambda w, i: w.tracking.log_spans(i.experiment, [span(0xC, "new")]),
    "log_spans of the same id": lambda w, i: w.tracking.log_spans(
        w.ids.experiment, [span(i.span_number, "changed")]
    ),
    "deprecated_start_trace_v2": lambda w, i: w.tracking.deprecated_start_trace_v2(
        i.experiment, 1, {}, {}
    ),
    "set_trace_tag": lambda w, i: w.tracking.set_trace_tag(i.trace, "k", "changed"),
    "delete_trace_tag": lambda w, i: w.tracking.delete_trace_tag(i.trace, "k"),
    "delete_traces": lambda w, i: w.tracking.delete_traces(i.experiment, trace_ids=[i.trace]),
    "delete_traces in one's own experiment": lambda w, i: w.tracking.delete_traces(
        w.ids.experiment, trace_ids=[i.trace]
    ),
    "link_traces_to_run": lambda w, i: w.tracking.link_traces_to_run([i.trace], w.ids.run),
    "link_traces_to_run of the other": lambda w, i: w.tracking.link_traces_to_run(
        [w.ids.trace], i.run
    ),
    "link_prompts_to_trace": lambda w, i: w.tracking.link_prompts_to_trace(
        i.trace, [prompt_version(w.ids.prompt)]
    ),
    "create_assessment": lambda w, i: w.tracking.create_assessment(
        Expectation(name="new", value="1", trace_id=i.trace)
    ),
    "create_assessment that overrides": lambda w, i: w.tracking.create_assessment(
        Feedback(name="good", value=1, trace_id=w.ids.trace, overrides=i.assessment)
    ),
    "update_assessment": lambda w, i: w.tracking.update_assessment(
        i.trace, i.assessment, rationale="changed"
    ),
    "update_assessment of one's own trace": lambda w, i: w.tracking.update_assessment(
        w.ids.trace, i.assessment, rationale="changed"
    ),
    "delete_assessment": lambda w, i: w.tracking.delete_assessment(i.trace, i.assessment),
    # scorers, issues, label schemas, review queues
    "register_scorer": lambda w, i: w.tracking.register_scorer(i.experiment, "new", "{}"),
    "delete_scorer": lambda w, i: w.tracking.delete_scorer(i.experiment, i.unused_scorer),
    "create_issue": lambda w, i: w.tracking.create_issue(i.experiment, "new", "new"),
    "update_issue": lambda w, i: w.tracking.update_issue(i.issue, IssueStatus.RESOLVED),
    "update_label_schema": lambda w, i: w.tracking.update_label_schema(i.schema, name="changed"),
    "delete_label_schema": lambda w, i: w.tracking.delete_label_schema(i.schema),
    "create_review_queue": lambda w, i: w.tracking.create_review_queue(
        i.experiment, name="new", queue_type="custom", users=["me"]
    ),
    "create_review_queue of a schema": lambda w, i: w.tracking.create_review_queue(
        w.ids.experiment, name="new", queue_type="custom", users=["me"], schema_ids=[i.schema]
    ),
    "get_or_create_user_queue": lambda w, i: w.tracking.get_or_create_user_queue(
        i.experiment, user="me"
    ),
    "update_review_queue": lambda w, i: w.tracking.update_review_queue(i.queue, users=["you"]),
    "delete_review_queue": lambda w, i: w.tracking.delete_review_queue(i.queue),
    "add_items_to_review_queue": lambda w, i: w.tracking.add_items_to_review_queue(
        i.queue, item_ids=["tr-" + "d" * 32]
    ),
    "remove_items_from_review_queue": lambda w, i: w.tracking.remove_items_from_review_queue(
        i.queue, item_ids=[i.trace]
    ),
    "set_review_queue_item_status": lambda w, i: w.tracking.set_review_queue_item_status(
        i.queue, item_id=i.trace, status="complete", completed_by="me"
    ),
    # gateway
    "update_gateway_secret": lambda w, i: w.tracking.update_gateway_secret(
        i.key, {"api_key": "changed"}
    ),
    "create_gateway_model_definition": lambda w, i: w.tracking.create_gateway_model_definition(
        "new", i.key, "openai", "gpt"
    ),
    "update_gateway_model_definition": lambda w, i: w.tracking.update_gateway_model_definition(
        i.definition, name="changed"
    ),
    "update_gateway_model_definition of a secret": lambda w, i: (
        w.tracking.update_gateway_model_definition(w.ids.definition, secret_id=i.key)
    ),
    "delete_gateway_model_definition": lambda w, i: w.tracking.delete_gateway_model_definition(
        i.second_definition
    ),
    "create_gateway_endpoint": lambda w, i: w.tracking.create_gateway_endpoint(
        "new", [model_config(i.definition)]
    ),
    "update_gateway_endpoint": lambda w, i: w.tracking.update_gateway_endpoint(
        i.endpoint, name="changed"
    ),
    "update_gateway_endpoint of a model": lambda w, i: w.tracking.update_gateway_endpoint(
        w.ids.endpoint, model_configs=[model_config(i.second_definition)]
    ),
    "delete_gateway_endpoint": lambda w, i: w.tracking.delete_gateway_endpoint(i.endpoint),
    "delete_gateway_secret": lambda w, i: w.tracking.delete_gateway_secret(i.key),
    "attach_model_to_endpoint": lambda w, i: w.tracking.attach_model_to_endpoint(
        i.endpoint, model_config(i.second_definition)
    ),
    "attach_model_to_endpoint of one's own": lambda w, i: w.tracking.attach_model_to_endpoint(
        w.ids.endpoint, model_config(i.second_definition)
    ),
    "detach_model_from_endpoint": lambda w, i: w.tracking.detach_model_from_endpoint(
        i.endpoint, i.definition
    ),
    "create_endpoint_binding": lambda w, i: w.tracking.create_endpoint_binding(
        i.endpoint, "scorer", "new"
    ),
    "delete_endpoint_binding": lambda w, i: w.tracking.delete_endpoint_binding(
        i.endpoint, "scorer", i.scorer
    ),
    "set_gateway_endpoint_tag": lambda w, i: w.tracking.set_gateway_endpoint_tag(
        i.endpoint, GatewayEndpointTag("k", "changed")
    ),
    "delete_gateway_endpoint_tag": lambda w, i: w.tracking.delete_gateway_endpoint_tag(
        i.endpoint, "k"
    ),
    "create_gateway_guardrail": lambda w, i: w.tracking.create_gateway_guardrail(
        "new", i.scorer, 1, GuardrailStage.BEFORE, GuardrailAction.VALIDATION
    ),
    "create_gateway_guardrail of an endpoint": lambda w, i: w.tracking.create_gateway_guardrail(
        "new",
        w.ids.scorer,
        1,
        GuardrailStage.BEFORE,
        GuardrailAction.SANITIZATION,
        action_endpoint_id=i.endpoint,
    ),
    "delete_gateway_guardrail": lambda w, i: w.tracking.delete_gateway_guardrail(
        i.unused_guardrail
    ),
    "add_guardrail_to_endpoint": lambda w, i: w.tracking.add_guardrail_to_endpoint(
        i.endpoint, w.ids.unused_guardrail
    ),
    "add_guardrail_to_endpoint of the other": lambda w, i: w.tracking.add_guardrail_to_endpoint(
        w.ids.endpoint, i.unused_guardrail
    ),
    "update_endpoint_guardrail_config": lambda w, i: w.tracking.update_endpoint_guardrail_config(
        i.endpoint, i.guardrail, 7
    ),
    "remove_guardrail_from_endpoint": lambda w, i: w.tracking.remove_guardrail_from_endpoint(
        i.endpoint, i.guardrail
    ),
    "update_budget_policy": lambda w, i: w.tracking.update_budget_policy(
        i.budget, budget_amount=9.0
    ),
    "delete_budget_policy": lambda w, i: w.tracking.delete_budget_policy(i.budget),
    # MCP servers
    "update_mcp_server": lambda w, i: w.tracking.update_mcp_server(i.mcp, description="changed"),
    "delete_mcp_server": lambda w, i: w.tracking.delete_mcp_server(i.mcp),
    "update_mcp_server_version": lambda w, i: w.tracking.update_mcp_server_version(
        i.mcp, "1.0.0", last_updated_by="changed"
    ),
    "delete_mcp_server_version": lambda w, i: w.tracking.delete_mcp_server_version(i.mcp, "1.0.0"),
    "set_mcp_server_tag": lambda w, i: w.tracking.set_mcp_server_tag(i.mcp, "k", "changed"),
    "delete_mcp_server_tag": lambda w, i: w.tracking.delete_mcp_server_tag(i.mcp, "k"),
    "set_mcp_server_version_tag": lambda w, i: w.tracking.set_mcp_server_version_tag(
        i.mcp, "1.0.0", "k", "changed"
    ),
    "delete_mcp_server_version_tag": lambda w, i: w.tracking.delete_mcp_server_version_tag(
        i.mcp, "1.0.0", "k"
    ),
    "set_mcp_server_alias": lambda w, i: w.tracking.set_mcp_server_alias(i.mcp, "new", "1.0.0"),
    "delete_mcp_server_alias": lambda w, i: w.tracking.delete_mcp_server_alias(i.mcp, "live"),
    "create_mcp_access_endpoint": lambda w, i: w.tracking.create_mcp_access_endpoint(
        i.mcp, "https://1.1.1.1/new", server_version="1.0.0"
    ),
    "update_mcp_access_endpoint": lambda w, i: w.tracking.update_mcp_access_endpoint(
        i.mcp, i.access, url="https://1.1.1.1/changed"
    ),
    "delete_mcp_access_endpoint": lambda w, i: w.tracking.delete_mcp_access_endpoint(
        i.mcp, i.access
    ),
    # registry
    "create_model_version": lambda w, i: w.registry.create_model_version(
        i.registered, f"{w.ids.artifact_uri}/net"
    ),
    "update_registered_model": lambda w, i: w.registry.update_registered_model(
        i.registered, "changed"
    ),
    "rename_registered_model": lambda w, i: w.registry.rename_registered_model(
        i.registered, "changed"
    ),
    "delete_registered_model": lambda w, i: w.registry.delete_registered_model(i.registered),
    "set_registered_model_tag": lambda w, i: w.registry.set_registered_model_tag(
        i.registered, RegisteredModelTag("k", "changed")
    ),
    "delete_registered_model_tag": lambda w, i: w.registry.delete_registered_model_tag(
        i.registered, "k"
    ),
    "set_registered_model_alias": lambda w, i: w.registry.set_registered_model_alias(
        i.registered, "new", "1"
    ),
    "delete_registered_model_alias": lambda w, i: w.registry.delete_registered_model_alias(
        i.registered, "best"
    ),
    "update_model_version": lambda w, i: w.registry.update_model_version(
        i.registered, 1, "changed"
    ),
    "transition_model_version_stage": lambda w, i: w.registry.transition_model_version_stage(
        i.registered, 1, "Archived", archive_existing_versions=False
    ),
    "delete_model_version": lambda w, i: w.registry.delete_model_version(i.registered, 1),
    "set_model_version_tag": lambda w, i: w.registry.set_model_version_tag(
        i.registered, 1, ModelVersionTag("k", "changed")
    ),
    "delete_model_version_tag": lambda w, i: w.registry.delete_model_version_tag(
        i.registered, 1, "k"
    ),
    "create_prompt_version": lambda w, i: w.registry.create_prompt_version(i.prompt, "new"),
    "delete_prompt": lambda w, i: w.registry.delete_prompt(i.prompt),
    "set_prompt_tag": lambda w, i: w.registry.set_prompt_tag(i.prompt, "k", "changed"),
    "delete_prompt_tag": lambda w, i: w.registry.delete_prompt_tag(i.prompt, "k"),
    "delete_prompt_version": lambda w, i: w.registry.delete_prompt_version(i.prompt, 1),
    "set_prompt_version_tag": lambda w, i: w.registry.set_prompt_version_tag(
        i.prompt, 1, "k", "changed"
    ),
    "delete_prompt_version_tag": lambda w, i: w.registry.delete_prompt_version_tag(
        i.prompt, 1, "k"
    ),
    "set_prompt_alias": lambda w, i: w.registry.set_prompt_alias(i.prompt, "new", 1),
    "delete_prompt_alias": lambda w, i: w.registry.delete_prompt_alias(i.prompt, "live"),
    "link_prompt_version_to_model": lambda w, i: w.registry.link_prompt_version_to_model(
        w.ids.prompt, "1", i.model
    ),
    "link_prompt_version_to_run": lambda w, i: w.registry.link_prompt_version_to_run(
        w.ids.prompt, "1", i.run
    ),
    "link_prompts_to_trace in the registry": lambda w, i: w.registry.link_prompts_to_trace(
        [prompt_version(w.ids.prompt)], i.trace
    ),
    "update_webhook": lambda w, i: w.registry.update_webhook(i.webhook, name="changed"),
    "delete_webhook": lambda w, i: w.registry.delete_webhook(i.webhook),
    "copy_model_version": lambda w, i: w.registry.copy_model_version(
        w.registry.get_model_version(i.registered, 1), "copy"
    ),
    "copy_model_version of an object": lambda w, i: w.registry.copy_model_version(
        ModelVersion(i.registered, "1", 0, source=f"{i.artifact_uri}/net", run_id=i.run),
        w.ids.registered,
    ),
}


def method_of(name: str) -> str:
    return name.partition(" ")[0]


def exists_here(name: str) -> bool:
    """Whether the installed MLflow has it: some came with a later minor than the oldest one."""
    stores = (_tracking_class(), _registry_class())
    return any(hasattr(store, method_of(name)) for store in stores)


def _tracking_class() -> type:
    from mlflow_ws_plugin.stores.tracking import WorkspaceTrackingStore

    return WorkspaceTrackingStore


def _registry_class() -> type:
    from mlflow_ws_plugin.stores.registry import WorkspaceRegistryStore

    return WorkspaceRegistryStore


# --- the world ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, door: str) -> tuple[Workspace, Workspace]:
    """`alpha`, who attacks, and `beta`, in one home."""
    home = tmp_path_factory.mktemp("world") / "home"
    return Workspace(home, "alpha", door).fill(), Workspace(home, "beta", door).fill()


@pytest.fixture
def alpha(world: tuple[Workspace, Workspace]) -> Workspace:
    return world[0]


@pytest.fixture
def beta(world: tuple[Workspace, Workspace]) -> Workspace:
    return world[1]


@pytest.fixture
def beta_copy(beta: Workspace, tmp_path: Path) -> Workspace:
    """`beta` in a copy of the home, to write to."""
    close_all()
    shutil.copytree(beta.home, tmp_path / "copy")
    return beta.in_copy(tmp_path / "copy")


def dump(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "workspaces.db")) as connection:
        return list(connection.iterdump())


def changes(before: list[str], home: Path) -> list[str]:
    return sorted(set(before) ^ set(dump(home)))


def everything_in(value: Any, depth: int = 8) -> Iterator[str]:
    """All text in an answer of MLflow, however nested."""
    if depth == 0 or value is None:
        return
    if isinstance(value, (str, int, float, bool)):
        yield str(value)
    elif isinstance(value, dict):
        for pair in value.items():
            for item in pair:
                yield from everything_in(item, depth - 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from everything_in(item, depth - 1)
    elif hasattr(value, "__dict__"):
        yield from everything_in(vars(value), depth - 1)
    else:
        yield str(value)


# --- the tests ------------------------------------------------------------------------------------

EXEMPT = {
    "add_guardrail_to_endpoint",
    "archive_traces",  # a server's job over all experiments of the caller's workspace
    "create_budget_policy",  # of the caller's workspace, takes no id
    "create_experiment",
    "create_gateway_secret",
    "create_label_schema",
    "create_mcp_server",
    "create_mcp_server_version",  # makes the server that it names, in the caller's workspace
    "create_prompt",
    "create_registered_model",
    "create_webhook",
    "deprecated_end_trace_v2",  # of traces that deprecated_start_trace_v2 made
    "end_async_logging",
    "flush_async_logging",
    "get_mcp_server_versions_for_trace",  # not implemented in MLflow's SQL store
    "get_online_trace_details",  # not implemented there
    "link_mcp_server_versions_to_trace",  # not implemented there
    "log_spans_async",
    "resolve_endpoint_in_scorer",  # takes an object, not an id
    "resolve_trace_archival_config",
    "sanitize_metric_value",
    "shut_down_async_logging",
    "test_webhook",  # would send a request
    "unlink_traces_from_run",  # not implemented in MLflow's SQL store
    "upsert_online_scoring_config",  # needs a scorer on a gateway model
    # Ours, not MLflow's.
    "create_experiment_at",
    "foreign_models",
}


def test_every_store_method_is_attacked_or_exempt_for_a_reason() -> None:
    """A method that a later MLflow adds appears here."""
    known = {method_of(name) for name in (*READS, *LISTS, *WRITES)} | EXEMPT
    public = {
        name
        for store in (_tracking_class(), _registry_class())
        for name, _ in inspect.getmembers(store, inspect.isfunction)
        if not name.startswith("_")
    }
    assert public - known == set()


@pytest.mark.parametrize("name", [*READS, *LISTS])
def test_within_its_own_workspace_a_read_works(beta: Workspace, name: str) -> None:
    if not exists_here(name):
        pytest.skip(f"MLflow {mlflow.__version__} has no {method_of(name)}")
    mlflow.set_tracking_uri(beta.uri)
    ({**READS, **LISTS})[name](beta, beta.ids)


@pytest.mark.parametrize("name", [*READS, *LISTS])
def test_a_read_from_another_workspace_finds_nothing(
    alpha: Workspace, beta: Workspace, name: str
) -> None:
    if not exists_here(name):
        pytest.skip(f"MLflow {mlflow.__version__} has no {method_of(name)}")
    before = dump(beta.home)
    mlflow.set_tracking_uri(alpha.uri)
    try:
        answer = ({**READS, **LISTS})[name](alpha, beta.ids)
    except MlflowException as error:
        answer = None
        assert beta.ids.secret not in error.message  # noqa: PT017  # both outcomes are right
    texts = set(everything_in(answer))
    ids = {value for key, value in vars(beta.ids).items() if key not in SHORT}
    assert not any(beta.ids.secret in text for text in texts)
    assert texts & ids == set()
    assert changes(before, beta.home) == []


# Ids that are small numbers, so that any number could be one.
SHORT = {"experiment", "other_experiment", "deleted_experiment", "span_number"}


@pytest.mark.parametrize("name", WRITES)
def test_within_its_own_workspace_a_write_works(beta_copy: Workspace, name: str) -> None:
    if not exists_here(name):
        pytest.skip(f"MLflow {mlflow.__version__} has no {method_of(name)}")
    mlflow.set_tracking_uri(beta_copy.uri)
    WRITES[name](beta_copy, beta_copy.ids)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_from_another_workspace_changes_nothing(
    alpha: Workspace, beta: Workspace, name: str
) -> None:
    """Not a row: neither the other workspace's nor a reference to it in one's own."""
    if not exists_here(name):
        pytest.skip(f"MLflow {mlflow.__version__} has no {method_of(name)}")
    before = dump(beta.home)
    mlflow.set_tracking_uri(alpha.uri)
    try:
        answer = WRITES[name](alpha, beta.ids)
    except Exception as error:  # noqa: BLE001  # asserted below
        answer = error
    assert changes(before, beta.home) == []
    if isinstance(answer, Exception):
        assert isinstance(answer, MlflowException)
    else:
        assert not any(beta.ids.secret in text for text in everything_in(answer))


# --- workspaces themselves ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: mlflow.get_workspace("beta"),
        lambda: mlflow.update_workspace("beta", description="changed"),
        lambda: mlflow.delete_workspace("beta"),
        lambda: mlflow.create_workspace("gamma"),
    ],
)
def test_another_workspace_cannot_be_managed(
    alpha: Workspace, beta: Workspace, call: Callable[[], Any]
) -> None:
    before = dump(beta.home)
    mlflow.set_tracking_uri(alpha.uri)
    with pytest.raises(MlflowException):
        call()
    assert changes(before, beta.home) == []


@pytest.mark.core
def test_a_list_of_workspaces_names_ones_own_only(alpha: Workspace) -> None:
    mlflow.set_tracking_uri(alpha.uri)
    assert [workspace.name for workspace in mlflow.list_workspaces()] == ["alpha"]


# --- artifacts ------------------------------------------------------------------------------------

# {path} is what follows `mlflow-artifacts:/workspaces/beta/` in a URI of `beta`.
DISGUISES = [
    "mlflow-artifacts:/workspaces/beta/{path}",
    "mlflow-artifacts:///workspaces/beta/{path}",
    "mlflow-artifacts:/workspaces//beta/{path}",
    "mlflow-artifacts:/workspaces/./beta/{path}",
    "mlflow-artifacts:/workspaces/beta//{path}",
    "mlflow-artifacts://workspaces/beta/{path}",
    "mlflow-artifacts://localhost/workspaces/beta/{path}",
    "mlflow-artifacts:/workspaces/alpha/../beta/{path}",
    "mlflow-artifacts:/workspaces/alpha/1/../../beta/{path}",
    "mlflow-artifacts:/workspaces/alpha/%2e%2e/beta/{path}",
    "mlflow-artifacts:/workspaces/alpha/%2E%2E%2Fbeta/{path}",
    "mlflow-artifacts:/workspaces/alpha/%252e%252e/beta/{path}",
    "mlflow-artifacts:/workspaces/alpha/..%2fbeta/{path}",
    "mlflow-artifacts:/workspaces/alpha/..%5cbeta/{path}",
    "mlflow-artifacts:/workspaces/alpha\\..\\beta/{path}",
    "mlflow-artifacts:/workspaces\\beta\\{path}",
    "mlflow-artifacts:/workspaces/%62eta/{path}",
    "mlflow-artifacts:/workspaces%2fbeta/{path}",
    "mlflow-artifacts:/workspaces/alpha/..;/beta/{path}",
    "mlflow-artifacts:/x/../workspaces/beta/{path}",
    "mlflow-artifacts:workspaces/beta/{path}",
    "mlflow-artifacts:/workspaces/beta/{path}#x",
    "MLFLOW-ARTIFACTS:/workspaces/beta/{path}",
    "mlflow-artifacts:/",
    "mlflow-artifacts:/workspaces",
    "mlflow-artifacts:/workspaces/alpha/..",
    "mlflow-artifacts:/.",
]


def disguised(template: str, beta: Workspace) -> str:
    return template.format(path=beta.ids.artifact_uri.partition("/workspaces/beta/")[2])


def artifact_files(home: Path) -> dict[str, bytes]:
    root = home / "artifacts"
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def reads_of(uri: str, tracking_uri: str, target: Path) -> Iterator[Callable[[], Any]]:
    """The ways to look at what a URI names: whole, at a file in it, and from its parent."""
    yield lambda: get_artifact_repository(uri, tracking_uri=tracking_uri).list_artifacts()
    yield lambda: get_artifact_repository(uri, tracking_uri=tracking_uri).download_artifacts("")
    yield lambda: get_artifact_repository(uri, tracking_uri=tracking_uri).download_artifacts(
        "note.txt", str(target)
    )
    yield lambda: list_artifacts(artifact_uri=f"{uri}/note.txt", tracking_uri=tracking_uri)
    yield lambda: download_artifacts(
        artifact_uri=f"{uri}/note.txt", tracking_uri=tracking_uri, dst_path=str(target)
    )
    yield lambda: download_artifacts(
        artifact_uri=uri, tracking_uri=tracking_uri, dst_path=str(target)
    )


def what_is_found(calls: Iterator[Callable[[], Any]], target: Path) -> list[str]:
    """Everything that the calls gave out: answers, and the content of what they downloaded."""
    found: list[str] = []
    for call in calls:
        try:
            answer = call()
        except Exception as error:  # noqa: BLE001  # whatever MLflow makes of a strange URI
            answer = None
            found.append(str(error) if SECRET in str(error) else "")
        found.extend(everything_in(answer))
        if isinstance(answer, str) and Path(answer).exists():
            found.extend(_texts(Path(answer)))
    return [*found, *_texts(target)]


def _texts(path: Path) -> list[str]:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return [*map(str, files), *(file.read_text(errors="replace") for file in files)]


@pytest.mark.parametrize("template", DISGUISES)
def test_no_uri_reads_artifacts_of_another_workspace(
    alpha: Workspace, beta: Workspace, tmp_path: Path, template: str
) -> None:
    mlflow.set_tracking_uri(alpha.uri)
    target = tmp_path / "target"
    target.mkdir()
    uri = disguised(template, beta)
    found = what_is_found(reads_of(uri, alpha.uri, target), target)
    assert [text for text in found if beta.ids.secret in text or "note.txt" in text] == []


@pytest.mark.core
def test_the_same_reads_find_ones_own_artifacts(beta: Workspace, tmp_path: Path) -> None:
    """So that the test above can fail."""
    target = tmp_path / "target"
    target.mkdir()
    found = what_is_found(reads_of(beta.ids.artifact_uri, beta.uri, target), target)
    assert beta.ids.secret in found
    assert any(text.endswith("note.txt") for text in found)


@pytest.mark.parametrize("template", DISGUISES)
def test_no_uri_writes_or_deletes_artifacts_of_another_workspace(
    alpha: Workspace, beta: Workspace, tmp_path: Path, template: str
) -> None:
    (tmp_path / "note.txt").write_text("changed")
    before = artifact_files(beta.home)
    uri = disguised(template, beta)
    for action in (
        lambda r: r.log_artifact(str(tmp_path / "note.txt")),
        lambda r: r.log_artifacts(str(tmp_path), "sub"),
        lambda r: r.delete_artifacts("note.txt"),
        lambda r: r.delete_artifacts(),
    ):
        with contextlib.suppress(Exception):
            action(get_artifact_repository(uri, tracking_uri=alpha.uri))
    assert artifact_files(beta.home) == before


@pytest.mark.parametrize(
    "template",
    [
        "runs:/{run}/note.txt",
        "runs:/{run}",
        "models:/{model}",
        "models:/{registered}/1",
        "models:/{registered}@best",
    ],
)
def test_no_run_or_model_uri_reaches_another_workspace(
    alpha: Workspace, beta: Workspace, tmp_path: Path, template: str
) -> None:
    mlflow.set_tracking_uri(alpha.uri)
    uri = template.format(**vars(beta.ids))
    for call in (
        lambda: list_artifacts(artifact_uri=uri),
        lambda: download_artifacts(artifact_uri=uri, dst_path=str(tmp_path)),
    ):
        with pytest.raises(MlflowException):
            call()
    assert _texts(tmp_path) == []


@pytest.mark.parametrize("kind", ["directory", "file", "workspace"])
def test_no_symbolic_link_reaches_another_workspace(
    alpha: Workspace, beta: Workspace, tmp_path: Path, kind: str
) -> None:
    own = alpha.home / "artifacts" / alpha.ids.artifact_uri.removeprefix("mlflow-artifacts:/")
    other = beta.home / "artifacts" / beta.ids.artifact_uri.removeprefix("mlflow-artifacts:/")
    link = own / f"link-{kind}"
    link.symlink_to({"directory": other, "file": other / "note.txt", "workspace": own}[kind])
    if kind == "workspace":
        link.unlink()
        link.symlink_to(beta.home / "artifacts" / "workspaces" / "beta")
    (tmp_path / "note.txt").write_text("changed")
    before = artifact_files(beta.home)
    repository = get_artifact_repository(alpha.ids.artifact_uri, tracking_uri=alpha.uri)
    target = tmp_path / "target"
    target.mkdir()
    calls: list[Callable[[], Any]] = [
        lambda: repository.list_artifacts(link.name),
        lambda: repository.download_artifacts(link.name),
        lambda: repository.download_artifacts(link.name, str(target)),
        lambda: repository.download_artifacts(f"{link.name}/note.txt", str(target)),
        lambda: repository.download_artifacts("", str(target)),
    ]
    writes: list[Callable[[], Any]] = [
        lambda: repository.log_artifact(str(tmp_path / "note.txt"), link.name),
        lambda: repository.delete_artifacts(f"{link.name}/note.txt"),
        lambda: repository.delete_artifacts(link.name),
    ]
    try:
        found = what_is_found(iter(calls), target)
        for write in writes:
            with contextlib.suppress(MlflowException):
                write()
        after = artifact_files(beta.home)
    finally:
        link.unlink(missing_ok=True)
    assert [text for text in found if beta.ids.secret in text] == []
    assert {k: v for k, v in after.items() if "beta" in k} == {
        k: v for k, v in before.items() if "beta" in k
    }


def _places_of(beta: Workspace) -> list[str]:
    """Where an experiment or a model version must not point to."""
    directory = beta.home / "artifacts" / "workspaces" / "beta"
    linked = beta.home.parent / "linked"
    linked.unlink(missing_ok=True)
    linked.symlink_to(directory)
    run = beta.ids.artifact_uri.removeprefix("mlflow-artifacts:/workspaces/beta/")
    return [
        # `..;` is a plain name here, below one's own directory.
        *(disguised(template, beta) for template in DISGUISES if "..;" not in template),
        f"{directory}/{run}",
        f"{directory.as_uri()}/{run}",
        f"{directory}/../beta/{run}",
        f"{beta.home}/artifacts",
        f"{beta.home}/artifacts/workspaces/alpha/../beta/{run}",
        f"{linked}/{run}",
        f"file://localhost{directory}/{run}",
        f"{directory.as_uri().replace('beta', '%62eta')}/{run}",
    ]


@pytest.mark.parametrize("number", range(len(DISGUISES) + 7))
def test_an_experiment_cannot_be_located_in_another_workspace(
    alpha: Workspace, beta: Workspace, number: int
) -> None:
    location = _places_of(beta)[number]
    before = dump(beta.home), artifact_files(beta.home)
    with pytest.raises(MlflowException):
        alpha.client.create_experiment(f"located-{number}", artifact_location=location)
    assert (dump(beta.home), artifact_files(beta.home)) == before


@pytest.mark.parametrize("number", range(len(DISGUISES) + 7))
def test_a_model_version_cannot_have_its_source_in_another_workspace(
    alpha: Workspace, beta: Workspace, number: int
) -> None:
    source = _places_of(beta)[number]
    before = dump(beta.home)
    mlflow.set_tracking_uri(alpha.uri)
    with pytest.raises(MlflowException):
        alpha.client.create_model_version(alpha.ids.registered, source)
    assert changes(before, beta.home) == []


@pytest.mark.parametrize("location", ["", "/workspaces", "/workspaces/beta"])
def test_a_row_whose_location_is_above_other_workspaces_does_not_open_them(
    alpha: Workspace, beta: Workspace, tmp_path: Path, location: str
) -> None:
    """Such as one that a server without workspaces took; one experiment's place is no wider."""
    close_all()
    home = Path(shutil.copytree(beta.home, tmp_path / "copy"))
    forged = f"mlflow-artifacts:{location or '/'}"
    with closing(sqlite3.connect(home / "workspaces.db")) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            [forged, int(alpha.ids.experiment)],
        )
    target = tmp_path / "target"
    target.mkdir()
    uri = beta.ids.artifact_uri
    there = alpha.in_copy(home)
    found = what_is_found(reads_of(uri, there.uri, target), target)
    found += what_is_found(reads_of(forged, there.uri, target), target)
    assert [text for text in found if beta.ids.secret in text] == []


# --- prompts --------------------------------------------------------------------------------------


_one_prompt_cache = pytest.mark.xfail(
    Version(mlflow.__version__) < Version("3.17"),
    reason="MLflow's prompt cache knows names only, not the store they are of; see the README",
)


@_one_prompt_cache
@pytest.mark.parametrize("by", ["version", "uri", "alias"])
@pytest.mark.parametrize("through", ["clients", "fluent"])
def test_a_prompt_that_was_loaded_from_one_workspace_is_not_given_out_in_another(
    alpha: Workspace, beta: Workspace, through: str, by: str
) -> None:
    """MLflow keeps prompts in the process; the same name means another prompt here."""
    name = f"greeting-{through}-{by}"
    for workspace in (alpha, beta):
        workspace.client.register_prompt(name, f"hello from {workspace.name}")
        workspace.client.set_prompt_alias(name, "live", 1)
    arguments: dict[str, tuple[Any, ...]] = {
        "version": (name, 1),
        "uri": (f"prompts:/{name}/1",),
        "alias": (f"prompts:/{name}@live",),
    }
    texts = []
    for workspace in (alpha, beta, alpha):
        mlflow.set_tracking_uri(workspace.uri)
        source = workspace.client if through == "clients" else mlflow.genai
        texts.append(source.load_prompt(*arguments[by]).template)
    assert texts == ["hello from alpha", "hello from beta", "hello from alpha"]


@_one_prompt_cache
def test_a_prompt_of_another_workspace_is_not_found_even_when_it_was_loaded_there(
    alpha: Workspace, beta: Workspace
) -> None:
    assert beta.client.load_prompt(beta.ids.prompt, 1).template
    mlflow.set_tracking_uri(alpha.uri)
    with pytest.raises(MlflowException, match="not found"):
        alpha.client.load_prompt(beta.ids.prompt, 1)
