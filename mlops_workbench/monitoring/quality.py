"""Quality of predictions with known truth, and whether it is worse than on the reference sample.

The reference sample is taken from the training data, so its error is optimistic, the more so the more a model
overfits: an unpruned tree has almost no error on it, and every live window appears degraded. Log a model with held-out
rows (``log_model(model, X=X_test, y=y_test)``) for a realistic reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import norm

from mlops_workbench.core.monitors import LABEL_METRICS, LARGER_IS_BETTER, NUMBER_METRICS, check_metric
from mlops_workbench.data.compare.columns import is_numeric, texts

_RESAMPLES = 400


@dataclass(frozen=True)
class MatchedOutcomes:
    """Predictions and their truth, without rows in which either is missing.

    `truth` and `prediction` are float64 arrays for numbers, and arrays of text for labels.
    """

    truth: NDArray[Any]
    prediction: NDArray[Any]

    def __len__(self) -> int:
        return len(self.truth)


def outcomes(truth: pa.ChunkedArray, prediction: pa.ChunkedArray, metric: str) -> MatchedOutcomes:
    """Pair truth and prediction in the form that `metric` needs.

    Labels are compared as text, so that ``1``, ``1.0`` and ``"1"`` are the same label.

    Parameters
    ----------
    truth, prediction : pyarrow.ChunkedArray
        Of the same length; values may be missing.
    metric : str
        See :func:`score`.
    """
    known = pc.and_(_known(truth), _known(prediction))
    truth, prediction = truth.filter(known), prediction.filter(known)
    if metric in LABEL_METRICS:
        return MatchedOutcomes(texts(truth), texts(prediction))
    left, right = _floats(truth), _floats(prediction)
    both = np.isfinite(left) & np.isfinite(right)
    return MatchedOutcomes(left[both], right[both])


def metric_for(metric: str, truth: pa.ChunkedArray, prediction: pa.ChunkedArray) -> str:
    """The metric to use: `metric`, or ``accuracy`` if it needs numbers and truth or prediction is text."""
    check_metric(metric)
    if metric in NUMBER_METRICS and not (_numeric_or_empty(truth) and _numeric_or_empty(prediction)):
        return "accuracy"
    return metric


def score(rows: MatchedOutcomes, metric: str) -> float | None:
    """Value of a metric.

    Parameters
    ----------
    rows : MatchedOutcomes
        Truth and prediction.
    metric : str
        ``mae``, ``rmse``, ``r2`` of numbers; ``accuracy``, ``f1`` (the mean over the classes) of labels.

    Returns
    -------
    float or None
        None without rows, and for ``r2`` when the truth does not vary.
    """
    if not len(rows):
        return None
    if metric == "f1":
        table = _confusion(rows)
        return float(_macro_f1(table[None])[0])
    if metric == "r2":
        value = float(_r2(rows.truth[None], rows.prediction[None])[0])
        return value if np.isfinite(value) else None
    mean = float(np.mean(_losses(rows, metric)))
    return 1 - mean if metric == "accuracy" else mean**0.5 if metric == "rmse" else mean


def relative_loss(value: float, reference: float, metric: str) -> float:
    """Loss of quality relative to the reference: 0.1 is ten percent worse, a negative value is better."""
    worse = reference - value if metric in LARGER_IS_BETTER else value - reference
    if worse == 0:
        return 0.0
    return worse / abs(reference) if reference else float(np.copysign(np.inf, worse))


def is_degraded(
    window: MatchedOutcomes, reference: MatchedOutcomes, metric: str, *, limit: float, alpha: float, seed: int = 0
) -> bool:
    """Whether a window is worse than the reference by more than `limit`, and significantly.

    The test is one-sided at level `alpha`, of the hypothesis that the window is not worse at all. For metrics that are
    a mean of per-row losses (``mae``, ``rmse``, ``accuracy``) it is Welch's z-test of the mean losses; for ``r2`` and
    ``f1`` the share of 400 bootstrap resamples of both sides in which the window is not worse.

    Parameters
    ----------
    window, reference : MatchedOutcomes
        Rows of both sides.
    metric : str
        See :func:`score`.
    limit : float
        Largest relative loss of quality that is tolerated.
    alpha : float
        Level of the test.
    seed : int
        Seed of the bootstrap.
    """
    value, before = score(window, metric), score(reference, metric)
    if value is None or before is None or not relative_loss(value, before, metric) > limit:
        return False
    return worse_by_chance(window, reference, metric, seed=seed) <= alpha


def worse_by_chance(window: MatchedOutcomes, reference: MatchedOutcomes, metric: str, *, seed: int = 0) -> float:
    """One-sided p-value that the window is no worse than the reference; see :func:`is_degraded`."""
    if metric in ("r2", "f1"):
        rng = np.random.default_rng(seed)
        after, before = _resampled(window, metric, rng), _resampled(reference, metric, rng)
        return (float(np.count_nonzero(after >= before)) + 1) / (_RESAMPLES + 1)
    left, right = _losses(reference, metric), _losses(window, metric)
    if min(len(left), len(right)) < 2:
        return 1.0
    deviation = float(np.sqrt(left.var(ddof=1) / len(left) + right.var(ddof=1) / len(right)))
    difference = float(right.mean() - left.mean())
    if deviation == 0:
        return 0.0 if difference > 0 else 1.0
    return float(norm.sf(difference / deviation))


def _losses(rows: MatchedOutcomes, metric: str) -> NDArray[np.float64]:
    if metric == "accuracy":
        wrong: NDArray[np.bool_] = rows.truth != rows.prediction
        return wrong.astype(np.float64)
    error: NDArray[np.float64] = rows.truth - rows.prediction
    return np.square(error) if metric == "rmse" else np.abs(error)


def _resampled(rows: MatchedOutcomes, metric: str, rng: np.random.Generator) -> NDArray[np.float64]:
    if metric == "f1":
        table = _confusion(rows)
        draws = rng.multinomial(len(rows), table.ravel() / table.sum(), size=_RESAMPLES)
        return _macro_f1(draws.reshape(_RESAMPLES, *table.shape))
    values = np.empty(_RESAMPLES)
    for index in range(_RESAMPLES):
        chosen = rng.integers(len(rows), size=len(rows))
        values[index] = _r2(rows.truth[None, chosen], rows.prediction[None, chosen])[0]
    return values


def _r2(truth: NDArray[np.float64], prediction: NDArray[np.float64]) -> NDArray[np.float64]:
    residual = ((truth - prediction) ** 2).sum(axis=-1)
    total = ((truth - truth.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        explained: NDArray[np.float64] = 1 - residual / total
    return explained


def _confusion(rows: MatchedOutcomes) -> NDArray[np.int64]:
    classes, places = np.unique(np.concatenate([rows.truth, rows.prediction]), return_inverse=True)
    size = len(classes)
    pairs = places[: len(rows)] * size + places[len(rows) :]
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


def _macro_f1(tables: NDArray[np.int64]) -> NDArray[np.float64]:
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    seen = tables.sum(axis=-1) + tables.sum(axis=-2)
    present = seen > 0
    each = np.divide(2.0 * hits, seen, out=np.zeros(hits.shape), where=present)
    mean: NDArray[np.float64] = each.sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)
    return mean


def _known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        return pc.fill_null(pc.is_finite(column), False)
    return pc.is_valid(column)


def _numeric_or_empty(column: pa.ChunkedArray) -> bool:
    return column.null_count == len(column) or is_numeric(column)


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
