"""Settings, and the config.json that `ws:` looks for.

Precedence everywhere: argument, environment, file, default. Environment variables:

- `MLFLOW_WS_HOME`: the default home of `ws://NAME`. Default `~/.mlflow-ws`.

A config.json is searched from the working directory upwards, to the home directory or the
file-system boundary, whichever comes first. In each directory the first of
`.mlflow-ws/config.json`, `.azureml/config.json`, `aml_config/config.json` and `config.json` that
has our keys is taken. Keys: `workspace_name`, and optionally `tracking_uri`. Azure ML's files work
as they are, in both forms that its SDK v1 wrote (`workspace_name`, or a `Scope` path): with no
`tracking_uri` they mean the embedded workspace of that name.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlflow_ws_plugin.errors import ConfigNotFound, InvalidConfig, InvalidWorkspaceUri
from mlflow_ws_plugin.uri import WorkspaceUri, check_name, is_workspace_uri, slug

__all__ = ["Config", "default_home", "find_config", "read_config"]

_CANDIDATES: Final = (
    ".mlflow-ws/config.json",
    ".azureml/config.json",
    "aml_config/config.json",
    "config.json",
)
_OUR_DIRECTORIES: Final = frozenset({".mlflow-ws", ".azureml", "aml_config"})
_OUR_KEYS: Final = frozenset({"workspace_name", "tracking_uri"})
_AZURE_KEYS: Final = frozenset({"subscription_id", "resource_group", "Scope"})
_AZURE_SCOPE: Final = re.compile(r"/workspaces/([^/]+)")


@dataclass(frozen=True, slots=True)
class Config:
    """What a config.json says.

    Attributes:
        path: The file, absolute.
        workspace_name: The name as written there, which Azure ML allows capitals and `_` in.
        uri: The workspace that it means; its name is the slug of `workspace_name`.
    """

    path: Path
    workspace_name: str
    uri: WorkspaceUri

    @property
    def display_name(self) -> str | None:
        """The original name, where the workspace's own name had to differ."""
        return None if self.workspace_name == self.uri.name else self.workspace_name


def default_home() -> Path:
    """The directory of `ws://NAME`: `$MLFLOW_WS_HOME`, else `~/.mlflow-ws`; absolute."""
    configured = os.environ.get("MLFLOW_WS_HOME")
    try:
        home = Path(configured or "~/.mlflow-ws").expanduser()
    except RuntimeError as error:
        raise InvalidConfig(
            "This user has no home directory. Set MLFLOW_WS_HOME, or name a directory: "
            "ws:///ABS/DIR/NAME"
        ) from error
    # Not resolve(): a symbolic link that is moved later must still mean what it says.
    return Path(os.path.abspath(home))  # noqa: PTH100  # Path.absolute() keeps `..`


def find_config(start: Path | None = None) -> Config:
    """The nearest config.json of a workspace, from `start` (the working directory) upwards.

    Files of the same name that have none of our keys are passed over.

    Raises:
        ConfigNotFound: Lists the directories that were looked in.
        InvalidConfig: A file with our keys is broken, or could have been written by others.
    """
    looked_in: list[str] = []
    for directory in _upwards((start or Path.cwd()).absolute()):
        looked_in.append(str(directory))
        for candidate in _CANDIDATES:
            path = directory / candidate
            if _is_file(path) and (content := _content(path)) is not None:
                return _config(path, content)
    raise ConfigNotFound(
        f"No workspace config.json found. Looked for {', '.join(_CANDIDATES)} in: "
        f"{', '.join(looked_in)}. Name the workspace directly, for example ws://demo, or write "
        '{"workspace_name": "demo"} to .mlflow-ws/config.json.'
    )


def read_config(path: Path) -> Config:
    """Read one given config.json.

    Raises:
        ConfigNotFound: There is no such file.
        InvalidConfig: It is broken, has none of our keys, or could have been written by others.
    """
    path = path.absolute()
    if not _is_file(path):
        raise ConfigNotFound(f"There is no file {path}.")
    content = _content(path)
    if content is None:
        raise InvalidConfig(f"{path} has no key 'workspace_name'.")
    return _config(path, content)


def _upwards(start: Path) -> Iterator[Path]:
    device = start.stat().st_dev
    for directory in (start, *start.parents):
        if directory.stat().st_dev != device:
            return
        yield directory
        if _is_home(directory):
            return


def _is_home(directory: Path) -> bool:
    try:
        return directory.samefile(Path.home())
    except (OSError, RuntimeError):
        return False


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise InvalidConfig(f"Cannot read {path}: {error}.") from error


def _content(path: Path) -> Mapping[str, Any] | None:
    """The parsed file, or None when it is somebody else's config.json."""
    text, status = _read(path)
    try:
        # Editors on Windows write a byte order mark.
        content = json.loads(text.decode("utf-8-sig"))
    except ValueError as error:
        if path.parent.name not in _OUR_DIRECTORIES and not any(
            f'"{key}"'.encode() in text for key in _OUR_KEYS
        ):
            return None
        raise InvalidConfig(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict) or not content.keys() & (_OUR_KEYS | _AZURE_KEYS):
        return None
    _refuse_foreign(path, status)
    return content


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    """The content, and whose it is: of the same open file, so that no swap comes between."""
    try:
        with path.open("rb") as file:
            return file.read(), os.fstat(file.fileno())
    except OSError as error:
        raise InvalidConfig(f"Cannot read {path}: {error}.") from error


def _refuse_foreign(path: Path, status: os.stat_result) -> None:
    """A file that others can write could send a user's runs and credentials anywhere."""
    if os.name == "nt":
        return
    if status.st_mode & stat.S_IWOTH:
        raise InvalidConfig(f"{path} is writable by everyone. Run: chmod o-w '{path}'")
    if status.st_uid not in {os.getuid(), 0}:
        raise InvalidConfig(
            f"{path} belongs to user id {status.st_uid}, not to you or root, so it is not trusted. "
            "Copy it to a directory of your own."
        )


def _config(path: Path, content: Mapping[str, Any]) -> Config:
    for key in ("workspace_name", "tracking_uri", "Scope"):
        if not isinstance(content.get(key, ""), str):
            raise InvalidConfig(
                f"{path}: {key!r} must be a string, not {type(content[key]).__name__}."
            )
    name = content.get("workspace_name") or _name_in_scope(content.get("Scope", ""))
    if not name:
        raise InvalidConfig(f"{path} has no key 'workspace_name'.")
    try:
        return Config(path, name, _uri(name, content.get("tracking_uri")))
    except InvalidWorkspaceUri as error:
        raise InvalidConfig(f"{path}: {error.message}") from error


def _name_in_scope(scope: str) -> str | None:
    match = _AZURE_SCOPE.search(scope)
    return match[1] if match else None


def _uri(name: str, tracking_uri: str | None) -> WorkspaceUri:
    if tracking_uri is None:
        return WorkspaceUri("ws", check_name(slug(name)))
    if not is_workspace_uri(tracking_uri):
        raise InvalidWorkspaceUri(
            "'tracking_uri' is not a workspace URI. An Azure ML or MLflow server URI does not name "
            "a workspace of this plugin; remove the key to use an embedded one."
        )
    uri = WorkspaceUri.parse(tracking_uri)
    if uri.name is None:
        raise InvalidWorkspaceUri("'tracking_uri' must name the workspace itself, not 'ws:'")
    if uri.name != slug(name):
        raise InvalidWorkspaceUri(
            f"'workspace_name' is {name!r} and 'tracking_uri' names {uri.name!r}; make them agree."
        )
    return uri
