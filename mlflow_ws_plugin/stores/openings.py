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
        uuid: Of the workspace that it had seen; empty where it had none, or had seen none.
    """

    is_open: bool
    deletion: int
    uuid: str = ""


class Openings:
    """Remembers what was seen, so that a workspace that is gone is told from one that never was.

    Looking whether a workspace is there and concluding something from it are two steps, and other
    threads create and delete between them. So ask `of` *before* looking, conclude from its answer,
    and hand that answer to `mark`. Thread-safe without a lock, which a fork would have to renew:
    each method changes one container, once.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], str] = {}
        self._deletions: dict[str, int] = {}
        self._numbers = itertools.count(1)

    def of(self, workspace: str) -> Opening:
        """What is known of `workspace` now."""
        deletion = self._deletions.get(workspace, 0)
        uuid = self._seen.get((workspace, deletion))
        return Opening(uuid is not None, deletion, uuid or "")

    def mark(self, workspace: str, before: Opening, uuid: str) -> None:
        """It was seen after `before` was asked for; without effect where it was deleted since.

        The first one seen stays: another uuid is another workspace of the same name.
        """
        self._seen.setdefault((workspace, before.deletion), uuid)

    def forget(self, workspace: str) -> None:
        """This process has deleted it, so whoever writes next makes a new one."""
        self._deletions[workspace] = next(self._numbers)
