"""The comparison of this suite sees what it must see, and overlooks what it must overlook."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from twin import FIRST_EXPERIMENT, Side, differences, same_as_stock

_A, _B, _C, _D = (letter * 32 for letter in "abcd")


def _differ(sides: tuple[Side, Side], stock: Any, workspace: Any) -> bool:
    for side, value in zip(sides, (stock, workspace), strict=True):
        side.note("value", value)
    return bool(differences(*sides))


@pytest.mark.parametrize(
    ("stock", "workspace"),
    [
        (1, 2),
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        (math.nan, None),
        (math.inf, -math.inf),
        ("a", "a "),
        ("1", 1),
        ([], None),
        ([], [None]),
        ({"a": 1}, {"a": 1, "b": None}),
        ([_A, _A], [_A, _B]),
        ([_A, _B, _A], [_C, _D, _D]),
        (f"m-{_A}", f"tr-{_A}"),
        (5, 1_790_000_000_000),
        (1_790_000_000, 1_790_000_000_000),
        ("0", str(FIRST_EXPERIMENT + 1)),
        (0, FIRST_EXPERIMENT + 1),
    ],
)
def test_a_difference_is_seen(sides: tuple[Side, Side], stock: Any, workspace: Any) -> None:
    """What a script could notice makes a test fail."""
    assert _differ(sides, stock, workspace)


@pytest.mark.parametrize(
    ("stock", "workspace"),
    [
        (math.nan, math.nan),
        (_A, _B),
        ([f"m-{_A}", _B, f"m-{_A}"], [f"m-{_C}", _A, f"m-{_C}"]),
        (1_790_000_000_000, 1_790_000_000_999),
        ("0", str(FIRST_EXPERIMENT)),
        ("No Experiment with id=3", f"No Experiment with id={FIRST_EXPERIMENT + 3}"),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
    ],
)
def test_ids_and_clocks_are_no_difference(
    sides: tuple[Side, Side], stock: Any, workspace: Any
) -> None:
    """What two runs of one script never share does not count."""
    assert not _differ(sides, stock, workspace)


def test_places_are_no_difference(sides: tuple[Side, Side]) -> None:
    """Artifacts are compared below their roots."""
    stock, workspace = sides
    assert not _differ(
        sides,
        [f"{stock.cwd}/mlruns/1/x", f"{stock.uri} at {stock.cwd}"],
        [
            f"mlflow-artifacts:/workspaces/demo/{FIRST_EXPERIMENT + 1}/x",
            f"{workspace.uri} at {workspace.cwd}",
        ],
    )


def _fail(code: int, message: str) -> Callable[[], None]:
    def call() -> None:
        raise MlflowException(message, code)

    return call


@pytest.mark.parametrize(
    ("code", "message"), [(1, "same"), (1000, "other")], ids=["code", "message"]
)
def test_an_error_is_compared_by_code_and_message(
    sides: tuple[Side, Side], code: int, message: str
) -> None:
    """Another code, or other words, is a difference."""
    stock, workspace = sides
    stock.do(_fail(1000, "same"))
    workspace.do(_fail(code, message))
    assert differences(stock, workspace)


def test_a_scenario_that_goes_another_way_fails(sides: tuple[Side, Side]) -> None:
    """The test that is made out of a scenario reports the step."""

    def scenario(s: Side) -> None:
        s.do(s.client.create_experiment, "trial" if s.name == "ws" else "other")

    with pytest.raises(AssertionError, match=r"(?s)stock \(-\) and workspace.*'trial'"):
        same_as_stock(scenario)(sides)


def test_a_scenario_that_only_fails_is_no_test(sides: tuple[Side, Side]) -> None:
    """Two sides that refuse everything are not called the same."""

    def scenario(s: Side) -> None:
        s.do(s.client.get_run, "0" * 32)

    with pytest.raises(AssertionError, match="did nothing"):
        same_as_stock(scenario)(sides)


def test_a_file_outside_of_the_home_is_seen(sides: tuple[Side, Side]) -> None:
    """A call that falls back to MLflow's default store fails its test."""

    def scenario(s: Side) -> None:
        s.note("one", 1)
        (s.cwd / "mlflow.db").touch()

    with pytest.raises(AssertionError, match="outside of the home"):
        same_as_stock(scenario)(sides)
