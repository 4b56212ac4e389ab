"""What a stage's metrics say about it: those that it must have, and its gate."""

from __future__ import annotations

import math

import pytest

from mlops_workbench.pipelines.execution.verdict import judge, lacking


def test_a_missing_metric_is_named_with_the_nearest_one() -> None:
    assert lacking(["auc", "loss"], {"auc_score": 0.9, "loss": 1.0}) == (
        "its run has no metric 'auc': did you mean 'auc_score'?"
    )
    assert lacking(["auc"], {}) == "its run has no metric 'auc': it has logged no metric"


def test_a_metric_that_is_nan_is_there() -> None:
    assert lacking(["auc"], {"auc": math.nan}) == ""


@pytest.mark.parametrize("champion", [None, {"auc": 0.8}])
def test_a_gate_that_holds_gives_no_reason(champion: dict[str, float] | None) -> None:
    assert judge(["auc >= 0.85", "auc >= champion.auc - 0.005"], {"auc": 0.86}, champion, 0) == ""


def test_a_gate_that_fails_says_why_in_one_line_with_the_declared_metrics_first() -> None:
    reason = judge(["auc >= 0.85", "loss < 1"], {"loss": 0.5, "auc": 0.8, "extra": 3}, None, 0, first=["auc"])
    assert reason == "gate failed: auc >= 0.85 (0.8 < 0.85); metrics: auc 0.8, loss 0.5, extra 3"


@pytest.mark.parametrize(("value", "shown"), [(math.nan, "NaN"), (math.inf, "∞"), (2**2000, "auc")])
def test_a_gate_on_a_value_that_is_no_finite_number_fails(value: float, shown: str) -> None:
    reason = judge(["auc >= 0.85"], {"auc": value}, None, 0)
    assert reason.startswith("gate failed: auc >= 0.85") and shown in reason


def test_the_champion_decides_where_the_gate_names_it() -> None:
    assert "0.8 < 0.9" in judge(["auc >= champion.auc"], {"auc": 0.8}, {"auc": 0.9}, 0)
    assert "of the champion is not a finite number" in judge(["auc >= champion.auc"], {"auc": 0.8}, {"auc": "NaN"}, 0)
