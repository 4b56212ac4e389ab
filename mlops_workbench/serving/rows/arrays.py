"""Conversion of an array of numbers or booleans to the typed array of a column.

As strict as that of JSON values; see :mod:`mlops_workbench.serving.rows.values`.
"""

from __future__ import annotations

import numpy as np

from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.rows.signature import InputColumn
from mlops_workbench.serving.rows.values import (
    EXACT,
    MISSING,
    Array,
    check_within,
    floats,
    integral,
    wrong_value,
)


def typed_array(column: InputColumn, values: Array) -> Array:
    """Typed array of shape (rows,) from an array of integers, floats or booleans; NaN is missing.

    Raises
    ------
    InvalidRequest
        A value is not of the column's type; the message names column, row, expected and given type.
    """
    given = values.dtype.kind
    if not len(values):
        return np.zeros(0, column.dtype)
    if given == "f" and column.nullable is False and (absent := np.isnan(values)).any():
        raise InvalidRequest(f"column '{column.name}', row {int(absent.argmax())}: {MISSING}")
    match column.type:
        case "boolean" if given == "b":
            return values
        case "float" | "double" if given in "iuf":
            return floats(column, values if values.dtype.itemsize == 8 and given == "f" else values.astype(np.float64))
        case "integer" | "long" if given in "iu":
            check_within(column, values)
            return values.astype(column.dtype, copy=False)
        case "integer" | "long" if given == "f":
            return integral(column, values.astype(np.float64, copy=False))
    raise wrong_value(column, 0, values[0].item())


def are_exact(values: Array) -> bool:
    """Whether integers are exact as floats."""
    return not len(values) or (int(values.min()) >= -EXACT and int(values.max()) <= EXACT)
