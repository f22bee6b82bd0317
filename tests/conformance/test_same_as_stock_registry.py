"""The model registry, prompts and webhooks behave as on MLflow's own SQLite store."""

from __future__ import annotations

import pytest
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.prompt.constants import PROMPT_TYPE_TAG_KEY
from twin import Side, same_as_stock

# Stages are deprecated in MLflow; scripts still use them.
_stages = pytest.mark.filterwarnings("ignore:(?s).*Model registry stages:FutureWarning")


def _run(s: Side) -> tuple[str, str]:
    info = s.client.create_run("0", start_time=1, run_name="first").info
    return info.run_id, info.artifact_uri


def _version(s: Side, name: str = "net", **kwargs: object) -> None:
    run_id, uri = _run(s)
    s.do(s.client.create_model_version, name, f"{uri}/model", run_id, **kwargs)


# --- registered models ----------------------------------------------------------------------------


@same_as_stock
def test_a_registered_model_reads_back_the_same(s: Side) -> None:
    s.do(s.client.get_registered_model, "net")
    s.do(s.client.create_registered_model, "net", {"colour": "blue"}, "**description**")
    s.do(s.client.create_registered_model, "net")
    s.do(s.client.get_registered_model, "net")
    s.do(s.client.update_registered_model, "net", "changed")
    s.do(s.client.update_registered_model, "net", None)
    s.do(s.client.update_registered_model, "absent", "changed")
    s.do(s.client.get_registered_model, "net")
    for name in ("", None, "a/b", "a:b", "a b", ".", "..", "../x", "n" * 256, "n" * 257, "ü", 5):
        s.do(s.client.create_registered_model, name)
    s.do(s.client.create_registered_model, "tagged", {"k" * 251: "v"})
    s.do(s.client.create_registered_model, "tagged", {"k": "v" * 100_001})
    s.do(s.client.search_registered_models, order_by=["name"])


@same_as_stock
def test_rename_and_delete_take_the_versions_along(s: Side) -> None:
    s.do(s.client.create_registered_model, "net", {"colour": "blue"})
    s.do(s.client.create_registered_model, "taken")
    _version(s, tags={"a": "1"})
    s.do(s.client.set_registered_model_alias, "net", "best", "1")
    s.do(s.client.rename_registered_model, "net", "taken")
    s.do(s.client.rename_registered_model, "net", "")
    s.do(s.client.rename_registered_model, "absent", "other")
    s.do(s.client.rename_registered_model, "net", "web")
    s.do(s.client.get_registered_model, "net")
    s.do(s.client.get_registered_model, "web")
    s.do(s.client.get_model_version, "web", "1")
    s.do(s.client.get_model_version_by_alias, "web", "best")
    for _ in range(2):
        s.do(s.client.delete_registered_model, "web")
    s.do(s.client.get_model_version, "web", "1")
    s.do(s.client.search_model_versions)
    s.do(s.client.create_registered_model, "web")
    _version(s, "web")


@same_as_stock
def test_tags_of_registered_models(s: Side) -> None:
    s.do(s.client.create_registered_model, "net")
    for value in ("blue", "red", "", None, 5):
        s.do(s.client.set_registered_model_tag, "net", "colour", value)
    for key in ("", None, "k" * 250, "k" * 251, "a/b"):
        s.do(s.client.set_registered_model_tag, "net", key, "v")
    s.do(s.client.set_registered_model_tag, "absent", "k", "v")
    for _ in range(2):
        s.do(s.client.delete_registered_model_tag, "net", "colour")
    s.do(s.client.delete_registered_model_tag, "absent", "k")
    s.do(s.client.get_registered_model, "net")


@same_as_stock
def test_search_for_registered_models(s: Side) -> None:
    for i, name in enumerate(("alpha", "Beta", "gamma", "alphabet", "50%_x")):
        s.client.create_registered_model(name, {"rank": str(i % 2)}, "text")
    for filter_string in (
        None,
        "name = 'alpha'",
        "name != 'alpha'",
        "name LIKE 'alpha%'",
        "name ILIKE 'BETA'",
        "tags.rank = '1'",
        "tags.rank != '1'",
        "tags.rank = '0' AND name ILIKE '%a'",
        "tag.rank = '1'",
        "name > 'a'",
        "name = alpha",
        "nothing = 'x'",
        "name IN ('alpha')",
        "name = 'a' OR name = 'b'",
    ):
        s.do(s.client.search_registered_models, filter_string, order_by=["name"])
    for order_by in (["name DESC"], ["timestamp", "name"], ["last_updated_timestamp", "name"]):
        s.do(s.client.search_registered_models, order_by=order_by)
    for order_by in (["nothing"], ["name SIDEWAYS"], ["name", "name"]):
        s.do(s.client.search_registered_models, order_by=order_by)
    page = s.do(s.client.search_registered_models, max_results=2)
    while page.token:
        page = s.do(s.client.search_registered_models, max_results=2, page_token=page.token)
    for max_results in (0, -1, 1000, 1001, 100_000):
        s.do(s.client.search_registered_models, max_results=max_results)
    s.do(s.client.search_registered_models, page_token="no token")


# --- versions -------------------------------------------------------------------------------------


@_stages
@pytest.mark.core
@same_as_stock
def test_a_model_version_reads_back_the_same(s: Side) -> None:
    s.client.create_registered_model("net")
    run_id, uri = _run(s)
    s.do(
        s.client.create_model_version,
        "net",
        f"{uri}/model",
        run_id,
        tags={"colour": "blue"},
        run_link="http://127.0.0.1/run",
        description="text",
    )
    s.do(s.client.create_model_version, "net", "s3://bucket/model")
    s.do(s.client.create_model_version, "net", f"runs:/{run_id}/model", run_id)
    s.do(s.client.create_model_version, "net", f"{uri}/model", "0" * 32)
    for version in ("1", 1, "2", "3", "99", "letters", "", None, "1.0", "-1"):
        s.do(s.client.get_model_version, "net", version)
        s.do(s.client.get_model_version_download_uri, "net", version)
    s.do(s.client.get_model_version, "absent", "1")
    s.do(s.client.create_model_version, "absent", uri)
    s.do(s.client.update_model_version, "net", "1", "changed")
    s.do(s.client.update_model_version, "net", "99", "changed")
    s.do(s.client.get_registered_model, "net")
    s.do(s.client.get_latest_versions, "net")
    s.do(s.client.get_model_version_stages, "net", "1")


@same_as_stock
def test_sources_of_versions_are_taken_or_refused_alike(s: Side) -> None:
    s.use()
    s.client.create_registered_model("net")
    model = s.do(s.client.create_logged_model, "0", "model")
    local = s.write("model/MLmodel", "flavors: {}").parent
    s.do(s.client.create_model_version, "net", f"models:/{model.model_id}")
    s.do(s.client.create_model_version, "net", model.artifact_location, model_id=model.model_id)
    s.do(s.client.get_logged_model, model.model_id)
    for source in (
        str(local),
        f"file://{local}",
        "models:/net/1",
        "models:/net/99",
        "models:/m-" + "0" * 32,
        "models:/",
        "s3://bucket/a/model",
        "http://127.0.0.1/model",
        "",
    ):
        s.do(s.client.create_model_version, "net", source)
    s.do(s.client.create_model_version, "net", str(local), model_id="m-" + "0" * 32)
    s.do(s.client.search_model_versions, order_by=["version_number"])


@_stages
@same_as_stock
def test_stages_move_and_archive_alike(s: Side) -> None:
    s.client.create_registered_model("net")
    for _ in range(3):
        _version(s)
    move = s.client.transition_model_version_stage
    s.do(move, "net", "1", "Production")
    s.do(move, "net", "2", "production")
    s.do(move, "net", "3", "Production", archive_existing_versions=True)
    s.do(move, "net", "1", "None")
    s.do(move, "net", "2", "Staging", archive_existing_versions=True)
    s.do(move, "net", "2", "Nowhere")
    s.do(move, "net", "2", "Archived", archive_existing_versions=True)
    s.do(move, "net", "99", "Production")
    s.do(s.client.get_registered_model, "net")
    for stages in (None, [], ["Production"], ["production", "None"], ["Nowhere"]):
        s.do(s.client.get_latest_versions, "net", stages)
    s.do(s.client.get_latest_versions, "absent")


@_stages
@same_as_stock
def test_tags_of_versions_by_version_and_by_stage(s: Side) -> None:
    s.client.create_registered_model("net")
    _version(s, tags={"colour": "blue"})
    for value in ("red", "", None, 5):
        s.do(s.client.set_model_version_tag, "net", "1", "colour", value)
    s.do(s.client.set_model_version_tag, "net", "99", "k", "v")
    s.do(s.client.set_model_version_tag, "net", "1", "k" * 251, "v")
    s.do(s.client.set_model_version_tag, "net", "1", "", "v")
    s.do(s.client.set_model_version_tag, "net", stage="None", key="by stage", value="v")
    s.do(s.client.set_model_version_tag, "net", stage="Production", key="by stage", value="v")
    s.do(s.client.get_model_version, "net", "1")
    for _ in range(2):
        s.do(s.client.delete_model_version_tag, "net", "1", "colour")
    s.do(s.client.get_model_version, "net", "1")
    s.do(s.client.search_model_versions, "tags.`by stage` = 'v'")


@_stages
@same_as_stock
def test_a_deleted_version_is_gone_and_its_number_is_not_used_again(s: Side) -> None:
    s.client.create_registered_model("net")
    for _ in range(3):
        _version(s)
    for version in ("3", "3", "1", "99", "letters"):
        s.do(s.client.delete_model_version, "net", version)
    s.do(s.client.get_model_version, "net", "3")
    s.do(s.client.get_model_version_download_uri, "net", "3")
    s.do(s.client.update_model_version, "net", "3", "changed")
    s.do(s.client.set_model_version_tag, "net", "3", "k", "v")
    s.do(s.client.get_registered_model, "net")
    _version(s)
    s.do(s.client.search_model_versions, "name = 'net'")


@same_as_stock
def test_aliases_point_to_versions(s: Side) -> None:
    s.client.create_registered_model("net")
    _version(s)
    _version(s)
    s.do(s.client.set_registered_model_alias, "net", "best", "1")
    s.do(s.client.get_model_version_by_alias, "net", "best")
    s.do(s.client.set_registered_model_alias, "net", "best", "2")
    s.do(s.client.get_model_version_by_alias, "net", "best")
    for alias in ("latest", "v1", "V2", "1", "", "a b", "a/b", "a" * 256, "ü", "Best", None):
        s.do(s.client.set_registered_model_alias, "net", alias, "1")
        s.do(s.client.get_model_version_by_alias, "net", alias)
    s.do(s.client.set_registered_model_alias, "net", "other", "99")
    s.do(s.client.set_registered_model_alias, "absent", "other", "1")
    s.do(s.client.get_model_version_by_alias, "net", "absent")
    s.do(s.client.get_model_version, "net", "2")
    s.do(s.client.get_registered_model, "net")
    for _ in range(2):
        s.do(s.client.delete_registered_model_alias, "net", "best")
    s.do(s.client.delete_model_version, "net", "1")
    s.do(s.client.get_registered_model, "net")


@pytest.mark.core
@same_as_stock
def test_search_for_versions(s: Side) -> None:
    for name in ("net", "tree"):
        s.client.create_registered_model(name)
        for i in range(3):
            s.client.create_model_version(name, f"s3://bucket/{name}/{i}", tags={"i": str(i)})
    run_id, uri = _run(s)
    s.client.create_model_version("net", uri, run_id)
    order_by = ["name", "version_number"]
    for filter_string in (
        None,
        "name = 'net'",
        "name LIKE 't%'",
        "name ILIKE 'T%'",
        "tags.i = '1'",
        "name = 'net' AND tags.i != '1'",
        f"run_id = '{run_id}'",
        f"run_id IN ('{run_id}')",
        f"run_id IN ('{run_id}', 'x')",
        "run_id = 'x'",
        "source_path = 's3://bucket/net/0'",
        "source_path LIKE 's3://%'",
        "version_number = 2",
        "version_number = '2'",
        "version_number > 1",
        "nothing = 'x'",
        "name = net",
        "name > 'a'",
        "run_id IN ()",
    ):
        s.do(s.client.search_model_versions, filter_string, order_by=order_by)
    for ordering in (["version_number DESC", "name"], ["creation_timestamp", *order_by]):
        s.do(s.client.search_model_versions, order_by=ordering)
    for ordering in (["nothing"], ["name SIDEWAYS"], ["last_updated_timestamp", *order_by]):
        s.do(s.client.search_model_versions, order_by=ordering)
    page = s.do(s.client.search_model_versions, max_results=3, order_by=order_by)
    while page.token:
        page = s.do(
            s.client.search_model_versions,
            max_results=3,
            order_by=order_by,
            page_token=page.token,
        )
    for max_results in (0, -1, 10_000, 200_001):
        s.do(s.client.search_model_versions, max_results=max_results, order_by=order_by)


@same_as_stock
def test_copies_of_versions_point_to_their_source(s: Side) -> None:
    s.client.create_registered_model("net")
    _version(s, tags={"colour": "blue"}, description="text")
    s.do(s.client.copy_model_version, "models:/net/1", "copy")
    s.do(s.client.copy_model_version, "models:/net/1", "copy")
    s.do(s.client.copy_model_version, "models:/copy/1", "copy of copy")
    s.do(s.client.get_model_version_download_uri, "copy", "1")
    s.do(s.client.get_model_version_download_uri, "copy of copy", "1")
    s.do(s.client.copy_model_version, "models:/net/99", "copy")
    s.do(s.client.copy_model_version, "runs:/x/model", "copy")


# --- prompts --------------------------------------------------------------------------------------


@pytest.mark.core
@same_as_stock
def test_a_prompt_registers_and_loads_the_same(s: Side) -> None:
    register, load = s.client.register_prompt, s.client.load_prompt
    s.do(register, "greeting", "Hello {{ name }}", commit_message="first", tags={"a": "1"})
    s.do(register, "greeting", "Good day {{ name }}")
    chat = [{"role": "user", "content": "{{ question }}"}]
    s.do(register, "chat", chat, response_format={"type": "object"})
    for uri in ("prompts:/greeting/1", "prompts:/greeting/2", "prompts:/chat/1"):
        s.do(load, uri)
    for name in ("greeting", "absent"):
        s.do(load, name, allow_missing=True)
        s.do(load, name, 99, allow_missing=True)
        s.do(load, name)
        s.do(load, name, 99)
    for name in ("", None, "a/b", "a:b", "a b", "../x", "n" * 300):
        s.do(register, name, "text")
    s.do(s.client.create_registered_model, "net")
    s.do(register, "net", "text")
    s.do(load, "net", 1)
    s.do(s.client.create_registered_model, "greeting")
    s.do(s.client.get_registered_model, "greeting")
    s.do(s.client.search_registered_models)


@same_as_stock
def test_aliases_tags_and_links_of_prompts(s: Side) -> None:
    s.use()
    s.do(s.client.register_prompt, "greeting", "Hello {{ name }}")
    s.do(s.client.register_prompt, "greeting", "Good day {{ name }}")
    for version in (1, 2, 99):
        s.do(s.client.set_prompt_alias, "greeting", "best", version)
        s.do(s.client.load_prompt, "prompts:/greeting@best")
    s.do(s.client.get_prompt_version_by_alias, "greeting", "best")
    s.do(s.client.load_prompt, "prompts:/greeting@absent")
    s.do(s.client.set_prompt_alias, "absent", "best", 1)
    s.do(s.client.set_prompt_tag, "greeting", "team", "blue")
    s.do(s.client.set_prompt_version_tag, "greeting", "1", "k", "v")
    s.do(s.client.get_prompt, "greeting")
    s.do(s.client.get_prompt_version, "greeting", "1")
    s.do(s.client.get_prompt_version, "greeting", "99")
    run_id, _ = _run(s)
    model_id = s.client.create_logged_model("0", "model").model_id
    s.do(s.client.link_prompt_version_to_run, run_id, "prompts:/greeting/1")
    s.do(s.client.link_prompt_version_to_model, "greeting", "1", model_id)
    s.do(s.client.list_logged_prompts, run_id)
    s.do(s.client.get_run, run_id)
    s.do(s.client.get_logged_model, model_id)
    s.do(s.client.detach_prompt_from_run, run_id, "prompts:/greeting/1")
    s.do(s.client.delete_prompt_version_tag, "greeting", "1", "k")
    s.do(s.client.delete_prompt_tag, "greeting", "team")
    s.do(s.client.delete_prompt_alias, "greeting", "best")
    s.do(s.client.get_prompt_version, "greeting", "2")
    s.do(s.client.delete_prompt_version, "greeting", "1")
    s.do(s.client.delete_prompt, "greeting")
    s.do(s.client.delete_prompt, "greeting")
    s.do(s.client.get_prompt, "greeting")
    s.do(s.registry.get_prompt, "greeting")


@same_as_stock
def test_prompts_and_models_keep_out_of_each_others_searches(s: Side) -> None:
    s.do(s.client.create_registered_model, "net")
    s.do(s.client.create_prompt, "empty", "text", {"team": "blue"})
    s.do(s.client.create_prompt, "empty")
    s.do(s.client.create_prompt_version, "empty", "Hello", "text", {"k": "v"})
    s.do(s.client.create_prompt_version, "absent", "Hello")
    for name in ("greeting", "farewell", "question"):
        s.do(s.client.register_prompt, name, f"{name} {{{{ name }}}}")
        s.do(s.client.register_prompt, name, f"{name}!")
    for filter_string in (
        None,
        "name = 'greeting'",
        "name LIKE '%e%'",
        "tags.team = 'blue'",
        f"tags.`{PROMPT_TYPE_TAG_KEY}` = 'text'",
        "nothing = 'x'",
    ):
        s.do(s.client.search_prompts, filter_string)
    page = s.do(s.client.search_prompts, max_results=2)
    s.do(s.client.search_prompts, max_results=2, page_token=page.token)
    s.do(s.client.search_registered_models)
    s.do(s.client.search_model_versions)
    s.do(s.client.search_registered_models, "name = 'greeting'")
    s.do(s.client.search_prompt_versions, "greeting")
    s.do(s.registry.search_prompt_versions, "greeting")


# --- webhooks -------------------------------------------------------------------------------------


@same_as_stock
def test_webhooks_are_kept_the_same(s: Side) -> None:
    created = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
    tagged = WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET)
    url = "https://1.1.1.1/hook"
    hook = s.do(s.client.create_webhook, "hook", url, [created], "text", "secret")
    other = s.do(
        s.client.create_webhook, "other", url, ["model_version_tag.set"], status="DISABLED"
    )
    s.do(s.client.get_webhook, hook.webhook_id)
    s.do(s.client.update_webhook, hook.webhook_id, name="renamed", events=[created, tagged])
    s.do(s.client.get_webhook, hook.webhook_id)
    page = s.do(s.client.list_webhooks, max_results=1)
    s.do(s.client.list_webhooks, max_results=1, page_token=page.token)
    for event in (created, tagged):
        s.do(s.registry.list_webhooks_by_event, event)
    for name, target, events in (
        ("", url, [created]),
        ("n" * 300, url, [created]),
        ("hook", "http://127.0.0.1", [created]),
        ("hook", "nonsense", [created]),
        ("hook", url, []),
        ("hook", url, ["nonsense"]),
    ):
        s.do(s.client.create_webhook, name, target, events)
    for _ in range(2):
        s.do(s.client.delete_webhook, hook.webhook_id)
    s.do(s.client.get_webhook, hook.webhook_id)
    s.do(s.client.delete_webhook, other.webhook_id)
    s.do(s.client.list_webhooks)
