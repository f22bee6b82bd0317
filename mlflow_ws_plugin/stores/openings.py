"""Which workspaces of a database this process has seen."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

__all__ = ["Opening", "Openings"]


@dataclass(frozen=True, slots=True)
class Opening:
    """What this process knew of a workspace at one moment.

    Attributes:
        is_open: It had seen the workspace, and had not deleted it since.
        deletion: Which of its own deletions was the last one; 0 before the first.
    """

    is_open: bool
    deletion: int


class Openings:
    """Remembers what was seen, so that a workspace that is gone is told from one that never was.

    Looking whether a workspace is there and concluding something from it are two steps, and other
    threads create and delete between them. So ask `of` *before* looking, conclude from its answer,
    and hand that answer to `mark`. Thread-safe without a lock, which a fork would have to renew:
    each method changes one container, once.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[str, int]] = set()
        self._deletions: dict[str, int] = {}
        self._numbers = itertools.count(1)

    def of(self, workspace: str) -> Opening:
        """What is known of `workspace` now."""
        deletion = self._deletions.get(workspace, 0)
        return Opening((workspace, deletion) in self._seen, deletion)

    def mark(self, workspace: str, before: Opening) -> None:
        """It was seen after `before` was asked for; without effect where it was deleted since."""
        self._seen.add((workspace, before.deletion))

    def forget(self, workspace: str) -> None:
        """This process has deleted it, so whoever writes next makes a new one."""
        self._deletions[workspace] = next(self._numbers)
