"""What a process remembers of the workspaces that it has seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlflow_ws_plugin.stores.openings import Opening, Openings

STEPS = st.lists(st.sampled_from(["ask", "mark", "forget", "mark other", "forget other"]))


@given(STEPS)
def test_a_workspace_is_open_when_it_was_seen_after_this_process_last_deleted_it(
    steps: list[str],
) -> None:
    """Seen means: by a look for which `of` was asked after that deletion. Others do not matter."""
    openings = Openings()
    asked, asked_since_deletion, expected = openings.of("team"), True, False
    for step in steps:
        if step == "ask":
            asked, asked_since_deletion = openings.of("team"), True
        elif step == "mark":
            openings.mark("team", asked, "u")
            expected = expected or asked_since_deletion
        elif step == "forget":
            openings.forget("team")
            asked_since_deletion, expected = False, False
        elif step == "mark other":
            openings.mark("other", openings.of("other"), "v")
        else:
            openings.forget("other")
        assert openings.of("team").is_open is expected


def test_the_workspace_that_was_seen_first_is_the_one() -> None:
    """Until this process deletes it: then the next one is."""
    openings = Openings()
    for uuid in ("first", "second"):
        openings.mark("team", openings.of("team"), uuid)
        assert openings.of("team").uuid == "first"
    openings.forget("team")
    openings.mark("team", openings.of("team"), "third")
    assert openings.of("team").uuid == "third"


def test_nothing_is_open_at_first() -> None:
    assert Openings().of("team") == Opening(is_open=False, deletion=0)
