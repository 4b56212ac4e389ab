"""The kind of data that an object is, found without importing the libraries."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

from mlops_workbench.core.members import is_a
from mlops_workbench.data.tables.columns import is_frame, is_series
from mlops_workbench.data.tables.tensors import Tensors, Unread, kind_name

#: Number of rows of a list that are checked.
_CHECKED_ROWS = 100
_ROWS = (list, tuple, dict)
_SCALARS = (int, float, str, bool, complex, bytes, type(None))

#: Kinds of data; empty for other objects.
Kind = Literal[
    "frame", "series", "array", "sparse", "arrow", "polars", "lazy", "path", "records", "tensors", "unread", ""
]  # fmt: skip


def kind_of(data: Any) -> Kind:
    """Return the kind of data that an object is.

    ``arrow`` is a pyarrow Table, ``polars`` a polars DataFrame or Series, ``lazy`` a polars LazyFrame, ``records``
    a list of lists, dicts or plain values; ``tensors`` and ``unread`` are results of
    :func:`mlops_workbench.data.tables.tensors.readable` for data of deep-learning libraries.
    """
    if is_frame(data):
        return "frame"
    if is_series(data):
        return "series"
    if is_a(data, (str, os.PathLike)):
        return "path"
    numpy = sys.modules.get("numpy")
    if numpy is not None and is_a(data, getattr(numpy, "ndarray", ())):
        return "array" if data.ndim else ""
    if is_a(data, (list, tuple)):
        return "records" if _are_rows(data) else ""
    if isinstance(data, Tensors):
        return "tensors"
    if isinstance(data, Unread):
        return "unread"
    return _by_library(data)


def _by_library(data: Any) -> Kind:
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(data):
        return "sparse" if data.ndim <= 2 else ""
    arrow = sys.modules.get("pyarrow")
    if arrow is not None and is_a(data, getattr(arrow, "Table", ())):
        return "arrow"
    polars = sys.modules.get("polars")
    if polars is not None and hasattr(polars, "LazyFrame"):
        if is_a(data, polars.LazyFrame):
            return "lazy"
        if is_a(data, (polars.DataFrame, polars.Series)):
            return "polars"
    return ""


def _are_rows(data: list[Any] | tuple[Any, ...]) -> bool:
    some = data[:: max(1, len(data) // _CHECKED_ROWS)][:_CHECKED_ROWS]
    if not some:
        return False
    return all(isinstance(row, _ROWS) for row in some) or all(isinstance(row, _SCALARS) for row in some)


def name_of_kind(data: Any) -> str:
    """Return library and class, such as ``pandas.DataFrame``."""
    return data.kind if isinstance(data, (Tensors, Unread)) else kind_name(data)
