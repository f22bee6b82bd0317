"""What the file system below a home can do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["is_network_path", "is_private", "is_writable"]

# SQLite's write-ahead log needs shared memory, which these do not have between hosts
# (https://sqlite.org/wal.html, "Disadvantages").
_NETWORK_TYPES: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "beegfs", "gpfs"}
)
_MOUNTS: Final = Path("/proc/self/mounts")


def is_network_path(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether `path` is on a network file system. Linux only; False where that is not known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    target = path.resolve()
    best: tuple[int, str] = (-1, "")
    for line in lines:
        _, mount_point, kind, *_ = line.split(" ")
        # The kernel writes spaces as \040.
        point = Path(mount_point.encode().decode("unicode_escape"))
        if target.is_relative_to(point):
            best = max(best, (len(point.parts), kind))
    return best[1] in _NETWORK_TYPES or best[1].startswith("fuse.sshfs")


def is_writable(database: Path) -> bool:
    """Whether this user can write `database`: SQLite also needs to create files beside it."""
    target = database if database.exists() else _existing_parent(database)
    return os.access(target, os.W_OK) and os.access(_existing_parent(database), os.W_OK | os.X_OK)


def is_private(database: Path) -> bool:
    """Whether nobody but this user can write `database`."""
    if os.name == "nt":
        return True
    return all(
        status.st_uid == os.getuid() and not status.st_mode & 0o022
        for status in (database.stat(), database.parent.stat())
    )


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.exists())
