"""Columns of a table: names, MLflow data types, and whether values are missing.

The module imports no data libraries: it works with those that the user has imported.
"""

from __future__ import annotations

import datetime
import decimal
import numbers
import sys
from typing import Any

from mlops_workbench.core.members import is_a
from mlops_workbench.core.records import Column

#: Number of columns from which on a DataFrame is read as an array, and largest number of bytes copied for it.
_WIDE, _COPIED_BYTES = 64, 64 << 20
_KINDS = {"b": "boolean", "f": "double", "i": "long", "u": "long", "M": "datetime", "m": "long"}


def is_frame(data: Any) -> bool:
    """Whether it is a pandas DataFrame."""
    pandas = sys.modules.get("pandas")
    return hasattr(pandas, "DataFrame") and is_a(data, pandas.DataFrame)  # type: ignore[union-attr]


def is_series(data: Any) -> bool:
    """Whether it is a pandas Series."""
    pandas = sys.modules.get("pandas")
    return hasattr(pandas, "Series") and is_a(data, pandas.Series)  # type: ignore[union-attr]


def is_array(data: Any) -> bool:
    """Whether it is a NumPy array with one or two dimensions."""
    numpy = sys.modules.get("numpy")
    return hasattr(numpy, "ndarray") and is_a(data, numpy.ndarray) and data.ndim in (1, 2)  # type: ignore[union-attr]


def is_table(data: Any) -> bool:
    """Whether it is a DataFrame, a Series, or an array with one or two dimensions."""
    return is_frame(data) or is_series(data) or is_array(data)


def column_names(data: Any) -> list[str]:
    """Return the names of the columns of a table; those of an array are ``x0``, ``x1`` and so on."""
    if is_frame(data):
        return [str(name) for name in data.columns]
    if is_series(data):
        return [str(data.name) if data.name is not None else "x0"]
    return [f"x{i}" for i in range(data.shape[1] if data.ndim == 2 else 1)]


def series_of(frame: Any, first: int | None = None) -> list[Any]:
    """Return the columns of a DataFrame, all or the first ones."""
    if first is not None and first < frame.shape[1]:
        frame = frame.iloc[:, :first]
    if hasattr(frame, "_item_cache"):
        # Before pandas 3, `items` caches each column in the user's frame.
        return [frame.iloc[:, i] for i in range(frame.shape[1])]
    return [series for _, series in frame.items()]


def parts_of(frame: Any) -> list[Any]:
    """Return the columns of a DataFrame as Series, or as arrays if it is wide and has a single type of number.

    Creating a Series takes 20 microseconds, more than processing a short one.
    """
    width = frame.shape[1]
    if width >= _WIDE:
        dtypes = frame.dtypes.tolist()
        first = dtypes[0]
        numeric = type(first).__module__.startswith("numpy") and first.kind in "biuf"
        if numeric and frame.size * first.itemsize <= _COPIED_BYTES and all(dtype == first for dtype in dtypes):
            return list(frame.to_numpy().T)
    return series_of(frame)


def columns_of(data: Any) -> list[Column]:
    """Return the columns of a DataFrame, Series or array.

    A column is required unless it has missing values. Columns of an array are named ``x0``, ``x1`` and so on.
    """
    names = column_names(data)
    if is_frame(data):
        parts = parts_of(data)
        types = _series_types(parts)
    elif is_series(data):
        parts, types = [data], [_series_type(data)]
    else:
        parts = [data] if data.ndim == 1 else [data[:, i] for i in range(data.shape[1])]
        types = [array_type(part) for part in parts]
    gaps = _gaps(parts)
    return [Column(name, kind, not gap) for name, kind, gap in zip(names, types, gaps, strict=True)]


def array_type(values: Any) -> str:
    """Return the MLflow data type of an array."""
    dtype = values.dtype
    if dtype.kind in "US":
        return "string"
    if dtype.kind == "O":
        return _object_type(values.ravel()[:1000].tolist())
    if dtype.kind == "f" and dtype.itemsize <= 4:
        return "float"
    if dtype.kind in "iu" and (dtype.itemsize < 4 or (dtype.kind == "i" and dtype.itemsize == 4)):
        return "integer"
    return _KINDS.get(dtype.kind, "string")


def count_missing(values: Any) -> int:
    """Return the number of missing values of a Series or an array."""
    if hasattr(values, "isna"):
        return int(values.isna().sum())
    if values.dtype.kind in "fcMm":
        return int((values != values).sum())
    return sum(map(is_missing, values.ravel().tolist())) if values.dtype.kind == "O" else 0


def is_missing(value: Any) -> bool:
    """Whether an object is None, NaN, or a missing value of pandas."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    # Scalars of NumPy too: NaN of any width, NaT. Objects of other classes may answer a comparison with anything.
    scalar = isinstance(value, float | complex) or (type(value).__module__ == "numpy" and value.ndim == 0)
    return scalar and bool(value != value)


def _gaps(parts: list[Any]) -> list[bool]:
    """Return for each column whether values are missing."""
    from mlops_workbench.data.content.passes import have_gaps

    found = [False] * len(parts)
    floats = []
    for i, part in enumerate(parts):
        plain = type(part.dtype).__module__.startswith("numpy")
        if plain and part.dtype.kind == "f":
            floats.append(i)
        elif not plain or part.dtype.kind not in "iubUS":
            found[i] = count_missing(part) > 0
    arrays = [parts[i].to_numpy() if hasattr(parts[i], "to_numpy") else parts[i] for i in floats]
    for i, gap in zip(floats, have_gaps(arrays), strict=True):
        found[i] = gap
    return found


def _series_types(parts: list[Any]) -> list[str]:
    known: dict[Any, str] = {}
    found = []
    for part in parts:
        dtype = part.dtype
        if getattr(dtype, "kind", "O") not in "biuf":
            found.append(_series_type(part))
            continue
        if dtype not in known:
            known[dtype] = _series_type(part)
        found.append(known[dtype])
    return found


def _series_type(series: Any) -> str:
    dtype = series.dtype
    categories = getattr(dtype, "categories", None)
    if categories is not None and hasattr(categories, "dtype"):
        return _series_type(categories)
    plain = getattr(dtype, "numpy_dtype", dtype)  # nullable types such as Int64 have one
    if type(dtype).__name__ == "SparseDtype":
        plain = dtype.subtype
    kind = getattr(plain, "kind", "O")
    if getattr(dtype, "name", "") in ("string", "str"):
        return "string"
    if kind == "O":
        return _object_type(series.dropna()[:1000].tolist() if hasattr(series, "dropna") else list(series[:1000]))
    if kind == "f" and plain.itemsize <= 4:
        return "float"
    if kind in "iu" and (plain.itemsize < 4 or (kind == "i" and plain.itemsize == 4)):
        return "integer"
    return _KINDS.get(kind, "string")


def _object_type(values: list[Any]) -> str:
    present = [value for value in values if value is not None]
    for kinds, name in (
        (bool, "boolean"),
        (numbers.Integral, "long"),
        (numbers.Number, "double"),
        ((datetime.datetime, datetime.date), "datetime"),
    ):
        if present and all(isinstance(value, kinds) for value in present):
            return name
    return "string"
