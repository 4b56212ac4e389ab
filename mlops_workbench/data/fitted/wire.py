"""Conversion of one column between its own type and the wire.

On the wire a column is a NumPy array of shape (rows,):

* booleans: ``bool``, or objects with None for missing values;
* integers: the column's own type; with missing values float64 and NaN, or objects if that is not exact;
* numbers: float32 or float64 with NaN;
* texts: objects, with None;
* times: ``datetime64[ns]`` in UTC, with NaT. Durations are integers of nanoseconds.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from mlops_workbench.core.model_schema import WireType

NANOSECONDS = np.dtype("datetime64[ns]")
OBJECT = np.dtype(object)
#: Integers up to here are exact as float64.
_EXACT = 2**53


class Codec(Protocol):
    """Converts one column.

    Attributes
    ----------
    type : str
        Wire type.
    wire : dtype
        Type of the wire's array when no value is missing.
    """

    type: WireType
    wire: np.dtype[Any]

    def encode(self, values: Any) -> np.ndarray[Any, Any]:
        """Return a column as the wire has it.

        Raises
        ------
        ValueError
            The wire has no form for a value.
        """
        ...

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """Return the column of an array of the wire: an array of NumPy, pandas or Arrow."""
        ...


def wire_type(dtype: np.dtype[Any]) -> WireType:
    """Return the wire type of numbers and booleans of a NumPy type.

    Raises
    ------
    ValueError
        A type without wire type: complex numbers, bytes, records.
    """
    if dtype.kind == "b":
        return "boolean"
    if dtype.kind in "iu":
        return "integer" if dtype.itemsize < 4 or dtype == np.int32 else "long"
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return "float" if dtype.itemsize <= 4 else "double"
    raise ValueError(f"values of the type {dtype} cannot be sent to an endpoint")


def wire_of_arrow(array: Any, kind: WireType, wire: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return an array of Arrow as the wire has it."""
    import pyarrow as pa

    if kind == "string":
        return objects(array.to_pylist())
    if kind == "boolean":
        return objects(array.to_pylist()) if array.null_count else np.asarray(array, dtype=bool)
    if kind == "datetime":
        if getattr(array.type, "tz", None) is not None:
            array = array.cast(pa.timestamp(array.type.unit, "UTC"))
        return np.asarray(array.cast(pa.timestamp("ns"))).astype(NANOSECONDS)
    if wire.kind in "iu":
        counts = array.cast(pa.duration("ns")).cast(pa.int64()) if pa.types.is_duration(array.type) else array
        if not counts.null_count:
            return np.asarray(counts).astype(wire, copy=False)
        absent = np.asarray(counts.is_null())
        return with_gaps(np.asarray(counts.fill_null(0)).astype(wire, copy=False), absent)
    return np.asarray(array.cast(pa.float64()) if pa.types.is_decimal(array.type) else array).astype(wire, copy=False)


def with_gaps(counts: np.ndarray[Any, Any], absent: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return integers of which some are missing: as floats, or as objects where floats are not exact."""
    present = counts[~absent]
    if len(present) and (int(present.max()) > _EXACT or int(present.min()) < -_EXACT):
        return objects([None if gap else value for value, gap in zip(counts.tolist(), absent.tolist(), strict=True)])
    found = counts.astype(np.float64)
    found[absent] = np.nan
    return found


def objects(values: list[Any]) -> np.ndarray[Any, Any]:
    """Return an array of objects of shape (rows,)."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
