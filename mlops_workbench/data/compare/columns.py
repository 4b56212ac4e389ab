"""Columns prepared for the drift test: the present values and the number of missing ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


@dataclass(frozen=True)
class ColumnValues:
    """The values of a column.

    Attributes
    ----------
    kind : str
        ``numeric`` (float64 values) or ``categorical`` (fixed-width text or numbers).
    values : ndarray of shape (rows - missing,)
        The present values.
    rows : int
        Number of rows, including those with missing values.
    """

    kind: Literal["numeric", "categorical"]
    values: NDArray[Any]
    rows: int

    @property
    def missing(self) -> int:
        """Number of missing values."""
        return self.rows - len(self.values)


def pair_columns(
    left: pa.ChunkedArray, right: pa.ChunkedArray, *, categorical: bool = False
) -> tuple[ColumnValues, ColumnValues]:
    """Convert a column of two tables to comparable values of the same kind.

    Numbers, dates and times are numeric when both sides have them (a column without values takes the
    kind of the other side). Everything else is categorical and compared by its text.

    Parameters
    ----------
    left, right : pyarrow.ChunkedArray
        Column of the reference and of the window.
    categorical : bool
        Treat numbers as labels.
    """
    numbers = [_is_number(column.type) or pa.types.is_null(column.type) for column in (left, right)]
    if all(numbers):
        values = [_numbers(column) for column in (left, right)]
        kind: Literal["numeric", "categorical"] = "categorical" if categorical else "numeric"
    else:
        values = [texts(column) for column in (left, right)]
        kind = "categorical"
    first, second = values
    return ColumnValues(kind, first, len(left)), ColumnValues(kind, second, len(right))


def is_numeric(column: pa.ChunkedArray) -> bool:
    """Whether a column contains numbers, dates or times."""
    return _is_number(column.type)


def texts(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return the present values as text; integers and equal floats give the same text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_floating(kind):
        # 1.0 and 1 are the same label.
        values = column.drop_null().to_numpy()
        values = values[np.isfinite(values)]
        return np.array([format(value, ".17g") for value in values], dtype=np.str_)
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return np.array([str(value) for value in column.drop_null().to_pylist()], dtype=np.str_)
    text = pc.cast(column, pa.string()).drop_null()
    return np.array(text.to_pylist(), dtype=np.str_)


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return any(test(kind) for test in (types.is_integer, types.is_floating, types.is_decimal, types.is_temporal))


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("us"))
        kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_time64(kind) or pa.types.is_duration(kind):
        # One unit for both sides: the reference may have nanoseconds where the log has microseconds.
        unit = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
        plain = column.cast(pa.int64()).cast(pa.float64(), safe=False)
        values = plain.drop_null().to_numpy() / unit
    elif pa.types.is_time32(kind):
        values = column.cast(pa.int32()).cast(pa.float64()).drop_null().to_numpy() / {"s": 1.0, "ms": 1e3}[kind.unit]
    else:
        values = column.cast(pa.float64(), safe=False).drop_null().to_numpy()
    finite: NDArray[np.float64] = values[np.isfinite(values)]
    return finite
