"""Answers of a model as columns of Arrow, and whether other answers are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlops_workbench.core.model_schema import OutputSpec
from mlops_workbench.data.tables.arrow_columns import arrow_array

PREDICT, PREDICT_PROBA, TRANSFORM = "predict", "predict_proba", "transform"
#: Largest difference of numbers, relative to the answer and to the largest answer.
_RELATIVE, _OF_LARGEST = 1e-6, 1e-9
#: Two probabilities as near as this are a tie, in which any of the two labels is right.
_TIE = 1e-9

#: Answers by method; of shape (rows,) or (rows, width).
Answers = Mapping[str, np.ndarray[Any, Any]]


def output_spec(name: str, answer: Any) -> OutputSpec:
    """Return what a method answers."""
    array = np.asarray(answer)
    columns = [str(column) for column in getattr(answer, "columns", ())]
    return OutputSpec(name, str(array.dtype), array.shape[1] if array.ndim == 2 else 0, columns)


def answer_columns(answers: Answers) -> dict[str, Any]:
    """Return answers as columns of Arrow: ``predict``, or ``predict:0``, ``predict:1`` and so on."""
    columns = {}
    for name, array in answers.items():
        if array.ndim == 1:
            columns[name] = _arrow(array)
        else:
            columns.update({f"{name}:{i}": _arrow(array[:, i]) for i in range(array.shape[1])})
    return columns


def first_difference(
    expected: Mapping[str, Any], found: Mapping[str, Any], *, chosen: range | None = None, probabilities: float = 0.0
) -> str:
    """Return where answers differ first, as text; empty if they are the same.

    Numbers are the same up to a millionth, labels exactly, missing ones to each other. Of two classes with the same
    probability, any may be the label.

    Parameters
    ----------
    expected, found : mapping
        See `answer_columns`.
    chosen : range, optional
        Rows of `expected` that were answered, by default all. How near to zero a number is the same as zero depends
        on the largest of all rows.
    probabilities : float
        Largest difference of probabilities that are the same, if it is more.
    """
    if list(expected) != list(found):
        return f"the answers are {', '.join(found)}, not {', '.join(expected)}"
    parts = {
        name: column if chosen is None else column[chosen.start : chosen.stop] for name, column in expected.items()
    }
    ties = _ties(parts)
    for name, column in parts.items():
        if len(found[name]) != len(column):
            return f"{name}: {len(found[name])} answers for {len(column)} rows"
        near = max(_near(expected[name]), probabilities if name.startswith(PREDICT_PROBA) else 0.0)
        wrong = _differs(column, found[name], near)
        if name == PREDICT and ties is not None:
            wrong &= ~ties
        if wrong.any():
            row = int(wrong.argmax())
            more = f", and in {int(wrong.sum()) - 1} more" if wrong.sum() > 1 else ""
            return f"{name} is {_shown(found[name], row)} and not {_shown(column, row)} in row {row}{more}"
    return ""


def _arrow(array: np.ndarray[Any, Any]) -> Any:
    import pyarrow as pa

    if array.dtype.kind in "fiub":
        # NaN is an answer, not a missing one.
        return pa.array(array.astype(np.float32) if array.dtype == np.float16 else np.ascontiguousarray(array))
    return arrow_array(array)


def _near(expected: Any) -> float:
    """How near to zero a number is the same as zero."""
    values = np.asarray(expected.to_numpy(zero_copy_only=False))
    if values.dtype.kind not in "fiub":
        return 0.0
    finite = np.abs(values[np.isfinite(values)].astype(np.float64))
    return _OF_LARGEST * float(finite.max()) if len(finite) else 0.0


def _differs(expected: Any, found: Any, near: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    a, b = (np.asarray(column.to_numpy(zero_copy_only=False)) for column in (expected, found))
    if a.dtype.kind in "iub" and b.dtype.kind in "iub":
        return np.asarray(a != b)
    if a.dtype.kind in "fiub" and b.dtype.kind in "fiub":
        return np.asarray(~np.isclose(a, b, rtol=_RELATIVE, atol=near, equal_nan=True))
    return np.array([x != y for x, y in zip(expected.to_pylist(), found.to_pylist(), strict=True)], dtype=bool)


def _ties(expected: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    parts = [column.to_numpy() for name, column in expected.items() if name.startswith(f"{PREDICT_PROBA}:")]
    if len(parts) < 2:
        return None
    ordered = np.sort(np.stack(parts, axis=1), axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2] < _TIE)


def _shown(column: Any, row: int) -> str:
    return repr(column[row].as_py())[:60]
