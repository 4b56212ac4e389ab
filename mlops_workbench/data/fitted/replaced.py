"""Values of the same kind in place of secrets and personal data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_workbench.core.model_schema import InputSpec
from mlops_workbench.core.secrets import MASK
from mlops_workbench.data.fitted.wire import objects

Array = np.ndarray[Any, Any]

#: Texts that few rows have may name a person; these, at most so many of which a column has, do not.
_MOST_TEXTS, _ROWS_OF_EACH = 20, 10


def hidden_secrets(spec: InputSpec, values: Array) -> Array:
    """Return a column of secrets without them: ``***`` and zeros."""
    if values.dtype.kind == "M":
        return np.full(len(values), np.datetime64(0, "ns"), dtype=values.dtype)
    if spec.type == "boolean":
        return values
    if values.dtype != object:
        return np.zeros_like(values)
    return objects([None if value is None else MASK if isinstance(value, str) else 0 for value in values.tolist()])


def other_values(spec: InputSpec, values: Array, random: np.random.Generator) -> Array:
    """Return a column of personal data with values of the same kind that say nothing about the row.

    Numbers and times are drawn between the 5th and the 95th percentile, categories among all, texts among those that
    many rows have; in other texts ``x``, ``X`` and ``0`` stand for letters and digits.
    """
    rows = len(values)
    if spec.categories is not None or spec.type == "boolean":
        choices = spec.categories if spec.categories is not None else [True, False]
        drawn = [choices[int(i)] for i in random.integers(len(choices), size=rows)] if choices else [None] * rows
        return objects(drawn) if values.dtype == object else np.array(drawn, dtype=values.dtype)
    if spec.type == "string":
        return _texts(values, random)
    if values.dtype.kind == "M":
        present = values[~np.isnat(values)].astype(np.int64)
        if not len(present):
            return values
        seconds = _drawn(present, random, rows) // 1_000_000_000
        return (seconds.astype(np.int64) * 1_000_000_000).view("datetime64[ns]").astype(values.dtype)
    listed = [value for value in values.tolist() if value is not None and value == value]
    if not listed:
        return values
    drawn_numbers = _drawn(np.array(listed, dtype=np.float64), random, rows)
    if spec.type in ("integer", "long"):
        whole = np.rint(drawn_numbers)
        return whole.astype(values.dtype) if values.dtype != object else objects([int(v) for v in whole.tolist()])
    return drawn_numbers.astype(values.dtype)


def are_common(values: Sequence[Any], choices: Sequence[Any] = ()) -> bool:
    """Return whether values are so few, and so frequent, that none says who has it.

    Parameters
    ----------
    values : sequence
        The values, None for missing ones.
    choices : sequence
        Values that are kept although they may not occur, such as categories.
    """
    counts = Counter(value for value in values if value is not None and value == value)
    few = len(counts) <= _MOST_TEXTS and len(choices) <= _MOST_TEXTS
    return bool(counts) and few and min(counts.values()) >= _ROWS_OF_EACH


def _drawn(present: Array, random: np.random.Generator, rows: int) -> Array:
    low, high = np.quantile(present.astype(np.float64), [0.05, 0.95])
    return np.asarray(random.uniform(low, high, rows))


def _texts(values: Array, random: np.random.Generator) -> Array:
    if are_common(values.tolist()):
        names = sorted({value for value in values.tolist() if value is not None})
        return objects([names[int(i)] for i in random.integers(len(names), size=len(values))])
    return objects([None if value is None else "".join(map(_other, value)) for value in values.tolist()])


def _other(letter: str) -> str:
    if letter.isdigit():
        return "0"
    return "X" if letter.isupper() else "x" if letter.isalpha() else letter
