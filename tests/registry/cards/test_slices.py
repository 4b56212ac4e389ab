"""Quality over slices is right where it can be counted by hand, and shown only for slices that say something."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from mlops_workbench.registry.cards.slices import slice_quality

ROWS = 100
#: 60 rows of one carrier, 40 of another; of the first 45 are right, of the second 40.
CARRIER = ["AA"] * 60 + ["UA"] * 40
TRUTH = [1] * ROWS
ANSWER = [1] * 45 + [0] * 15 + [1] * 40


def test_the_accuracy_of_each_value_has_wilsons_interval() -> None:
    found = slice_quality({"carrier": CARRIER}, TRUTH, ANSWER, classifies=True)
    assert found is not None and (found.metric, found.rows, found.score) == ("accuracy", 100, 0.85)
    first, second = found.slices
    assert (first.column, first.value, first.rows, first.score) == ("carrier", "AA", 60, 0.75)
    assert (second.value, second.rows, second.score) == ("UA", 40, 1.0)
    for part, hits in ((first, 45), (second, 40)):
        expected = binomtest(hits, part.rows).proportion_ci(0.95, method="wilson")
        assert (part.low, part.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_mean_absolute_error_has_an_interval_that_is_the_same_each_time() -> None:
    late = [True] * 50 + [False] * 50
    answer = [3.0] * 25 + [1.0] * 25 + [0.5] * 50
    found = slice_quality({"late": late}, [0.0] * ROWS, answer, classifies=False)
    assert found is not None and (found.metric, found.score) == ("mean absolute error", 1.25)
    no, yes = found.slices
    assert (no.value, no.score, no.low, no.high) == ("no", 0.5, 0.5, 0.5)
    # The standard error of the mean of 50 values with deviation 1 is 0.14.
    assert (yes.value, yes.score) == ("yes", 2.0)
    assert yes.low == pytest.approx(2 - 0.28, abs=0.1) and yes.high == pytest.approx(2 + 0.28, abs=0.1)
    assert slice_quality({"late": late}, [0.0] * ROWS, answer, classifies=False) == found


def test_a_slice_needs_20_rows_and_a_column_2_to_12_values() -> None:
    columns = {
        "few rows": ["a"] * 81 + ["b"] * 19,
        "enough rows": ["a"] * 80 + ["b"] * 20,
        "one value": ["a"] * ROWS,
        "13 values": [f"{i % 13:02d}" for i in range(ROWS)],
        "numbers": [i % 2 for i in range(ROWS)],
        "mixed": ["a", True] * 50,
        "gaps": ["a", "b", None, float("nan")] * 25,
    }
    found = slice_quality(columns, TRUTH, ANSWER, classifies=True)
    assert found is not None
    shown = {(part.column, part.value): part.rows for part in found.slices}
    assert shown == {
        ("few rows", "a"): 81, ("enough rows", "a"): 80, ("enough rows", "b"): 20, ("gaps", "a"): 25, ("gaps", "b"): 25,
    }  # fmt: skip


def test_rows_without_a_target_or_a_prediction_are_left_out() -> None:
    truth = [None, float("nan"), *TRUTH[2:]]
    answer = [*ANSWER[:-1], None]
    found = slice_quality({"carrier": CARRIER}, truth, answer, classifies=True)
    assert found is not None and found.rows == 97 and [part.rows for part in found.slices] == [58, 39]
    assert slice_quality({"carrier": CARRIER}, [None] * ROWS, ANSWER, classifies=True) is None
    assert slice_quality({"carrier": CARRIER}, ["x"] * ROWS, ANSWER, classifies=False) is None


@given(st.integers(20, 200), st.integers(0, 200))
def test_an_interval_has_the_score_in_it(rows: int, hits: int) -> None:
    hits = min(hits, rows)
    answer = [1] * hits + [0] * (rows - hits) + [1] * 20
    found = slice_quality({"c": ["a"] * rows + ["b"] * 20}, [1] * len(answer), answer, classifies=True)
    assert found is not None
    for part in found.slices:
        assert 0 <= part.low <= part.score + 1e-12 and part.score - 1e-12 <= part.high <= 1
        assert all(map(math.isfinite, (part.low, part.high))) and np.sign(part.high - part.low) == 1
