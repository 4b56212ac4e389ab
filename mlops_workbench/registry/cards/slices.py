"""Quality of a model over slices of its data: the rows with one value of a column."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_workbench.core.model_card import CardSlice, CardSlices

#: Fewest and most values of a column that is sliced, and fewest rows of a slice.
_FEWEST_VALUES, _MOST_VALUES, FEWEST_ROWS = 2, 12, 20
#: Quantile of the normal distribution for an interval of 95 %.
_Z = 1.959963984540054
_RESAMPLES = 200
_SEED = 20_261_129


def slice_quality(
    columns: Mapping[str, Sequence[Any]], target: Sequence[Any], prediction: Sequence[Any], *, classifies: bool
) -> CardSlices | None:
    """Return the quality for each value of the columns of texts and booleans with few values.

    Parameters
    ----------
    columns : mapping
        Values by name, each of shape (rows,); others than texts and booleans are passed over.
    target, prediction : sequence of shape (rows,)
        What was to be predicted, and what the model gave; rows without one of them are left out.
    classifies : bool
        Whether the score is the accuracy, with Wilson's interval (1927); else it is the mean absolute error, with an
        interval of the bootstrap's percentiles (Efron, 1979) with a fixed seed.

    Returns
    -------
    CardSlices or None
        None without rows, or if the values of a regression are no numbers.
    """
    known = [i for i, pair in enumerate(zip(target, prediction, strict=True)) if not any(map(_is_missing, pair))]
    try:
        scores = np.array([_score(target[i], prediction[i], classifies=classifies) for i in known], dtype=float)
    except (TypeError, ValueError):
        return None
    if not len(scores) or not np.isfinite(scores).all():
        return None
    found: list[CardSlice] = []
    for name, values in columns.items():
        kept = [values[i] for i in known]
        for value in _values(kept):
            part = scores[[other == value for other in kept]]
            if len(part) >= FEWEST_ROWS:
                low, high = _wilson(part) if classifies else _bootstrap(part)
                found.append(CardSlice(name, _shown(value), len(part), float(part.mean()), low, high))
    metric = "accuracy" if classifies else "mean absolute error"
    return CardSlices(metric, len(scores), float(scores.mean()), found)  # type: ignore[arg-type]


def _values(values: Sequence[Any]) -> list[Any]:
    """The values of a column that is sliced, the most frequent first; empty for other columns."""
    present = [value for value in values if not _is_missing(value)]
    kinds = {type(value) for value in present}
    if kinds not in ({bool}, {str}):
        return []
    counts = Counter(present)
    if not _FEWEST_VALUES <= len(counts) <= _MOST_VALUES:
        return []
    return sorted(counts, key=lambda value: (-counts[value], value))


def _score(truth: Any, answer: Any, *, classifies: bool) -> float:
    return float(truth == answer) if classifies else abs(float(truth) - float(answer))


def _wilson(hits: np.ndarray[Any, Any]) -> tuple[float, float]:
    count, share = len(hits), float(hits.mean())
    scale = 1 + _Z**2 / count
    middle = (share + _Z**2 / (2 * count)) / scale
    half = _Z / scale * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _bootstrap(errors: np.ndarray[Any, Any]) -> tuple[float, float]:
    random = np.random.default_rng(_SEED)
    means = [float(random.choice(errors, len(errors)).mean()) for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _shown(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else value
