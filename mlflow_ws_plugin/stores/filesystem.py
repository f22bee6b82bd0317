"""What the file system below a home can do."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

__all__ = ["is_network_path", "is_private", "is_writable"]

# SQLite's write-ahead log needs shared memory, which these do not have between hosts
# (https://sqlite.org/wal.html, "Disadvantages").
_NETWORK_TYPES: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs"),
        *("afs", "ceph", "lustre", "beegfs", "gpfs"),
        *("fuse.sshfs", "fuse.rclone", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse"),
    }
)
_MOUNTS: Final = Path("/proc/self/mounts")


def is_network_path(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether `path` is on a network file system. Linux only; False where that is not known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    target = path.resolve()
    depth, found = 0, ""
    for line in lines:
        _, mount_point, kind, *_ = line.split(" ")
        # The kernel writes spaces as \040.
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), mount_point))
        # Of two mounts on one directory the later one counts.
        if target.is_relative_to(point) and len(point.parts) >= depth:
            depth, found = len(point.parts), kind
    return found in _NETWORK_TYPES


def is_writable(database: Path) -> bool:
    """Whether this user can write `database`: SQLite also needs to create files beside it."""
    target = database if _exists(database) else _existing_parent(database)
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
    return next(parent for parent in path.parents if _exists(parent))


def _exists(path: Path) -> bool:
    # Path.exists() raises below a directory that this user may not enter.
    return os.path.exists(path)  # noqa: PTH110
