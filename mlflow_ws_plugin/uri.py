"""Workspace URIs: the one string that names a workspace and how to reach it.

```
ws://NAME                                         embedded, in the default home
ws:///ABS/DIR/NAME                                embedded, in that home (Windows: ws:///C:/dir/NAME)
ws+sqlite:///ABS/FILE.db/NAME                     embedded, in that database file
ws+postgresql://[user@]host[:port]/DATABASE/NAME  sql (also ws+mysql, ws+mssql)
ws+https://host[:port][/prefix]/NAME              served (also ws+http)
ws:                                               the workspace of the nearest config.json
```

Rules beyond the picture:

- The scheme is case-insensitive. NAME is 2-63 characters of `a-z`, `0-9` and inner `-`, taken
  literally: no percent-encoding, no line end, no look-alike letters.
- Paths are percent-encoded (RFC 3986); a raw space is accepted. `%2F`, `%00`, `.` and `..` as a
  segment are errors, and in `sql` and `served` paths a raw `@`, which would be part of a password.
  Trailing slashes and doubled slashes are dropped, so SQLAlchemy's four-slash
  `ws+sqlite:////abs/file.db/NAME` is understood.
- `?` begins the options, `#` must be written `%23`. Options: PostgreSQL takes `host` (a socket
  directory, libpq's form), `sslmode` and `sslrootcert`; the other forms take none.
- Hosts are names, IPv4 addresses, or IPv6 addresses in brackets, without a zone. Embedded forms
  take no host, user or port.
- A password in a `sql` or `served` URI is kept for the connection and never shown: `str`, `repr`
  and every message print `***`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final, Literal, NoReturn
from urllib.parse import quote, unquote

from mlflow_ws_plugin.errors import InvalidWorkspaceUri

__all__ = ["SCHEMES", "WorkspaceUri", "check_name", "is_workspace_uri", "redact", "slug"]

Door = Literal["embedded", "sql", "served", "config"]

_DOORS: Final[Mapping[str, Door]] = {
    "ws": "embedded",
    "ws+sqlite": "embedded",
    "ws+postgresql": "sql",
    "ws+mysql": "sql",
    "ws+mssql": "sql",
    "ws+http": "served",
    "ws+https": "served",
}
SCHEMES: Final = tuple(_DOORS)
"""Every scheme of the grammar."""

_FORMS: Final[Mapping[str, str]] = {
    "ws": "ws://NAME or ws:///ABS/DIR/NAME",
    "ws+sqlite": "ws+sqlite:///ABS/FILE.db/NAME",
    "ws+postgresql": "ws+postgresql://[user@]host[:port]/DATABASE/NAME",
    "ws+mysql": "ws+mysql://[user@]host[:port]/DATABASE/NAME",
    "ws+mssql": "ws+mssql://[user@]host[:port]/DATABASE/NAME",
    "ws+http": "ws+http://host[:port][/prefix]/NAME",
    "ws+https": "ws+https://host[:port][/prefix]/NAME",
}
_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "ws+postgresql": ("host", "sslmode", "sslrootcert"),
}

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
# MLflow's server has routes and directories of these names.
_RESERVED_NAMES: Final = frozenset({"workspaces", "api", "ajax-api", "static-files"})
_HOST_PORT: Final = re.compile(r"(\[[^\[\]]*\]|[\w.-]*)(?::([0-9]+))?")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# Fewer than RFC 3986 allows: what is left needs no quotes in a shell or a .env file.
_PATH_SAFE: Final = "+,=:"


def redact(text: str) -> str:
    """`text` with everything that could be a credential in a URI replaced by `***`.

    Works on broken URIs too: all before the last `@` goes, and all options; where an `@` comes
    after a `?`, either could be part of a password, and only the scheme is left.
    """
    match = _SCHEME.match(text)
    scheme = match[0] if match else ""
    head, mark, options = text.partition("?")
    if "@" in options:
        return f"{scheme}***"
    if "@" in head:
        head = f"{scheme}//***@{head.rpartition('@')[2]}"
    return f"{head}?***" if mark else head


def is_workspace_uri(text: object) -> bool:
    """Whether `text` has a scheme of ours. Never raises, does no I/O."""
    return isinstance(text, str) and _scheme_of(text) in _DOORS


def slug(name: str) -> str:
    """The nearest valid workspace name: lower case, everything else becomes a single `-`."""
    return re.sub(r"-+", "-", re.sub(r"[^a-z0-9]", "-", name.lower())).strip("-")[:63].rstrip("-")


def check_name(name: str) -> str:
    """Return `name` if it is a workspace name.

    MLflow's rule (`WorkspaceNameValidator`), by `fullmatch`: MLflow's own check accepts a trailing
    line end.

    Raises:
        InvalidWorkspaceUri: Says the rule, and the nearest valid name where there is one.
    """
    if _NAME.fullmatch(name) and 2 <= len(name) <= 63 and name not in _RESERVED_NAMES:
        return name
    if name in _RESERVED_NAMES:
        raise InvalidWorkspaceUri(f"{name!r} is reserved by MLflow's server; choose another name.")
    near = slug(name)
    usable = near != name and 2 <= len(near) <= 63 and near not in _RESERVED_NAMES
    hint = f" Did you mean {near!r}?" if usable else ""
    raise InvalidWorkspaceUri(
        f"{name[:80]!r} is not a workspace name: 2 to 63 characters, lower-case letters, digits "
        f"and inner hyphens.{hint}"
    )


@dataclass(frozen=True, slots=True)
class WorkspaceUri:
    """A parsed workspace URI: a value, equal when it names the same thing the same way.

    Attributes:
        scheme: Lower case, one of `SCHEMES`.
        name: The workspace; None only for `ws:`.
        path: `ws`: the home's directory, None for the default home. `ws+sqlite`: the database
            file. `sql`: the database name. `served`: the prefix, "" for none. Decoded.
        host: Host name or address, without brackets; "" where there is none.
        port: TCP port, or None for the default.
        user: Decoded user name, or None.
        password: Decoded password, or None. Never printed.
        options: Sorted (key, value) pairs.
    """

    scheme: str
    name: str | None
    path: str | None = None
    host: str = ""
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> WorkspaceUri:
        """Parse `text` by the grammar above. Does no I/O.

        Raises:
            InvalidWorkspaceUri: Shows the form that is expected; holds no secret.
        """
        return _Parser(text).parse()

    @property
    def door(self) -> Door:
        """How the workspace is reached; `config` for `ws:`, which only names a config.json."""
        return "config" if self.name is None else _DOORS[self.scheme]

    @property
    def is_absolute(self) -> bool:
        """Whether it means the same in every directory and for every user."""
        return self.name is not None and (self.scheme != "ws" or self.path is not None)

    def format(self, *, reveal: bool = False) -> str:
        """The canonical text; with `reveal` the password is in it, else `***` stands there."""
        if self.name is None:
            return f"{self.scheme}:"
        path = f"{quote(self.path, safe=_PATH_SAFE + '/')}/" if self.path else ""
        separator = "" if self.scheme == "ws" and self.path is None else "/"
        authority = self._authority(reveal=reveal)
        return (
            f"{self.scheme}://{authority}{separator}{path.removeprefix('/')}"
            f"{self.name}{self._query()}"
        )

    def __str__(self) -> str:
        return self.format()

    def _authority(self, *, reveal: bool) -> str:
        user = "" if self.user is None else quote(self.user, safe="")
        if self.password is not None:
            user += ":" + (quote(self.password, safe="") if reveal else "***")
        at = "@" if self.user is not None or self.password is not None else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{user}{at}{host}" + ("" if self.port is None else f":{self.port}")

    def _query(self) -> str:
        pairs = "&".join(f"{key}={quote(value, safe='/:')}" for key, value in self.options)
        return f"?{pairs}" if pairs else ""


def _scheme_of(text: str) -> str:
    match = _SCHEME.match(text)
    return match[1].lower() if match else ""


def _echo(key: str) -> str:
    """An option's name, where it is one: what stands there could be half of a password."""
    return repr(key) if re.fullmatch(r"[A-Za-z_]{1,40}", key) else "something else"


def _is_host(text: str) -> bool:
    if not text.startswith("["):
        return True
    try:
        IPv6Address(text[1:-1])
    except ValueError:
        return False
    return "%" not in text


class _Parser:
    """One parse of one text; keeps it only to quote it, redacted, in errors."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.scheme = _scheme_of(text)

    def parse(self) -> WorkspaceUri:
        if self.scheme not in _DOORS:
            self._unknown_scheme()
        if any(ord(char) < 0x20 or ord(char) == 0x7F for char in self.text):
            self._fail("it holds a control character (a line end?)")
        if any(0xD800 <= ord(char) <= 0xDFFF for char in self.text):
            self._fail("it is not Unicode text")
        rest = self.text[len(self.scheme) + 1 :]
        if self.scheme == "ws" and rest == "":
            return WorkspaceUri(self.scheme, None)
        if not rest.startswith("//"):
            self._fail("'//' must follow the scheme")
        if "#" in rest:
            self._fail("'#' must be written %23")
        hierarchy, _, query = rest[2:].partition("?")
        authority, slash, path = hierarchy.partition("/")
        return self._build(authority, path if slash else None, self._options(query))

    def _build(
        self, authority: str, path: str | None, options: tuple[tuple[str, str], ...]
    ) -> WorkspaceUri:
        door = _DOORS[self.scheme]
        if door == "embedded":
            return self._embedded(authority, path)
        user, password, host, port = self._authority(authority)
        if "@" in (path or ""):
            self._fail("'@' in a path must be written %40, and '/' in a password %2F")
        segments, name = self._split(path)
        if not host and not dict(options).get("host"):
            self._fail("the host is missing")
        if door == "sql" and len(segments) != 1:
            self._fail("one database and one name must follow the host")
        return WorkspaceUri(
            self.scheme, name, "/".join(segments), host, port, user, password, options
        )

    def _embedded(self, authority: str, path: str | None) -> WorkspaceUri:
        if "@" in authority:
            self._fail("an embedded workspace takes no user and no password")
        if authority and path is not None and path.strip("/"):
            self._fail(
                "a home is an absolute directory, with three slashes: "
                + redact(self.text).replace("://", ":///", 1)
            )
        if authority:
            if self.scheme != "ws":
                self._fail("the database file is an absolute path, with three slashes")
            return WorkspaceUri(self.scheme, self._name(authority))
        segments, name = self._split(path)
        if not segments:
            self._fail(
                f"it names no directory; for the default home write ws://{name}"
                if self.scheme == "ws"
                else "it names no database file"
            )
        return WorkspaceUri(self.scheme, name, "/" + "/".join(segments))

    def _split(self, path: str | None) -> tuple[list[str], str]:
        *segments, name = [part for part in (path or "").split("/") if part] or [""]
        return [self._segment(part) for part in segments], self._name(name)

    def _name(self, raw: str) -> str:
        if not raw:
            self._fail("the workspace name is missing")
        try:
            return check_name(raw)
        except InvalidWorkspaceUri as error:
            # What looks like a port or a login is not repeated by name.
            if ":" in raw or "@" in raw:
                self._fail("the name of a workspace takes no port, user or password")
            self._fail(str(error.message))

    def _segment(self, raw: str) -> str:
        if re.search(r"%(?![0-9A-Fa-f]{2})", raw):
            self._fail("'%' must be followed by two hexadecimal digits (a plain % is %25)")
        try:
            part = unquote(raw, errors="strict")
        except UnicodeDecodeError:
            self._fail("the percent-encoding is not UTF-8")
        if "/" in part or any(ord(char) < 0x20 or ord(char) == 0x7F for char in part):
            self._fail("a path segment holds an encoded slash or control character")
        if part in {".", ".."}:
            self._fail("the path must be absolute, without '.' and '..'")
        return part

    def _authority(self, text: str) -> tuple[str | None, str | None, str, int | None]:
        userinfo, at, hostport = text.rpartition("@")
        user, colon, password = userinfo.partition(":")
        match = _HOST_PORT.fullmatch(hostport)
        if match is None or not _is_host(match[1]):
            self._fail("the host or the port is not understood")
        # Cut, because Python refuses to convert thousands of digits.
        port = int(match[2][:6]) if match[2] else None
        if port is not None and not 0 < port < 65536:
            self._fail("the port must be 1 to 65535")
        return (
            self._userinfo(user) if at else None,
            self._userinfo(password) if colon else None,
            match[1].strip("[]").lower(),
            port,
        )

    def _userinfo(self, raw: str) -> str:
        try:
            return unquote(raw, errors="strict")
        except UnicodeDecodeError:
            self._fail("the percent-encoding is not UTF-8")

    def _options(self, query: str) -> tuple[tuple[str, str], ...]:
        if "?" in query or "@" in query:
            self._fail("'?' and '@' in an option must be written %3F and %40")
        pairs = [part.partition("=") for part in query.split("&") if part]
        known = _OPTIONS.get(self.scheme, ())
        for key, _, _ in pairs:
            if key not in known:
                self._unknown_option(key, known)
        keys = [key for key, _, _ in pairs]
        if len(set(keys)) < len(keys):
            self._fail("an option is given twice")
        return tuple(sorted((key, self._userinfo(value)) for key, _, value in pairs))

    def _unknown_option(self, key: str, known: Iterable[str]) -> NoReturn:
        known = list(known)
        if not known:
            self._fail(f"{self.scheme} URIs take no options, and there is {_echo(key)}")
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
        self._fail(f"unknown option {_echo(key)}; the nearest known one is {near!r}")

    def _unknown_scheme(self) -> NoReturn:
        near = difflib.get_close_matches(self.scheme, SCHEMES, n=1, cutoff=0.6)
        hint = f" Did you mean {_FORMS[near[0]]}?" if near else ""
        raise InvalidWorkspaceUri(
            f"{self.scheme!r} is not a workspace URI scheme; known are {', '.join(SCHEMES)}.{hint}"
        )

    def _fail(self, reason: str) -> NoReturn:
        stop = "" if reason.endswith((".", "?")) else "."
        raise InvalidWorkspaceUri(
            f"Not a workspace URI: {redact(self.text)[:200]!r}: {reason}{stop} "
            f"Expected: {_FORMS[self.scheme]}"
        )
