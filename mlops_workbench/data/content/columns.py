"""Canonical bytes of a column, independent of its memory layout."""

from __future__ import annotations

import sys
from typing import Any

from mlops_workbench.data.content.canonical import encode_one, encoded
from mlops_workbench.data.content.floats import one_nan, update_floats

#: Rows that are copied at a time from a column that is not contiguous.
TILE_ROWS = 4096
_NUMBERS = "biufcmM"


def buffer_of(values: Any) -> Any:
    """Return a view of a column of numbers, booleans or dates; None for any other column."""
    numpy: Any = sys.modules["numpy"]
    if not isinstance(getattr(values, "dtype", None), numpy.dtype) or values.dtype.kind not in _NUMBERS:
        return None
    return plain_array(values.to_numpy() if hasattr(values, "to_numpy") else values)


def plain_array(array: Any) -> Any:
    """Return an array of numbers, booleans or dates in native byte order and with a type that has a buffer."""
    numpy: Any = sys.modules["numpy"]
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind in "mM":
        # NumPy exposes no buffer of dates.
        return array.view(numpy.int64)
    if array.dtype.kind in "fc" and numpy.finfo(array.dtype).nmant == 63:
        # 6 of the 16 bytes of an x87 number are uninitialized padding.
        whole = one_nan(numpy.ascontiguousarray(array))
        return whole.view(numpy.uint8).reshape(*array.shape, array.itemsize // 16, 16)[..., :10]
    return array


def update_array(state: Any, array: Any) -> None:
    """Add an array of any layout in C order, copying only small pieces."""
    numpy: Any = sys.modules["numpy"]
    if array.flags.c_contiguous:
        if array.dtype.kind in "fc":
            update_floats(state, array)
        else:
            state.update(array)
        return
    width = max(1, array.itemsize * (array.size // max(1, len(array))))
    rows = TILE_ROWS if array.ndim == 1 else max(1, min(TILE_ROWS, (1 << 22) // width))
    for start in range(0, len(array), rows):
        state.update(one_nan(numpy.ascontiguousarray(array[start : start + rows])))


def update_column(state: Any, values: Any) -> None:
    """Add a column: a one-dimensional array, a Series or an Index of any type.

    Raises
    ------
    Opaque
        It contains objects whose content cannot be read.
    """
    numpy: Any = sys.modules["numpy"]
    dtype = values.dtype
    if isinstance(dtype, numpy.dtype):
        _plain_column(state, values)
        return
    array = getattr(values, "array", values)
    kind = type(dtype).__name__
    if kind == "CategoricalDtype":
        _categorical(state, array)
    elif kind in ("DatetimeTZDtype", "PeriodDtype"):
        update_array(state, array.view("i8"))
    elif kind == "IntervalDtype":
        update_column(state, array.left)
        update_column(state, array.right)
    elif kind == "SparseDtype":
        update_column(state, array.to_dense())
    elif kind == "ArrowDtype" or (kind == "StringDtype" and dtype.storage == "pyarrow"):
        from mlops_workbench.data.content.arrow import update_arrow

        update_arrow(state, array.__arrow_array__())
    elif kind == "StringDtype":
        _text(state, array)
    elif hasattr(dtype, "numpy_dtype"):
        update_array(state, numpy.asarray(array.isna()))
        update_array(state, array.to_numpy(dtype=dtype.numpy_dtype, na_value=0))
    else:
        _objects(state, array.astype(object))


def _plain_column(state: Any, values: Any) -> None:
    numpy: Any = sys.modules["numpy"]
    array = buffer_of(values)
    if array is not None:
        update_array(state, array)
        return
    array = values.to_numpy() if hasattr(values, "to_numpy") else values
    if array.dtype.kind in "US":
        state.update(numpy.ascontiguousarray(array).view(numpy.uint8))
    elif array.dtype.names:
        for name in array.dtype.names:
            update_column(state, array[name])
    else:
        _objects(state, array)


def _objects(state: Any, array: Any) -> None:
    numpy: Any = sys.modules["numpy"]
    for piece in encoded(numpy.asarray(array).ravel().tolist()):
        state.update(piece)


def _text(state: Any, array: Any) -> None:
    """Add text in the same form as :func:`update_arrow`."""
    numpy: Any = sys.modules["numpy"]
    missing = numpy.asarray(array.isna())
    texts = [text.encode("utf-8", "surrogatepass") for text in array[~missing].tolist()]
    state.update(numpy.ascontiguousarray(~missing))
    state.update(numpy.fromiter(map(len, texts), numpy.int64, len(texts)))
    state.update(b"".join(texts))


def _categorical(state: Any, array: Any) -> None:
    """Add each row as the hash of its category, which ignores order and unused categories."""
    from xxhash import xxh3_64_intdigest

    numpy: Any = sys.modules["numpy"]
    hashes = [xxh3_64_intdigest(encode_one(category)) for category in array.categories.tolist()]
    # The code of a missing value is -1, the last entry.
    table = numpy.array([*hashes, 0], dtype=numpy.uint64)
    codes = array.codes
    for start in range(0, len(codes), 1 << 20):
        state.update(table[codes[start : start + (1 << 20)]])
