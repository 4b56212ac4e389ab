"""Version of data: a digest of its content, equal exactly for equal data.

Included
    The kind of table, shape, names and types of the columns in their order, every value, and an index, unless it
    only numbers the rows.
Ignored
    Memory layout (Fortran or C order, views, blocks, chunks), order and number of categories beyond those
    in use, the format of a sparse matrix and its explicit zeros, whether an index that counts up by one is stored.
Floats
    Compared by their bits, but for NaN, which is always the same: ``-0.0`` differs from ``0.0``.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from dataclasses import dataclass, field
from typing import Any

import msgspec
from xxhash import xxh3_128

from mlops_workbench.data.content.canonical import Opaque, encode_one, encoded
from mlops_workbench.data.content.columns import buffer_of, plain_array, update_array, update_column
from mlops_workbench.data.content.floats import one_nan
from mlops_workbench.data.content.passes import tiles
from mlops_workbench.data.digest_cost import estimate_seconds, sample_rows, take_rows
from mlops_workbench.data.tables.columns import column_names, parts_of
from mlops_workbench.data.tables.kinds import kind_of

#: Part of every digest; increase it when a change gives the same data another digest.
_FORM = "mlops-data-1"
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Digest:
    """Version of data.

    Attributes
    ----------
    hex : str
        32 hexadecimal digits.
    covers : {"content", "sampled", "shape"}
        ``sampled``: shape, names, types and evenly spaced blocks of rows, because the whole would take too long;
        ``shape``: no values, because they cannot be read (opaque objects, a lazy frame).
    columns : dict
        Digest of the values of each named column, 16 digits.
    """

    hex: str
    covers: str
    columns: dict[str, str] = field(default_factory=dict)


def digest_data(data: Any, seconds: float = float("inf")) -> Digest:
    """Return the digest of a table, a Series, an array, a sparse matrix, or a list of rows.

    Parameters
    ----------
    data : DataFrame, Series, ndarray, scipy sparse, polars, pyarrow Table, list
        The data; for files see :func:`mlops_workbench.data.files.digest_path`.
    seconds : float
        Approximate time limit, beyond which a sample is digested. The time is estimated from size and types alone, so
        that the same data always gets the same digest.
    """
    rows = None
    if seconds != float("inf"):
        expected = estimate_seconds(data)
        if expected > seconds:
            rows = sample_rows(len_of(data), seconds / expected)
    state = xxh3_128(_FORM.encode())
    try:
        header, columns = _parts(data)
        state.update(_encode([kind_of(data), header]))
        if rows is not None:
            # The header contains the number of rows, which determines the blocks.
            state.update(_encode(["sampled", len(rows)]))
            _, columns = _parts(take_rows(data, rows))
        covers = "content" if rows is None else "sampled"
        numpy: Any = sys.modules.get("numpy")
        with contextlib.nullcontext() if numpy is None else numpy.errstate(invalid="ignore"):
            digests = _columns(state, columns)
    except Opaque:
        state.update(b"shape")
        return Digest(state.hexdigest(), "shape")
    if kind_of(data) in ("lazy", "unread"):
        covers = "shape"
    return Digest(state.hexdigest(), covers, digests)


def len_of(data: Any) -> int:
    """Return the number of rows; 0 for a lazy frame."""
    shape = getattr(data, "shape", None)
    if shape is not None:
        return int(shape[0])
    return len(data) if hasattr(data, "__len__") else 0


def _parts(data: Any) -> tuple[Any, list[tuple[str, Any]]]:
    """Return the header, and the columns with their names (empty for those without a digest of their own)."""
    kind = kind_of(data)
    numpy: Any = sys.modules.get("numpy")
    if kind == "frame":
        values = parts_of(data)
        names = list(data.columns)
        index = _index(data.index)
        header = [data.shape, [[encode_one(n), _dtype(v)] for n, v in zip(names, values, strict=True)], _levels(index)]
        return header, [("", level) for level in index] + _named(names, values)
    if kind == "series":
        index = _index(data.index)
        header = [data.shape, encode_one(data.name), _dtype(data), _levels(index)]
        return header, [*(("", level) for level in index), (column_names(data)[0], data)]
    if kind == "array":
        dtype = data.dtype if data.dtype.names else data.dtype.newbyteorder("=")
        header = [data.shape, dtype.str if not dtype.names else str(dtype)]
        masked = numpy.ma.isMaskedArray(data)
        return header, [("", data), ("", numpy.ma.getmaskarray(data))] if masked else [("", data)]
    if kind == "sparse":
        matrix = _canonical_sparse(data)
        parts = [matrix.indptr.astype(numpy.int64), matrix.indices.astype(numpy.int64), matrix.data]
        return [data.shape, matrix.dtype.newbyteorder("=").str], [("", part) for part in parts]
    if kind == "arrow":
        columns = data.columns
        names = data.column_names
        return [data.shape, [[n, str(c.type)] for n, c in zip(names, columns, strict=True)]], _named(names, columns)
    if kind == "polars":
        series = data.get_columns() if hasattr(data, "get_columns") else [data]
        header = [data.shape, [[s.name, str(s.dtype)] for s in series]]
        return header, _named([s.name for s in series], [s.to_arrow() for s in series])
    if kind == "lazy":
        return [[[name, str(dtype)] for name, dtype in data.collect_schema().items()]], []
    if kind == "tensors":
        arrays = data.arrays()
        header = [data.shape, [[array.shape, array.dtype.newbyteorder("=").str] for array in arrays]]
        return header, [("", array) for array in arrays]
    if kind == "unread":
        return [data.shape, data.elements, data.kind], []
    return [len(data), type(data).__name__], [("", data)]


def _columns(state: Any, columns: list[tuple[str, Any]]) -> dict[str, str]:
    states = [xxh3_128() for _ in columns]
    strided: list[tuple[Any, Any]] = []
    for one, (_, values) in zip(states, columns, strict=True):
        _column(one, values, strided)
    # Columns of one block are interleaved: reading them by rows reads each cache line once.
    for number, piece in tiles([array for _, array in strided]):
        strided[number][0].update(one_nan(piece))
    digests = {}
    for one, (name, _) in zip(states, columns, strict=True):
        digest = one.digest()
        state.update(digest)
        if name:
            digests[name] = digest[:8].hex()
    return digests


def _column(state: Any, values: Any, strided: list[tuple[Any, Any]]) -> None:
    if isinstance(values, list | tuple):
        for piece in encoded(list(values)):
            state.update(piece)
    elif type(values).__module__.partition(".")[0] == "pyarrow":
        from mlops_workbench.data.content.arrow import update_arrow

        update_arrow(state, values)
    elif getattr(values, "ndim", 1) != 1:
        if values.dtype.kind in "biufcmM":
            update_array(state, plain_array(values))
        else:
            update_column(state, values.reshape(-1))
    else:
        array = buffer_of(values)
        if array is None:
            update_column(state, values)
        elif array.ndim == 1 and not array.flags.c_contiguous:
            strided.append((state, array))
        else:
            update_array(state, array)


def _named(names: list[Any], values: list[Any]) -> list[tuple[str, Any]]:
    return [(str(name) or "column", column) for name, column in zip(names, values, strict=True)]


def _dtype(values: Any) -> Any:
    dtype = values.dtype
    categories = getattr(dtype, "categories", None)
    if categories is None:
        return _name(dtype) if type(dtype).__module__.startswith("numpy") else str(dtype)
    # The order of the categories has a meaning only for ordered data.
    order = [encode_one(category) for category in categories.tolist()] if dtype.ordered else []
    return ["category", str(categories.dtype), order]


@functools.lru_cache(256)
def _name(dtype: Any) -> str:
    return str(dtype)


def _index(index: Any) -> list[Any]:
    """Return the levels of an index; none if it only numbers the rows."""
    numpy: Any = sys.modules["numpy"]
    if hasattr(index, "levels"):
        return [index.get_level_values(i) for i in range(index.nlevels)]
    dtype = index.dtype
    if isinstance(dtype, numpy.dtype) and dtype.kind in "iu":
        if getattr(index, "step", None) == 1 or not len(index):
            return []
        first = index[0]
        if index[-1] - first == len(index) - 1 and bool((numpy.diff(index.to_numpy()) == 1).all()):
            return []
    return [index]


def _levels(levels: list[Any]) -> list[Any]:
    return [[encode_one(level.name), _dtype(level)] for level in levels]


def _canonical_sparse(data: Any) -> Any:
    matrix = data.reshape(1, -1).tocsr() if data.ndim == 1 else data.tocsr()
    if not matrix.has_canonical_format or (matrix.data == 0).any():
        matrix = matrix.copy() if matrix is data else matrix
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix
