"""Which config.json `ws:` takes, what it means, and which ones are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlflow_ws_plugin.config import default_home, find_config, read_config
from mlflow_ws_plugin.errors import ConfigNotFound, InvalidConfig

SECRET = "Xq7-hunter2"
NOBODY = 65534
IS_ROOT = hasattr(os, "getuid") and os.getuid() == 0

NAMED = ".mlflow-ws/config.json"
AZURE = ".azureml/config.json"
OLD_AZURE = "aml_config/config.json"
PLAIN = "config.json"

SCOPE = "/subscriptions/1-2/resourceGroups/rg/providers/Microsoft.MachineLearningServices"
HUGGING_FACE = {"architectures": ["BertModel"], "hidden_size": 768, "model_type": "bert"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory in which the search ends."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("USERPROFILE", str(directory))
    monkeypatch.delenv("MLFLOW_WS_HOME", raising=False)
    return directory


@pytest.fixture
def project(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, two levels below home."""
    directory = home / "work" / "project"
    directory.mkdir(parents=True)
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def write(directory: Path, where: str, content: Any) -> Path:
    path = directory / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def named(name: str) -> dict[str, str]:
    return {"workspace_name": name}


def refusal(content: Any, directory: Path) -> str:
    """What a user reads whose project has a config.json of that content."""
    path = write(directory, NAMED, content)
    with pytest.raises(InvalidConfig) as refused:
        find_config()
    assert str(path) in str(refused.value)
    return str(refused.value)


# Which file.


@pytest.mark.parametrize(
    ("present", "taken"),
    [
        ((PLAIN,), PLAIN),
        ((PLAIN, OLD_AZURE), OLD_AZURE),
        ((PLAIN, OLD_AZURE, AZURE), AZURE),
        ((PLAIN, OLD_AZURE, AZURE, NAMED), NAMED),
    ],
)
def test_within_a_directory_the_most_specific_file_is_taken(
    project: Path, present: tuple[str, ...], taken: str
) -> None:
    for where in present:
        write(project, where, named("demo"))
    assert find_config().path == project / taken


def test_a_nearer_file_wins_over_a_more_specific_one_further_up(project: Path) -> None:
    write(project.parent, NAMED, named("further"))
    write(project, PLAIN, named("nearer"))
    assert find_config().uri.name == "nearer"


@pytest.mark.parametrize("where", [NAMED, AZURE, OLD_AZURE, PLAIN])
def test_the_search_walks_up_to_the_home_directory_itself(
    project: Path, home: Path, where: str
) -> None:
    path = write(home, where, named("demo"))
    assert find_config().path == path


def test_the_search_starts_where_it_is_told(home: Path, project: Path) -> None:
    write(project, PLAIN, named("here"))
    write(home / "other", PLAIN, named("there"))
    assert find_config(home / "other").uri.name == "there"


def test_the_search_stops_at_the_home_directory(project: Path, home: Path) -> None:
    write(home.parent, PLAIN, named("of-another-user"))
    with pytest.raises(ConfigNotFound):
        find_config()


def test_the_search_stops_at_a_home_directory_that_is_a_symbolic_link(
    project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with automounted homes: the working directory is then always the real path."""
    write(home.parent, PLAIN, named("of-another-user"))
    link = home.parent / "link"
    link.symlink_to(home, target_is_directory=True)
    monkeypatch.setenv("HOME", str(link))
    monkeypatch.setenv("USERPROFILE", str(link))
    with pytest.raises(ConfigNotFound):
        find_config()


def test_the_search_stops_at_the_file_system_boundary(
    project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project is a mount of its own: what lies above the mount point is not looked at."""
    write(home, PLAIN, named("of-another-disk"))
    stat = Path.stat

    def stat_on_two_disks(path: Path, **kwargs: Any) -> os.stat_result:
        fields = list(stat(path, **kwargs))
        fields[2] = int(path.is_relative_to(project.parent))
        return os.stat_result(fields)

    monkeypatch.setattr(Path, "stat", stat_on_two_disks)
    with pytest.raises(ConfigNotFound) as missing:
        find_config()
    assert str(project.parent) in str(missing.value)


@pytest.mark.parametrize(
    "foreign",
    [
        HUGGING_FACE,
        {},
        [],
        "null",
        '"workspace"',
        "// JSON with comments\n{}",
        "",
        {"name": "demo", "nested": {"workspace_name": "demo"}},
    ],
)
def test_somebody_elses_config_json_is_passed_over(project: Path, foreign: Any) -> None:
    write(project, PLAIN, foreign)
    write(project.parent, PLAIN, named("demo"))
    assert find_config().uri.name == "demo"


def test_somebody_elses_config_json_may_be_in_any_encoding(project: Path) -> None:
    (project / PLAIN).write_bytes('{"title": "Données"}'.encode("latin-1"))
    write(project.parent, PLAIN, named("demo"))
    assert find_config().uri.name == "demo"


def test_somebody_elses_config_json_may_be_anybodys(project: Path) -> None:
    """What is not used need not be trusted."""
    write(project, PLAIN, HUGGING_FACE).chmod(0o666)
    write(project.parent, PLAIN, named("demo"))
    assert find_config().uri.name == "demo"


def test_a_directory_of_that_name_is_passed_over(project: Path) -> None:
    (project / NAMED).mkdir(parents=True)
    write(project, PLAIN, named("demo"))
    assert find_config().uri.name == "demo"


def test_not_found_says_where_it_looked_and_what_to_do(project: Path, home: Path) -> None:
    with pytest.raises(ConfigNotFound) as missing:
        find_config()
    message = str(missing.value)
    for expected in (project, project.parent, home, NAMED, AZURE, OLD_AZURE, "ws://demo"):
        assert str(expected) in message
    assert f"{home.parent}," not in message


# What it means.


@pytest.mark.parametrize(
    ("content", "uri", "display_name"),
    [
        (named("demo"), "ws://demo", None),
        (named("My_Workspace"), "ws://my-workspace", "My_Workspace"),
        (
            {"subscription_id": "1-2", "resource_group": "rg", "workspace_name": "Team_A"},
            "ws://team-a",
            "Team_A",
        ),
        ({"Scope": f"{SCOPE}/workspaces/Team_A"}, "ws://team-a", "Team_A"),
        ({"Scope": f"{SCOPE}/workspaces/team-a/projects/p", "Id": None}, "ws://team-a", None),
        (
            {"workspace_name": "demo", "tracking_uri": "ws:///data/team/demo"},
            "ws:///data/team/demo",
            None,
        ),
        ({"workspace_name": "demo", "tracking_uri": "ws://demo"}, "ws://demo", None),
        (
            {"workspace_name": "My_Demo", "tracking_uri": "ws+https://host/my-demo"},
            "ws+https://host/my-demo",
            "My_Demo",
        ),
    ],
)
def test_a_file_means_a_workspace(
    project: Path, content: Any, uri: str, display_name: str | None
) -> None:
    """Azure ML's two forms included; a name that is not valid here is kept for display."""
    config = read_config(write(project, AZURE, content))
    assert (str(config.uri), config.display_name) == (uri, display_name)


def test_a_relative_path_is_read_and_kept_absolute(project: Path) -> None:
    path = write(project, PLAIN, named("demo"))
    assert read_config(Path(PLAIN)).path == path


# What is refused.


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ('{"workspace_name": "demo",}', "is not JSON"),
        ({"tracking_uri": "ws:///data/demo"}, "no key 'workspace_name'"),
        ({"subscription_id": "1-2", "resource_group": "rg"}, "no key 'workspace_name'"),
        ({"workspace_name": ""}, "no key 'workspace_name'"),
        ({"Scope": "/subscriptions/1-2"}, "no key 'workspace_name'"),
        ({"workspace_name": 1}, "'workspace_name' must be a string, not int"),
        ({"workspace_name": None}, "'workspace_name' must be a string, not NoneType"),
        ({"workspace_name": "demo", "tracking_uri": ["a"]}, "'tracking_uri' must be a string"),
        ({"Scope": {}}, "'Scope' must be a string"),
        ({"workspace_name": "***"}, "2 to 63 characters"),
        ({"workspace_name": "a"}, "2 to 63 characters"),
        ({"workspace_name": "API"}, "reserved"),
        (
            {"workspace_name": "demo", "tracking_uri": "ws:///data/other"},
            "'demo' and 'tracking_uri' names 'other'",
        ),
        ({"workspace_name": "demo", "tracking_uri": "ws:"}, "must name the workspace itself"),
        ({"workspace_name": "demo", "tracking_uri": "ws:///demo"}, "write ws://demo"),
        (
            {"workspace_name": "demo", "tracking_uri": "azureml://eastus/workspaces/demo"},
            "is not a workspace URI",
        ),
        ({"workspace_name": "demo", "tracking_uri": "http://host:5000"}, "is not a workspace URI"),
        ({"workspace_name": "demo", "tracking_uri": ""}, "is not a workspace URI"),
    ],
)
def test_a_broken_file_is_refused_by_name_and_reason(
    project: Path, content: Any, reason: str
) -> None:
    assert reason in refusal(content, project)


def test_a_broken_plain_file_with_our_key_is_not_passed_over(project: Path) -> None:
    path = write(project, PLAIN, '{"workspace_name": "demo",}')
    with pytest.raises(InvalidConfig, match="is not JSON") as refused:
        find_config()
    assert str(path) in str(refused.value)


def test_a_given_file_without_our_keys_is_refused(project: Path) -> None:
    with pytest.raises(InvalidConfig, match="no key 'workspace_name'"):
        read_config(write(project, PLAIN, HUGGING_FACE))


def test_a_given_file_that_is_missing_is_named(project: Path) -> None:
    with pytest.raises(ConfigNotFound) as missing:
        read_config(Path("nowhere.json"))
    assert str(project / "nowhere.json") in str(missing.value)


@pytest.mark.parametrize(
    "tracking_uri",
    [
        f"ws+https://ann:{SECRET}@host/other",
        f"ws+https://ann:{SECRET}@host:port/demo",
        f"ws://ann:{SECRET}@demo",
        f"ws+postgresql://db/lab/demo?password={SECRET}",
        f"https://ann:{SECRET}@host",
    ],
)
def test_a_refusal_never_quotes_a_password(project: Path, tracking_uri: str) -> None:
    content = {"workspace_name": "demo", "tracking_uri": tracking_uri}
    assert SECRET not in refusal(content, project)


def test_broken_json_is_not_quoted_because_it_may_hold_a_password(project: Path) -> None:
    broken = f'{{"workspace_name": "demo", "tracking_uri": "ws+https://ann:{SECRET}@host/demo",}}'
    assert SECRET not in refusal(broken, project)


# Who wrote it.


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permission bits")
def test_a_file_that_everybody_can_write_is_refused_with_the_remedy(project: Path) -> None:
    path = write(project, NAMED, named("demo"))
    path.chmod(0o646)
    with pytest.raises(InvalidConfig, match="writable by everyone") as refused:
        find_config()
    assert f"chmod o-w '{path}'" in str(refused.value)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no user ids")
def test_a_file_of_another_user_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(project, NAMED, named("demo"))
    if IS_ROOT:
        os.chown(path, NOBODY, -1)
    else:
        another = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: another)
    with pytest.raises(InvalidConfig, match="not to you or root") as refused:
        find_config()
    assert f"user id {path.stat().st_uid}" in str(refused.value)


@pytest.mark.skipif(not IS_ROOT, reason="only root can make a file of root's")
def test_a_file_of_root_is_trusted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, NAMED, named("demo"))
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)
    assert find_config().uri.name == "demo"


_READ_AS_NOBODY = """
import os, sys
from pathlib import Path
from mlflow_ws_plugin.config import find_config
from mlflow_ws_plugin.errors import InvalidConfig

# Only now: the interpreter itself may be somewhere that nobody else can read.
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    find_config(Path(sys.argv[1]))
except InvalidConfig as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permission bits")
@pytest.mark.parametrize("locked", [NAMED, ".mlflow-ws"])
def test_a_file_that_cannot_be_read_is_named(open_directory: Path, locked: str) -> None:
    """The file itself, or the directory that it is in."""
    path = write(open_directory, NAMED, named("demo"))
    (open_directory / locked).chmod(0o000)
    output = subprocess.run(
        [sys.executable, "-c", _READ_AS_NOBODY, open_directory],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    (open_directory / locked).chmod(0o700)
    assert f"Cannot read {path}" in output.stdout, output.stderr


def test_a_named_file_in_another_encoding_is_named(project: Path) -> None:
    (project / NAMED).parent.mkdir()
    (project / NAMED).write_bytes(b'{"workspace_name": "\xe9"}')
    with pytest.raises(InvalidConfig, match="is not JSON"):
        find_config()


# The default home.


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        (None, "{home}/.mlflow-ws"),
        ("", "{home}/.mlflow-ws"),
        ("/data/ws", "/data/ws"),
        ("~/ws", "{home}/ws"),
        ("ws", "{project}/ws"),
    ],
)
def test_the_default_home_is_configurable_and_always_absolute(
    project: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    configured: str | None,
    expected: str,
) -> None:
    if configured is not None:
        monkeypatch.setenv("MLFLOW_WS_HOME", configured)
    assert default_home() == Path(expected.format(home=home, project=project))
