"""Gates compare metrics, and do nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.gates import check_conditions, evaluate
from mlops_workbench.core.models import GateCheck

Metrics = Mapping[str, float | None]


def _check(
    condition: str, candidate: Metrics, champion: Metrics | None = None, baseline: Metrics | None = None
) -> GateCheck:
    return evaluate([condition], candidate, champion=champion, baseline=baseline, at_ms=1).checks[0]


@pytest.mark.parametrize(
    ("condition", "passed"),
    [
        ("mae < 15", True),
        ("mae > 15", False),
        ("mae <= 10 and r2 >= 0.5", True),
        ("mae < 1 or r2 > 0.8", True),
        ("5 < mae < 12", True),
        ("mae / 2 + 1 == 6", True),
        ("-mae < 0", True),
        ("mae < 0.9 * baseline.mae", True),
        ("mae <= champion.mae", False),
        ("mae - champion.mae < 2 and (r2 > 1 or r2 > 0)", True),
        ('metrics["val/mae 1"] == 3', True),
        ("`val/mae 1` == 3", True),
        ("`val/mae 1` < champion.`val/mae 1`", True),
        ("mae != 10", False),
        ("mae / zero < 1", False),
    ],
)
def test_conditions_over_metrics(condition: str, passed: bool) -> None:
    candidate = {"mae": 10.0, "r2": 0.9, "val/mae 1": 3.0, "zero": 0.0}
    champion = {"mae": 9.0, "val/mae 1": 4.0}
    assert _check(condition, candidate, champion, {"mae": 12.0}).passed is passed


def test_the_detail_shows_the_numbers() -> None:
    assert _check("mae < 0.5 * baseline.mae", {"mae": 10.0}, baseline={"mae": 12.0}).detail == "10 >= 6"


def test_an_unknown_metric_fails_and_the_nearest_is_named() -> None:
    check = _check("mea < 3", {"mae": 1.0})
    assert not check.passed
    assert "no metric 'mea'" in check.detail
    assert "did you mean 'mae'" in check.detail


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_is_no_number_fails_every_comparison(value: float | None) -> None:
    for sign in ("<", ">", "==", "!=", "<=", ">="):
        assert not _check(f"mae {sign} 3", {"mae": value}).passed


def test_the_first_version_passes_where_the_champion_is_asked_for() -> None:
    check = _check("mae <= champion.mae", {"mae": 1.0})
    assert (check.passed, check.detail) == (True, "no champion yet")
    assert not _check("mae <= champion.mae and mae < 0.5", {"mae": 1.0}).passed
    assert not _check("mae <= champion.rmse", {"mae": 1.0}, champion={"mae": 2.0}).passed


def test_a_baseline_that_was_not_given_fails() -> None:
    assert not _check("mae < baseline.mae", {"mae": 1.0}).passed


def test_a_gate_passes_when_all_conditions_do() -> None:
    assert evaluate(["mae < 2", "mae > 0"], {"mae": 1.0}, at_ms=7).passed
    assert not evaluate(["mae < 2", "mae > 3"], {"mae": 1.0}, at_ms=7).passed
    assert evaluate([], {}, at_ms=7).passed


@pytest.mark.parametrize(
    "condition",
    [
        "__import__('os').system('true')", "mae", "", "mae <", "(lambda: 1)() < 2", "mae if mae else 2 < 3",
        "[m for m in metrics] < 3", "mae.real < 3", "metrics.__class__.__name__ < 3", "mae ** 99999 < 1",
        "mae in (1, 2)", "mae < 'a'", "mae is 3", "f'{mae}' < 3", "(x := 3) < 4", "champion < 3", "mae < True",
        "metrics[0] < 3", "not mae < 3", "mae < 3; mae", "mae < 3 #" + "x" * 3000, "(" * 400 + "mae" + ")" * 400 + "<",
    ],
)  # fmt: skip
def test_anything_but_a_comparison_is_refused_with_its_place(condition: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_conditions([condition])
    assert caught.value.hint


@given(st.text(max_size=80))
def test_any_text_passes_fails_or_is_refused(text: str) -> None:
    try:
        result = evaluate([text], {"mae": 1.0}, at_ms=0)
    except InvalidInput:
        return
    assert result.passed in (True, False)


@pytest.mark.parametrize("condition", ["1 < 2", "3 <= 2 * 2", "-1 < 0 and 1 < 2"])
def test_a_condition_without_a_metric_is_refused(condition: str) -> None:
    with pytest.raises(InvalidInput, match="compares no metric"):
        check_conditions([condition])
