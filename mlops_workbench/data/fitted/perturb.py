"""Rows that a model was not fitted on: missing values, unseen values, and those at the borders of the schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlops_workbench.core.model_schema import InputSpec
from mlops_workbench.data.fitted.wire import objects, with_gaps

Array = np.ndarray[Any, Any]
#: Changes values of a column of the wire in some rows.
Change = Callable[[InputSpec, Array, Array], Array]

UNSEEN = "a value that was never seen"
#: Number of categories and texts of a column that become rows, and of all rows at borders.
_MOST_CATEGORIES, _MOST_BORDERS = 20, 400


def make_missing(spec: InputSpec, values: Array, rows: Array) -> Array:
    """Return a column of the wire with missing values in some rows (a mask)."""
    if values.dtype.kind == "M":
        changed = values.copy()
        changed[rows] = np.datetime64("NaT")
        return changed
    if values.dtype.kind == "f":
        changed = values.copy()
        changed[rows] = np.nan
        return changed
    if values.dtype.kind in "iu":
        return with_gaps(values, rows)
    changed = objects(values.tolist())
    changed[rows] = None
    return changed


def make_unseen(spec: InputSpec, values: Array, rows: Array) -> Array:
    """Return a column of the wire with values outside of those of the training data in some rows (a mask)."""
    changed = values.copy()
    if spec.type == "boolean":
        flipped = [None if value is None else not value for value in changed[rows].tolist()]
        changed[rows] = flipped
        return changed
    if spec.type == "string":
        changed[rows] = UNSEEN
        return changed
    if spec.type == "datetime":
        present = values[~np.isnat(values)]
        if len(present):
            changed[rows] = present.max() + np.timedelta64(400, "D")
        return changed
    changed[rows] = _beyond(values)
    return changed


def can_be_unseen(spec: InputSpec) -> bool:
    """Whether there are values of a column's type besides those of the training data."""
    return spec.type != "boolean"


def borders(specs: Sequence[InputSpec], columns: Sequence[Array]) -> list[Array]:
    """Return rows with the values at the borders of the schema: ends of ranges, categories, texts, booleans.

    Each is the first row of `columns` with one value changed.
    """
    changes: list[tuple[int, Any]] = []
    for position, (spec, values) in enumerate(zip(specs, columns, strict=True)):
        changes += [(position, value) for value in _border_values(spec, values)]
    # Of a wide table, some of all columns.
    changes = changes[:: max(1, -(-len(changes) // _MOST_BORDERS))]
    made = [values[np.zeros(len(changes), dtype=int)] for values in columns]
    for row, (position, value) in enumerate(changes):
        made[position][row] = value
    return made


def perturbed(
    specs: Sequence[InputSpec], columns: Sequence[Array], rows: int, random: np.random.Generator
) -> list[Array]:
    """Return rows of the training data with one to three values changed to missing, unseen or exchanged ones.

    Only what the model gives answers for is done to a column: see `InputSpec.nullable` and `InputSpec.open`.
    """
    count = len(columns[0])
    made = [values[np.arange(rows) % count] for values in columns]
    kinds = [_changes_of(spec) for spec in specs]
    number = random.integers(1, 4, rows)
    chosen: dict[tuple[int, str], list[int]] = {}
    for row in range(rows):
        for position in random.choice(len(specs), min(int(number[row]), len(specs)), replace=False):
            kind = kinds[position][int(random.integers(len(kinds[position])))]
            chosen.setdefault((int(position), kind), []).append(row)
    for (position, kind), picked in sorted(chosen.items(), key=lambda item: item[0][1] == "missing"):
        mask = np.zeros(rows, dtype=bool)
        mask[picked] = True
        if kind == "exchanged":
            made[position][mask] = columns[position][random.integers(count, size=int(mask.sum()))]
        else:
            change: Change = make_missing if kind == "missing" else make_unseen
            made[position] = change(specs[position], made[position], mask)
    return made


def _changes_of(spec: InputSpec) -> list[str]:
    return ["exchanged", *(["missing"] if spec.nullable else []), *(["unseen"] if spec.open else [])]


def _border_values(spec: InputSpec, values: Array) -> list[Any]:
    if spec.type == "boolean":
        return [True, False]
    if spec.categories is not None:
        # A model may refuse categories that never occurred.
        known = {value for value in values.tolist() if value is not None}
        return [label for label in spec.categories if label in known][:_MOST_CATEGORIES]
    if spec.type == "string":
        return spec.values[:_MOST_CATEGORIES]
    if values.dtype.kind == "M":
        present = values[~np.isnat(values)]
    elif values.dtype == object:
        present = np.array([value for value in values.tolist() if value is not None], dtype=object)
    else:
        present = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return [present.min(), present.max()] if len(present) else []


def _beyond(values: Array) -> Any:
    """A number above all values by their range, inside the type; of integers beyond floats, the largest."""
    if values.dtype == object:
        return max((value for value in values.tolist() if value is not None), default=None)
    if values.dtype.kind == "f":
        present = values[np.isfinite(values)]
        if not len(present):
            return np.nan
        high, low = float(present.max()), float(present.min())
        beyond = high + max(high - low, 1.0)
        return beyond if np.isfinite(values.dtype.type(beyond)) else high
    high, low = int(values.max()), int(values.min())
    return min(high + max(high - low, 1), int(np.iinfo(values.dtype).max))
