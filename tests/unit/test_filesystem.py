"""What is found out about the file system below a home: network, permission, privacy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlflow_ws_plugin.stores.filesystem import is_network_path, is_private, is_writable

NOBODY = 65534
needs_permission_bits = pytest.mark.skipif(os.name == "nt", reason="Windows has no such bits")

# Network file systems.

MOUNTS = r"""
overlay / overlay rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /mnt/nfs nfs4 rw,vers=4.2 0 0
server:/old /mnt/nfs3 nfs rw 0 0
//server/share /mnt/cifs cifs rw 0 0
drvfs /mnt/c 9p rw,aname=drvfs 0 0
ann@server:/ /mnt/sshfs fuse.sshfs rw 0 0
/dev/sdb1 /mnt/nfs/local ext4 rw 0 0
server:/deep /mnt/nfs/local/deep nfs4 rw 0 0
server:/my\040data /mnt/my\040data nfs4 rw 0 0
server:/a /mnt/back\134slash nfs4 rw 0 0
server:/donn%C3%A9es /mnt/données nfs4 rw 0 0
/dev/sdc1 /mnt/ntfs fuseblk rw 0 0
/etc/auto.home /home autofs rw 0 0
server:/home /home nfs4 rw 0 0
server:/hidden /mnt/over nfs4 rw 0 0
tmpfs /mnt/over tmpfs rw 0 0
tmpfs /mnt/under tmpfs rw 0 0
server:/top /mnt/under nfs4 rw 0 0
""".lstrip()


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mounts"
    path.write_text(MOUNTS, encoding="utf-8")
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="mount tables are Linux's")
@pytest.mark.parametrize(
    ("path", "is_network"),
    [
        ("/data/home", False),
        ("/mnt/nfs", True),
        ("/mnt/nfs/home/workspaces.db", True),
        ("/mnt/nfs3/home", True),
        ("/mnt/cifs/home", True),
        ("/mnt/c/Users", True),
        ("/mnt/sshfs/home", True),
        ("/mnt/ntfs/home", False),
        # A name that begins alike is another directory.
        ("/mnt/nfs-local/home", False),
        ("/mnt", False),
        # The innermost mount counts.
        ("/mnt/nfs/local/home", False),
        ("/mnt/nfs/local/deep/home", True),
        # Names as the kernel writes them.
        ("/mnt/my data/home", True),
        ("/mnt/back\\slash/home", True),
        ("/mnt/données/home", True),
        # Of two mounts on one directory the later one is seen.
        ("/home/ann", True),
        ("/mnt/over/home", False),
        ("/mnt/under/home", True),
        # Not normalised.
        ("/mnt/nfs/../home", False),
        ("/mnt/../mnt/nfs/home", True),
    ],
)
def test_a_path_is_on_the_network_when_its_mount_is(
    mounts: Path, path: str, *, is_network: bool
) -> None:
    assert is_network_path(Path(path), mounts) is is_network


@pytest.mark.skipif(sys.platform != "linux", reason="mount tables are Linux's")
@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "lustre", "beegfs", "gpfs"]
)
def test_a_symbolic_link_is_followed_to_its_mount(tmp_path: Path, kind: str) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far", target_is_directory=True)
    table = tmp_path / "mounts"
    table.write_text(f"/dev/sda / ext4 rw 0 0\nx {tmp_path.resolve()}/far {kind} rw 0 0\n")
    assert is_network_path(tmp_path / "near" / "home", table)


def test_where_there_is_no_mount_table_nothing_is_on_the_network(tmp_path: Path) -> None:
    """As on other systems than Linux: not known means that nothing is changed."""
    assert not is_network_path(tmp_path, tmp_path / "missing")


def test_the_table_of_this_machine_can_be_read(tmp_path: Path) -> None:
    assert is_network_path(tmp_path) in {True, False}


# Permissions, as a user who is not root: root ignores them.

_AS_NOBODY = """
import json, os, sys
from pathlib import Path
from mlflow_ws_plugin.stores.filesystem import is_private, is_writable

os.chdir(sys.argv[1])
# Only now: the interpreter and the directory may be where nobody else can go.
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)

def answer(function, path):
    try:
        return function(Path(path))
    except OSError as error:
        return repr(error)

asked = json.loads(sys.argv[2])
print(json.dumps([answer(globals()[function], path) for function, path in asked]))
"""


def ask_as_nobody(directory: Path, *asked: tuple[str, str]) -> list[Any]:
    """What the functions of those names say of those paths, relative to `directory`."""
    directory.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, directory, json.dumps(asked)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def make(directory: Path, mode: int, file_mode: int | None) -> None:
    """A directory of those permissions, with a database in it or not; of nobody."""
    directory.mkdir()
    if file_mode is not None:
        (directory / "db").touch()
        (directory / "db").chmod(file_mode)
    directory.chmod(mode)
    if os.getuid() == 0:
        for path in (directory, *directory.iterdir()):
            os.chown(path, NOBODY, NOBODY)


WRITABLE = [
    ("ours", 0o700, 0o600, True),
    ("file read-only", 0o700, 0o400, False),
    # SQLite makes its journal beside the file.
    ("directory read-only", 0o500, 0o600, False),
    ("nothing there yet", 0o700, None, True),
    ("nothing may be made", 0o500, None, False),
]
PRIVATE = [
    ("ours alone", 0o700, 0o600, True),
    ("read by others", 0o755, 0o644, True),
    ("file written by the group", 0o755, 0o664, False),
    ("file written by all", 0o755, 0o646, False),
    ("directory written by the group", 0o775, 0o600, False),
    ("directory written by all", 0o757, 0o600, False),
]


@needs_permission_bits
@pytest.mark.parametrize(
    ("function", "table"), [("is_writable", WRITABLE), ("is_private", PRIVATE)]
)
def test_the_permissions_of_the_file_and_of_its_directory_both_count(
    tmp_path: Path, function: str, table: list[tuple[str, int, int | None, bool]]
) -> None:
    for name, mode, file_mode, _ in table:
        make(tmp_path / name, mode, file_mode)
    answers = ask_as_nobody(tmp_path, *[(function, f"{row[0]}/db") for row in table])
    assert dict(zip([row[0] for row in table], answers, strict=True)) == {
        row[0]: row[3] for row in table
    }


@needs_permission_bits
def test_a_home_that_is_not_there_yet_is_writable_when_it_can_be_made(tmp_path: Path) -> None:
    make(tmp_path / "open", 0o700, None)
    make(tmp_path / "closed", 0o500, None)
    asked = [("is_writable", "open/new/home/db"), ("is_writable", "closed/new/home/db")]
    assert ask_as_nobody(tmp_path, *asked) == [True, False]


@needs_permission_bits
def test_a_directory_that_cannot_be_entered_is_not_writable(tmp_path: Path) -> None:
    """It is no error to ask: the caller says what to do about it."""
    make(tmp_path / "locked", 0o000, 0o600)
    assert ask_as_nobody(tmp_path, ("is_writable", "locked/db")) == [False]


@needs_permission_bits
@pytest.mark.parametrize("foreign", ["home", "home/db"])
def test_what_belongs_to_another_user_is_not_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign: str
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "db").touch(mode=0o600)
    assert is_private(home / "db")
    if os.getuid() == 0:
        os.chown(tmp_path / foreign, NOBODY, NOBODY)
    else:
        another = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: another)
    assert not is_private(home / "db")


def test_on_windows_privacy_is_left_to_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to look at: not even the file is."""
    missing = Path("missing")
    monkeypatch.setattr(os, "name", "nt")
    assert is_private(missing)


def test_one_owns_what_one_makes(tmp_path: Path) -> None:
    assert is_writable(tmp_path / "db")
