"""The grammar of workspace URIs, form by form, and what a user reads when one is wrong."""

from __future__ import annotations

import dataclasses

import pytest
from mlflow.exceptions import MlflowException

from mlflow_ws_plugin.errors import InvalidWorkspaceUri
from mlflow_ws_plugin.uri import (
    SCHEMES,
    WorkspaceUri,
    check_name,
    is_workspace_uri,
    redact,
    slug,
)

SECRET = "Xq7-hunter2"

EMBEDDED = "Expected: ws://NAME or ws:///ABS/DIR/NAME"
FILE = "Expected: ws+sqlite:///ABS/FILE.db/NAME"
POSTGRES = "Expected: ws+postgresql://[user@]host[:port]/DATABASE/NAME"
HTTPS = "Expected: ws+https://host[:port][/prefix]/NAME"


def refusal(text: str) -> str:
    """What a user reads who wrote `text`."""
    with pytest.raises(InvalidWorkspaceUri) as refused:
        WorkspaceUri.parse(text)
    return str(refused.value)


FORMS = [
    # Embedded.
    ("ws://demo", WorkspaceUri("ws", "demo")),
    ("ws:///data/team/demo", WorkspaceUri("ws", "demo", "/data/team")),
    ("ws:///C:/dir/demo", WorkspaceUri("ws", "demo", "/C:/dir")),
    ("ws+sqlite:///data/f.db/demo", WorkspaceUri("ws+sqlite", "demo", "/data/f.db")),
    # Of the nearest config.json.
    ("ws:", WorkspaceUri("ws", None)),
    # SQL.
    ("ws+postgresql://db/lab/demo", WorkspaceUri("ws+postgresql", "demo", "lab", "db")),
    (
        "ws+postgresql://ann@db:5433/lab/demo",
        WorkspaceUri("ws+postgresql", "demo", "lab", "db", 5433, "ann"),
    ),
    (
        "ws+postgresql://ann:p%40ss%2F@db/lab/demo",
        WorkspaceUri("ws+postgresql", "demo", "lab", "db", user="ann", password="p@ss/"),
    ),
    (
        "ws+postgresql://ann@/lab/demo?host=/run/pg",
        WorkspaceUri("ws+postgresql", "demo", "lab", user="ann", options=(("host", "/run/pg"),)),
    ),
    (
        "ws+postgresql://db/lab/demo?sslmode=verify-full&sslrootcert=/etc/a%20b.pem",
        WorkspaceUri(
            *("ws+postgresql", "demo", "lab", "db"),
            options=(("sslmode", "verify-full"), ("sslrootcert", "/etc/a b.pem")),
        ),
    ),
    ("ws+mysql://db/lab/demo", WorkspaceUri("ws+mysql", "demo", "lab", "db")),
    ("ws+mssql://db/lab/demo", WorkspaceUri("ws+mssql", "demo", "lab", "db")),
    (
        "ws+postgresql://[::1]:5433/lab/demo",
        WorkspaceUri(*("ws+postgresql", "demo", "lab", "::1", 5433)),
    ),
    # Served.
    ("ws+https://host/demo", WorkspaceUri("ws+https", "demo", "", "host")),
    ("ws+http://host:5000/demo", WorkspaceUri("ws+http", "demo", "", "host", 5000)),
    ("ws+https://host/team/mlflow/demo", WorkspaceUri("ws+https", "demo", "team/mlflow", "host")),
    ("ws+https://[2001:db8::1]/demo", WorkspaceUri("ws+https", "demo", "", "2001:db8::1")),
    # Percent-encoding: what would mean something else in a URI, and what is not ASCII.
    ("ws:///a%20b/c%23d%3Fe%25f/demo", WorkspaceUri("ws", "demo", "/a b/c#d?e%f")),
    ("ws:///donn%C3%A9es/demo", WorkspaceUri("ws", "demo", "/données")),
]


@pytest.mark.parametrize(("text", "parts"), FORMS)
def test_each_form_is_taken_apart_as_documented(text: str, parts: WorkspaceUri) -> None:
    assert WorkspaceUri.parse(text) == parts


@pytest.mark.parametrize(("text", "parts"), FORMS)
def test_each_form_is_its_own_canonical_text(text: str, parts: WorkspaceUri) -> None:
    assert parts.format(reveal=True) == text


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("WS://demo", "ws://demo"),
        ("Ws+SQLite:///f.db/demo", "ws+sqlite:///f.db/demo"),
        ("WS:", "ws:"),
        ("ws+https://HOST.Example/demo", "ws+https://host.example/demo"),
        ("ws://demo/", "ws://demo"),
        ("ws://demo?", "ws://demo"),
        ("ws:///data//team///demo//", "ws:///data/team/demo"),
        ("ws+https://host/prefix/demo/", "ws+https://host/prefix/demo"),
        ("ws+sqlite:////data/f.db/demo", "ws+sqlite:///data/f.db/demo"),
        ("ws:///my data/demo", "ws:///my%20data/demo"),
        ("ws:///données/demo", "ws:///donn%C3%A9es/demo"),
        ("ws:///%64ata/demo", "ws:///data/demo"),
        (
            "ws+postgresql://db/lab/demo?sslrootcert=/a.pem&sslmode=require",
            "ws+postgresql://db/lab/demo?sslmode=require&sslrootcert=/a.pem",
        ),
    ],
)
def test_other_spellings_mean_the_canonical_one(written: str, canonical: str) -> None:
    assert str(WorkspaceUri.parse(written)) == canonical


@pytest.mark.parametrize(
    ("text", "door", "is_absolute"),
    [
        ("ws:", "config", False),
        ("ws://demo", "embedded", False),
        ("ws:///data/demo", "embedded", True),
        ("ws+sqlite:///f.db/demo", "embedded", True),
        ("ws+postgresql://db/lab/demo", "sql", True),
        ("ws+mysql://db/lab/demo", "sql", True),
        ("ws+mssql://db/lab/demo", "sql", True),
        ("ws+http://host/demo", "served", True),
        ("ws+https://host/demo", "served", True),
    ],
)
def test_a_form_knows_its_door_and_whether_it_means_the_same_everywhere(
    text: str, door: str, is_absolute: bool
) -> None:
    uri = WorkspaceUri.parse(text)
    assert (uri.door, uri.is_absolute) == (door, is_absolute)


def test_a_uri_is_a_value() -> None:
    """Equal and hashed by its parts, and frozen: it may be a key of a cache."""
    uri = WorkspaceUri.parse("ws:///data/demo")
    assert {uri: 1}[WorkspaceUri.parse("ws:///data/demo/")] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        uri.name = "other"  # type: ignore[misc]


# Names.


@pytest.mark.parametrize("name", ["ab", "a1", "0a", "a-b", "a--b", "a" * 63, "default"])
def test_a_workspace_name_is_taken_literally(name: str) -> None:
    assert WorkspaceUri.parse(f"ws:///data/{name}").name == check_name(name) == name


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("", None),
        ("a", None),
        ("a" * 64, "a" * 63),
        ("Demo", "demo"),
        ("My_Work Space", "my-work-space"),
        ("a/b", "a-b"),
        ("..", None),
        ("API", None),  # Near a name that is reserved.
        ("-ab", "ab"),
        ("ab-", "ab"),
        ("demo%2f", "demo-2f"),
        ("demo\n", "demo"),
        ("demo\r\n", "demo"),
        ("dеmo", "d-mo"),  # noqa: RUF001 (a Cyrillic letter is the point)
        ("ｄｅｍｏ", None),  # noqa: RUF001 (full-width letters are the point)
        ("demo١", "demo"),  # noqa: RUF001 (a digit to `str.isdigit`)
        ("été", None),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest_one(
    name: str, proposed: str | None
) -> None:
    with pytest.raises(InvalidWorkspaceUri, match="2 to 63 characters") as refused:
        check_name(name)
    hint = f"Did you mean {proposed!r}?"
    assert (hint in str(refused.value)) if proposed else ("mean" not in str(refused.value))


@pytest.mark.parametrize("name", ["workspaces", "api", "ajax-api", "static-files"])
def test_names_of_routes_of_mlflows_server_are_reserved(name: str) -> None:
    assert "reserved" in refusal(f"ws://{name}")


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("demo", "demo"),
        ("My_Azure Workspace", "my-azure-workspace"),
        ("--a__b--", "a-b"),
        ("x" * 62 + "_y", "x" * 62),
        ("***", ""),
    ],
)
def test_a_slug_is_lower_case_with_single_inner_hyphens(original: str, expected: str) -> None:
    assert slug(original) == expected


# What is wrong, and the way out.


@pytest.mark.parametrize(
    ("text", "reason", "expected"),
    [
        # The name.
        ("ws://", "name is missing", EMBEDDED),
        ("ws:///", "name is missing", EMBEDDED),
        ("ws+https://host", "name is missing", HTTPS),
        ("ws+https://host/", "name is missing", HTTPS),
        ("ws+postgresql://db", "name is missing", POSTGRES),
        ("ws://Demo", "Did you mean 'demo'?", EMBEDDED),
        ("ws:///data/d%65mo", "not a workspace name", EMBEDDED),
        ("ws+https://host/..", "not a workspace name", HTTPS),
        # The directory.
        ("ws://data/demo", "three slashes: ws:///data/demo", EMBEDDED),
        ("ws://./demo", "three slashes", EMBEDDED),
        ("ws://C:/dir/demo", "three slashes: ws:///C:/dir/demo", EMBEDDED),
        ("ws+sqlite://f.db/demo", "three slashes", FILE),
        ("ws+sqlite://demo", "three slashes", FILE),
        ("ws:demo", "'//' must follow", EMBEDDED),
        ("ws:/data/demo", "'//' must follow", EMBEDDED),
        ("ws:///demo", "write ws://demo", EMBEDDED),
        ("ws:///data/../demo", "without '.' and '..'", EMBEDDED),
        ("ws:///data/./demo", "without '.' and '..'", EMBEDDED),
        ("ws:///data/%2e%2E/demo", "without '.' and '..'", EMBEDDED),
        ("ws:///a%2Fb/demo", "encoded slash", EMBEDDED),
        ("ws:///a%00b/demo", "control character", EMBEDDED),
        ("ws:///a%0Ab/demo", "control character", EMBEDDED),
        ("ws:///100%/demo", "two hexadecimal digits", EMBEDDED),
        ("ws:///a%FF/demo", "not UTF-8", EMBEDDED),
        # Characters.
        ("ws://demo\n", "control character", EMBEDDED),
        ("ws:///a\tb/demo", "control character", EMBEDDED),
        ("ws:///a\x7fb/demo", "control character", EMBEDDED),
        ("ws+https://ho\x7fst/demo", "control character", HTTPS),
        ("ws:///data/demo#", "%23", EMBEDDED),
        ("ws:///da#ta/demo", "%23", EMBEDDED),
        # Host, port, user.
        ("ws+https:///demo", "host is missing", HTTPS),
        ("ws+https://:5000/demo", "host is missing", HTTPS),
        ("ws+postgresql:///lab/demo", "host is missing", POSTGRES),
        ("ws+postgresql:///lab/demo?host=", "host is missing", POSTGRES),
        ("ws+https://host:/demo", "port", HTTPS),
        ("ws+https://host:0/demo", "port must be 1 to 65535", HTTPS),
        ("ws+https://host:65536/demo", "port must be 1 to 65535", HTTPS),
        ("ws+https://host:http/demo", "port", HTTPS),
        ("ws+https://host:-1/demo", "port", HTTPS),
        ("ws+https://::1/demo", "host", HTTPS),
        ("ws+https://[::1/demo", "host", HTTPS),
        ("ws+https://[::1]5000/demo", "host", HTTPS),
        ("ws+https://my host/demo", "host", HTTPS),
        ("ws://demo:5000", "takes no port", EMBEDDED),
        ("ws://ann@demo", "takes no user", EMBEDDED),
        ("ws+sqlite://ann@/f.db/demo", "takes no user", FILE),
        ("ws+https://%FF@host/demo", "not UTF-8", HTTPS),
        # The database.
        ("ws+postgresql://db/demo", "one database and one name", POSTGRES),
        ("ws+postgresql://db/public/lab/demo", "one database and one name", POSTGRES),
        # Options.
        ("ws+postgresql://db/lab/demo?sslmod=require", "nearest known one is 'sslmode'", POSTGRES),
        ("ws+postgresql://db/lab/demo?sslcert=a", "nearest known one is 'sslrootcert'", POSTGRES),
        ("ws+postgresql://db/lab/demo?hostaddr=a", "nearest known one is 'host'", POSTGRES),
        ("ws+postgresql://db/lab/demo?HOST=a", "unknown option 'HOST'", POSTGRES),
        ("ws+postgresql://db/lab/demo?host=a&host=b", "given twice", POSTGRES),
        ("ws:///data/demo?host=a", "take no options, and there is 'host'", EMBEDDED),
        ("ws+sqlite:///f.db/demo?mode=ro", "take no options, and there is 'mode'", FILE),
        ("ws+https://host/demo?workspace=a", "take no options", HTTPS),
    ],
)
def test_a_broken_uri_is_refused_with_the_reason_and_the_form(
    text: str, reason: str, expected: str
) -> None:
    message = refusal(text)
    assert reason in message
    assert expected in message


@pytest.mark.parametrize("text", ["", "demo", " ws://demo", "ws+xyz://h/d/demo", "ws+://h", "://"])
def test_a_scheme_that_is_not_ours_is_refused_with_those_that_are(text: str) -> None:
    message = refusal(text)
    assert all(scheme in message for scheme in SCHEMES)


@pytest.mark.parametrize(
    ("text", "proposed"),
    [
        ("ws+postgres://db/lab/demo", "ws+postgresql://[user@]host[:port]/DATABASE/NAME"),
        ("wss://demo", "ws://NAME or ws:///ABS/DIR/NAME"),
        ("ws+htps://host/demo", "ws+https://host[:port][/prefix]/NAME"),
    ],
)
def test_a_misspelt_scheme_is_answered_with_the_form_of_the_nearest(
    text: str, proposed: str
) -> None:
    assert f"Did you mean {proposed}?" in refusal(text)


def test_a_port_of_any_length_is_refused_as_a_port() -> None:
    """Python refuses to convert numbers of thousands of digits with an error of its own."""
    assert "port must be 1 to 65535" in refusal(f"ws+https://host:{'9' * 5000}/demo")


def test_text_that_is_not_unicode_is_refused() -> None:
    """Python hands over undecodable bytes of the environment as lone surrogates."""
    assert EMBEDDED in refusal(b"ws:///caf\xe9/demo".decode("utf-8", "surrogateescape"))


def test_a_refusal_is_caught_as_mlflows_error_and_as_a_value_error() -> None:
    with pytest.raises(MlflowException) as refused:
        WorkspaceUri.parse("ws://")
    assert isinstance(refused.value, ValueError)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


# Secrets.


@pytest.mark.parametrize(
    "text",
    [
        f"ws://ann:{SECRET}@demo",
        f"ws://ann:{SECRET}@data/demo",
        f"ws+sqlite://ann:{SECRET}@/f.db/demo",
        f"ws+https://ann:{SECRET}@host/Demo",
        f"ws+https://ann:{SECRET}@host:port/demo",
        f"ws+https://ann:{SECRET}@/demo",
        f"ws+https://ann:%FF{SECRET}@host/demo",
        f"ws+https://ann:a@{SECRET}@host/Demo",
        f"ws+https://ann:a/{SECRET}@host/demo",
        f"ws+https://ann:a#{SECRET}@host/demo",
        f"ws+https://host/demo?token={SECRET}",
        f"ws+postgresql://db/lab/demo?password={SECRET}",
        f"ws+postgresql://db/lab/demo?SSLPassword={SECRET}&host=a",
        f"ws+xyz://ann:{SECRET}@host/demo",
        f"https://ann:{SECRET}@host/demo",
        # A delimiter that should have been percent-encoded.
        f"ws://ann:a/{SECRET}@host/demo",
        f"ws+https://ann:a?{SECRET}@host/demo",
        # Slashes forgotten.
        f"ws+https:ann:{SECRET}@host/demo",
        f"ws+https:/ann:{SECRET}@host/demo",
    ],
)
def test_a_refusal_never_quotes_a_password(text: str) -> None:
    assert SECRET not in refusal(text)


def test_a_password_is_kept_for_the_connection_and_shown_nowhere() -> None:
    uri = WorkspaceUri.parse(f"ws+https://ann:{SECRET}@host/demo")
    assert uri.password == SECRET
    assert SECRET in uri.format(reveal=True)
    assert str(uri) == uri.format() == f"{uri}" == "ws+https://ann:***@host/demo"
    assert SECRET not in repr(uri)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("ws+https://ann:a@host/x", "ws+https://***@host/x"),
        ("ws+https://a@b@host/x", "ws+https://***@host/x"),
        ("ws+https://ann:a\nb@host/x", "ws+https://***@host/x"),
        ("ws+https://h/x?api_key=a&Token=b&host=c", "ws+https://h/x?***"),
        ("ws:///data/demo", "ws:///data/demo"),
        ("no URI at all", "no URI at all"),
    ],
)
def test_redaction_replaces_credentials_and_nothing_else(text: str, redacted: str) -> None:
    assert redact(text) == redacted


# Whose URI it is.


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_of_the_grammar_is_ours_in_any_case_and_even_when_broken(scheme: str) -> None:
    assert is_workspace_uri(f"{scheme}://demo")
    assert is_workspace_uri(f"{scheme.upper()}:?#")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ws",
        "wss://demo",
        "ws+xyz://h",
        "https://h/ws:",
        "sqlite:///ws.db",
        " ws:",
        None,
        1,
        b"ws:",
    ],
)
def test_no_other_uri_is_ours(text: object) -> None:
    assert not is_workspace_uri(text)
