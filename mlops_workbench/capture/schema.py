"""Columns of a table: names, MLflow data types, and whether values are missing.

Works on tables of libraries that the user has imported; nothing is imported for it.
"""

from __future__ import annotations

import datetime
import numbers
import sys
from typing import Any

from mlops_workbench.core.records import Column

_KINDS = {"b": "boolean", "f": "double", "i": "long", "u": "long", "M": "datetime", "m": "long"}


def is_frame(data: Any) -> bool:
    """Whether it is a pandas DataFrame."""
    pandas = sys.modules.get("pandas")
    return hasattr(pandas, "DataFrame") and isinstance(data, pandas.DataFrame)  # type: ignore[union-attr]


def is_series(data: Any) -> bool:
    """Whether it is a pandas Series."""
    pandas = sys.modules.get("pandas")
    return hasattr(pandas, "Series") and isinstance(data, pandas.Series)  # type: ignore[union-attr]


def is_array(data: Any) -> bool:
    """Whether it is a NumPy array with one or two dimensions."""
    numpy = sys.modules.get("numpy")
    return hasattr(numpy, "ndarray") and isinstance(data, numpy.ndarray) and data.ndim in (1, 2)  # type: ignore[union-attr]


def is_table(data: Any) -> bool:
    """Whether its columns can be described."""
    return is_frame(data) or is_series(data) or is_array(data)


def column_names(data: Any) -> list[str]:
    """Names of the columns of a table; those of an array are ``x0``, ``x1`` and so on."""
    if is_frame(data):
        return [str(name) for name in data.columns]
    if is_series(data):
        return [str(data.name) if data.name is not None else "x0"]
    return [f"x{i}" for i in range(data.shape[1] if data.ndim == 2 else 1)]


def columns_of(data: Any) -> list[Column]:
    """Columns of a DataFrame, Series or array.

    A column is required unless values are missing in it. Columns of an array, which have no names, are
    called ``x0``, ``x1`` and so on, in order.
    """
    names = column_names(data)
    if is_frame(data):
        return [_series_column(data.iloc[:, i], name) for i, name in enumerate(names)]
    if is_series(data):
        return [_series_column(data, names[0])]
    parts = [data] if data.ndim == 1 else [data[:, i] for i in range(data.shape[1])]
    return [Column(name, array_type(part), not any_missing(part)) for name, part in zip(names, parts, strict=True)]


def array_type(values: Any) -> str:
    """MLflow data type of the values of an array."""
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


def missing(series: Any) -> int:
    """Number of missing values of a Series."""
    return int(series.isna().sum())


def any_missing(values: Any) -> bool:
    """Whether a Series, or an array of one dimension, misses a value; of numbers told in one pass without a copy."""
    kind = getattr(values.dtype, "kind", "O") if type(values.dtype).__module__.startswith("numpy") else "O"
    if kind in "iubUS":
        return False
    if kind == "f" and len(values):
        # The least of values with a NaN among them is NaN.
        least = (values.to_numpy() if hasattr(values, "to_numpy") else values).min()
        return bool(least != least)
    return bool(missing(values)) if hasattr(values, "isna") else _array_missing(values)


def _series_column(series: Any, name: str) -> Column:
    return Column(name, _series_type(series), not any_missing(series))


def _series_type(series: Any) -> str:
    dtype = series.dtype
    categories = getattr(dtype, "categories", None)
    if categories is not None and hasattr(categories, "dtype"):
        return _series_type(categories)
    plain = getattr(dtype, "numpy_dtype", dtype)  # of a nullable type such as Int64
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
    seen = [value for value in values if value is not None]
    for kinds, name in (
        (bool, "boolean"),
        (numbers.Integral, "long"),
        (numbers.Number, "double"),
        ((datetime.datetime, datetime.date), "datetime"),
    ):
        if seen and all(isinstance(value, kinds) for value in seen):
            return name
    return "string"


def _array_missing(values: Any) -> bool:
    if values.dtype.kind in "fcMm":
        return bool((values != values).any())
    if values.dtype.kind == "O":
        return any(value is None or value != value for value in values.ravel().tolist())
    return False
