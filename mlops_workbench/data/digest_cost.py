"""Estimated time of a digest, and the rows to sample when it is too long."""

from __future__ import annotations

import sys
from typing import Any

from mlops_workbench.data.content.canonical import Opaque, encoded
from mlops_workbench.data.tables.kinds import kind_of

# Constants of a slow machine, so that every machine samples the same data.
_BYTES_PER_SECOND = 1.0e9
_CELLS_PER_SECOND = 5.0e6  # text and plain objects
_OBJECTS_PER_SECOND = 2.5e5  # anything else
_COLUMN_SECONDS = 40e-6
_BLOCKS = 128
_SAMPLED_OBJECTS = 50


def estimate_seconds(data: Any) -> float:
    """Estimate the time of the digest in seconds from sizes, types and a sample of objects."""
    kind = kind_of(data)
    if kind == "frame":
        dtypes = data.dtypes.tolist()
        seconds: float = len(dtypes) * _COLUMN_SECONDS + _index_seconds(data.index)
        # Creating a Series for each of thousands of numeric columns is too slow.
        sizes = [dtype.itemsize if _is_plain(dtype) else 0 for dtype in dtypes]
        others = sum(_column_seconds(data.iloc[:, i]) for i, size in enumerate(sizes) if not size)
        return seconds + float(len(data) * sum(sizes)) / _BYTES_PER_SECOND + others
    if kind == "series":
        return _index_seconds(data.index) + _column_seconds(data)
    if kind == "array":
        return _column_seconds(data)
    if kind == "sparse":
        # Other formats are converted to CSR first.
        return float(data.nnz * (data.dtype.itemsize + 16) / _BYTES_PER_SECOND * (1 if data.format == "csr" else 8))
    if kind == "arrow":
        return float(data.nbytes / _BYTES_PER_SECOND + data.num_columns * _COLUMN_SECONDS)
    if kind == "polars":
        return float(data.estimated_size()) / _BYTES_PER_SECOND
    if kind == "records":
        return _objects_seconds(data)
    if kind == "tensors":
        return sum(_column_seconds(array) for array in data.arrays())
    return 0.0


def sample_rows(rows: int, share: float) -> Any:
    """Return the indices of evenly spaced blocks of rows, including the first and the last row."""
    numpy: Any = sys.modules["numpy"]
    count = max(1, min(rows, int(rows * share)))
    blocks = min(_BLOCKS, count)
    size = count // blocks
    # The blocks do not overlap: together they are no longer than the table.
    starts = numpy.arange(blocks) * (rows - size) // max(1, blocks - 1)
    return (starts[:, None] + numpy.arange(size)).ravel()


def take_rows(data: Any, rows: Any) -> Any:
    """Return some rows of any kind of table."""
    kind = kind_of(data)
    if kind in ("frame", "series"):
        return data.iloc[rows]
    if kind == "sparse":
        return data.tocsr()[rows]
    if kind in ("arrow", "tensors"):
        return data.take(rows)
    if kind == "records":
        return [data[i] for i in rows.tolist()]
    return data[rows]


def _index_seconds(index: Any) -> float:
    if type(index).__name__ == "RangeIndex":
        return 0.0
    if hasattr(index, "levels"):
        return float(len(index) * index.nlevels / _CELLS_PER_SECOND)
    return _column_seconds(index)


def _column_seconds(values: Any) -> float:
    dtype = values.dtype
    size = int(values.size)
    if _is_plain(dtype):
        return float(size * dtype.itemsize / _BYTES_PER_SECOND)
    if getattr(dtype, "kind", "O") == "O" and type(dtype).__module__.startswith("numpy"):
        return _objects_seconds(values.reshape(-1) if getattr(values, "ndim", 1) > 1 else values)
    if type(dtype).__name__ == "CategoricalDtype":
        return size * 8 / _BYTES_PER_SECOND + len(dtype.categories) / _CELLS_PER_SECOND * 5
    return max(size / _CELLS_PER_SECOND / 5, int(getattr(values, "nbytes", 0)) / _BYTES_PER_SECOND)


def _objects_seconds(values: Any) -> float:
    rows = len(values)
    if not rows:
        return 0.0
    step = max(1, rows // _SAMPLED_OBJECTS)
    some = (values.iloc[::step].tolist() if hasattr(values, "iloc") else list(values[::step]))[:_SAMPLED_OBJECTS]
    plain = all(type(value) in (str, int, float, bool, bytes, type(None)) for value in some)
    try:
        size = sum(map(len, encoded(some))) / len(some)
    except Opaque:
        size = 1.0
    per_row = 1 / _CELLS_PER_SECOND if plain else max(1.0, size / 16) / _OBJECTS_PER_SECOND
    return rows * (per_row + size / _BYTES_PER_SECOND)


def _is_plain(dtype: Any) -> bool:
    return type(dtype).__module__.startswith("numpy") and dtype.kind in "biufcmMUS"
