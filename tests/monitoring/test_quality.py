"""Quality against scikit-learn's own metrics, and degradation that is not chance."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.monitors import check_metric
from mlops_workbench.monitoring.quality import is_degraded, metric_for, outcomes, relative_loss, score


def column(values: object) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values)])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=40))
def test_metrics_of_numbers_are_those_of_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    truth, prediction = map(list, zip(*pairs, strict=True))
    rows = outcomes(column(truth), column(prediction), "mae")
    assert score(rows, "mae") == pytest.approx(metrics.mean_absolute_error(truth, prediction))
    assert score(rows, "rmse") == pytest.approx(metrics.root_mean_squared_error(truth, prediction))
    if np.std(truth) > 1e-3:
        assert score(rows, "r2") == pytest.approx(metrics.r2_score(truth, prediction))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["a", "é", "c"]), st.sampled_from(["a", "é", "d"])), min_size=1, max_size=40))
def test_metrics_of_labels_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truth, prediction = map(list, zip(*pairs, strict=True))
    rows = outcomes(column(truth), column(prediction), "f1")
    assert score(rows, "accuracy") == pytest.approx(metrics.accuracy_score(truth, prediction))
    expected = metrics.f1_score(truth, prediction, average="macro", zero_division=0)
    assert score(rows, "f1") == pytest.approx(expected)


def test_a_label_is_the_same_as_integer_float_and_text() -> None:
    assert score(outcomes(column([0, 1, 2]), column([0.0, 1.0, 2.0]), "accuracy"), "accuracy") == 1.0
    assert score(outcomes(column(["0", "1"]), column([0.0, 1.0]), "accuracy"), "accuracy") == 1.0


def test_missing_truth_and_missing_predictions_are_left_out() -> None:
    rows = outcomes(column([1.0, None, 3.0, float("nan")]), column([2.0, 2.0, None, 1.0]), "mae")
    assert (len(rows), score(rows, "mae")) == (1, 1.0)
    assert score(outcomes(column([None]), column([1.0]), "mae"), "mae") is None


def test_text_cannot_have_a_mean_error_so_it_is_counted() -> None:
    assert metric_for("mae", column(["a"]), column(["b"])) == "accuracy"
    assert metric_for("f1", column(["a"]), column(["b"])) == "f1"
    assert metric_for("rmse", column([1]), column([1.5])) == "rmse"
    with pytest.raises(InvalidInput, match="accuracy"):
        check_metric("acuracy")


def test_the_loss_is_relative_and_has_the_direction_of_the_metric() -> None:
    assert relative_loss(12.0, 10.0, "mae") == pytest.approx(0.2)
    assert relative_loss(0.72, 0.9, "accuracy") == pytest.approx(0.2)
    assert relative_loss(0.95, 0.9, "f1") < 0
    assert relative_loss(0.0, 0.0, "mae") == 0
    assert relative_loss(1.0, 0.0, "mae") == np.inf


def regression(rng: np.random.Generator, rows: int, sd: float):  # type: ignore[no-untyped-def]
    truth = rng.normal(size=rows)
    return outcomes(column(truth), column(truth + rng.normal(0, sd, rows)), "mae")


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2"])
def test_a_much_larger_error_is_degradation_and_the_same_error_is_not(metric: str) -> None:
    rng = np.random.default_rng(1)
    reference = regression(rng, 3000, 0.5)
    assert is_degraded(regression(rng, 400, 0.8), reference, metric, limit=0.1, alpha=0.05)
    assert not is_degraded(regression(rng, 4000, 0.5), reference, metric, limit=0.1, alpha=0.05)
    assert not is_degraded(regression(rng, 400, 0.3), reference, metric, limit=0.1, alpha=0.05)


def test_small_windows_of_the_same_quality_rarely_count_as_degraded() -> None:
    rng = np.random.default_rng(2)
    reference = regression(rng, 5000, 1.0)
    flagged = sum(is_degraded(regression(rng, 60, 1.0), reference, "mae", limit=0.05, alpha=0.05) for _ in range(300))
    assert flagged < 30


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_a_classifier_that_errs_more_often_is_degraded(metric: str) -> None:
    rng = np.random.default_rng(3)

    def rows(size: int, wrong: float):  # type: ignore[no-untyped-def]
        truth = rng.choice(["ja", "nein", "vielleicht"], size)
        other = rng.choice(["ja", "nein", "vielleicht"], size)
        return outcomes(column(truth), column(np.where(rng.random(size) < wrong, other, truth)), metric)

    reference = rows(3000, 0.1)
    assert is_degraded(rows(500, 0.4), reference, metric, limit=0.1, alpha=0.05)
    assert not is_degraded(rows(500, 0.1), reference, metric, limit=0.1, alpha=0.05)


def test_a_perfect_reference_is_degraded_by_any_significant_error() -> None:
    truth = np.arange(300.0)
    perfect = outcomes(column(truth), column(truth), "mae")
    wrong = outcomes(column(truth), column(truth + 1), "mae")
    assert is_degraded(wrong, perfect, "mae", limit=0.1, alpha=0.05)
    assert not is_degraded(perfect, perfect, "mae", limit=0.1, alpha=0.05)
