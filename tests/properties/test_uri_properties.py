"""What holds for every workspace URI, and for every text that somebody takes for one."""

from __future__ import annotations

import traceback
from urllib.parse import quote

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlflow_ws_plugin.errors import InvalidWorkspaceUri
from mlflow_ws_plugin.uri import (
    SCHEMES,
    WorkspaceUri,
    check_name,
    is_workspace_uri,
    redact,
    slug,
)

# A busy machine may take its time; how long an example takes is nobody's promise.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

RESERVED = {"workspaces", "api", "ajax-api", "static-files"}

# Valid URIs.

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", fullmatch=True).filter(
    lambda name: name not in RESERVED
)
segments = st.text(
    st.characters(codec="utf-8", min_codepoint=0x20, exclude_characters="/\x7f"), min_size=1
).filter(lambda segment: segment not in {".", ".."})
paths = st.lists(segments, min_size=1, max_size=4).map("/".join)
hosts = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True) | st.ip_addresses().map(str)
ports = st.none() | st.integers(1, 65535)
credentials = st.tuples(st.none() | st.text(), st.none()) | st.tuples(st.text(), st.text())


@st.composite
def shared_uris(draw: st.DrawFn) -> WorkspaceUri:
    scheme = draw(st.sampled_from([s for s in SCHEMES if s not in {"ws", "ws+sqlite"}]))
    is_served = scheme in {"ws+http", "ws+https"}
    options = st.dictionaries(
        st.sampled_from(["host", "sslmode", "sslrootcert"]), st.text(min_size=1)
    )
    chosen = draw(options) if scheme == "ws+postgresql" else {}
    user, password = draw(credentials)
    return WorkspaceUri(
        scheme,
        draw(names),
        draw((st.just("") | paths) if is_served else segments),
        "" if "host" in chosen and draw(st.booleans()) else draw(hosts),
        draw(ports),
        user,
        password,
        tuple(sorted(chosen.items())),
    )


embedded_uris = st.builds(
    WorkspaceUri, st.sampled_from(["ws", "ws+sqlite"]), names, paths.map("/{}".format)
)
relative_uris = st.builds(WorkspaceUri, st.just("ws"), st.none() | names)
uris = shared_uris() | embedded_uris | relative_uris

# Texts: anything, and pieces of URIs in any order.

PIECES = [
    *(f"{scheme}:" for scheme in SCHEMES),
    *("//", "/", "?", "#", "@", ":", "&", "=", ";", "%", "%2e", "%2F", "%ff", "..", ".", " "),
    *("demo", "Demo", "db", "host", "sslmode", "[::1]", "[", "]", "5432", "0", "\n", "é"),
]
pieces = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
texts = st.text() | pieces | st.builds("{}:{}".format, st.sampled_from(SCHEMES), pieces)
surrogates = st.characters(categories=["Cs"])

# Secrets: what is between the marks varies, and neither mark may ever be seen.

MARKS = ("Xq7zW", "Wz7qX")
delimiters = st.sampled_from("/?#@:;=&%[] \n")
secrets = st.text(delimiters | st.characters(codec="utf-8")).map(lambda inner: inner.join(MARKS))
quoted_secrets = secrets.map(lambda secret: quote(secret, safe=""))
secret_options = st.sampled_from(
    ["password", "PASSWORD", "sslpassword", "passwd", "pwd", "token", "api_key", "client_secret"]
)
rests = st.sampled_from(["host/demo", "host:1/db/demo", "/db/demo?host=/run", "host/Demo", "h@i/x"])


def shown(text: str) -> str:
    """All that is ever printed about `text`: the value's forms, or the error with its causes."""
    try:
        uri = WorkspaceUri.parse(text)
    except InvalidWorkspaceUri as error:
        return "".join(traceback.format_exception(error))
    return f"{uri} {uri!r} {uri.format()} {redact(text)}"


def assert_hidden(text: str) -> None:
    said = shown(text)
    assert not [mark for mark in MARKS if mark in said]


@given(uris)
def test_a_uri_survives_being_written_and_parsed(uri: WorkspaceUri) -> None:
    assert WorkspaceUri.parse(uri.format(reveal=True)) == uri


@given(texts)
@example("ws+https://HOST%/demo")
@example("ws+https://[::1]/%40/demo")
def test_what_is_accepted_has_one_canonical_text(text: str) -> None:
    """Written, parsed and written again, it stays the same."""
    try:
        uri = WorkspaceUri.parse(text)
    except InvalidWorkspaceUri:
        return
    assert WorkspaceUri.parse(uri.format(reveal=True)) == uri


@given(texts)
def test_parsing_returns_or_refuses_and_never_fails_otherwise(text: str) -> None:
    """Any other exception than `InvalidWorkspaceUri` would be raised here."""
    assert shown(text)


@given(st.text(st.characters(codec="utf-8") | surrogates))
@example("\udce9")
def test_a_text_with_undecodable_bytes_is_never_half_accepted(text: str) -> None:
    """Lone surrogates, which Python makes of bytes that are not UTF-8, cannot be written again."""
    assert shown(f"ws:///{text}/demo")


@given(st.one_of(texts, st.none(), st.integers(), st.binary(), st.text(surrogates)))
def test_asking_whether_a_uri_is_ours_never_raises(value: object) -> None:
    assert is_workspace_uri(value) in {True, False}


@given(texts)
def test_only_ours_are_parsed(text: str) -> None:
    try:
        WorkspaceUri.parse(text)
    except InvalidWorkspaceUri:
        return
    assert is_workspace_uri(text)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,80}", fullmatch=True))
def test_a_slug_is_a_valid_name_unless_too_little_is_left(name: str) -> None:
    found = slug(name)
    assert len(found) < 2 or found in RESERVED or check_name(found) == found


@given(names)
def test_a_valid_name_is_its_own_slug(name: str) -> None:
    """But for repeated hyphens, which MLflow allows and a slug folds."""
    assert slug(name) == name or "--" in name


@given(st.sampled_from([*SCHEMES, "ws+xyz", "https"]), st.text(), quoted_secrets, rests)
def test_an_encoded_password_is_never_shown(scheme: str, user: str, secret: str, rest: str) -> None:
    assert_hidden(f"{scheme}://{quote(user, safe='')}:{secret}@{rest}")


@given(st.sampled_from([*SCHEMES, "ws+xyz", "https"]), secrets, rests)
@example("ws", "/".join(MARKS), "host/demo")
@example("ws+https", "?".join(MARKS), "host/demo")
def test_a_password_with_raw_delimiters_is_never_shown(scheme: str, secret: str, rest: str) -> None:
    """Such a URI is broken, and that is when it gets printed."""
    assert_hidden(f"{scheme}://user:{secret}@{rest}")


@given(st.sampled_from(SCHEMES), rests, secret_options, quoted_secrets)
def test_an_encoded_secret_in_an_option_is_never_shown(
    scheme: str, rest: str, option: str, secret: str
) -> None:
    separator = "&" if "?" in rest else "?"
    assert_hidden(f"{scheme}://{rest}{separator}{option}={secret}&sslmode=require")


@given(st.sampled_from(SCHEMES), secret_options, secrets.filter(lambda secret: "&" not in secret))
@example("ws", "password", ";".join(MARKS))
@example("ws", "password", " ".join(MARKS))
@example("ws", "password", "@".join(MARKS))
def test_a_secret_in_an_option_is_hidden_up_to_the_next_option(
    scheme: str, option: str, secret: str
) -> None:
    """An option ends at `&` only: `;` and spaces are part of its value."""
    assert_hidden(f"{scheme}://host/db/demo?{option}={secret}&sslmode=require")
