"""Digest of the whole content of a table: one other byte, another digest."""

from __future__ import annotations

import sys
from typing import Any

from xxhash import xxh3_128

from mlops_workbench.capture.schema import is_frame, is_series


def content_digest(data: Any) -> tuple[str, str]:
    """Digest of a DataFrame, Series or array.

    Numbers, booleans and dates are hashed as they lie in memory; text and other objects through pandas'
    hashes of their values. Names, types, shape and a meaningful index count; a plain range as index does not.

    Returns
    -------
    digest : str
        32 hexadecimal digits.
    covers : {"content", "shape"}
        ``shape`` when cells hold objects that have no hash, such as lists.
    """
    state = xxh3_128()
    covers = "content"
    if is_frame(data):
        state.update(repr([(str(name), str(dtype)) for name, dtype in data.dtypes.items()]).encode(_TEXT, _LOSSLESS))
        parts = [_index(data), *(data.iloc[:, i] for i in range(data.shape[1]))]
    elif is_series(data):
        state.update(f"{data.name}:{data.dtype}".encode(_TEXT, _LOSSLESS))
        parts = [_index(data), data]
    else:
        state.update(f"{data.dtype}".encode())
        parts = [data]
    state.update(repr(tuple(data.shape)).encode())
    for part in parts:
        if part is not None and not _update(state, part):
            covers = "shape"
    return state.hexdigest(), covers


_TEXT, _LOSSLESS = "utf-8", "backslashreplace"


def _index(data: Any) -> Any:
    pandas: Any = sys.modules["pandas"]
    return None if isinstance(data.index, pandas.RangeIndex) else data.index


def _update(state: Any, values: Any) -> bool:
    numpy: Any = sys.modules["numpy"]
    kind = values.dtype.kind if isinstance(getattr(values, "dtype", None), numpy.dtype) else "O"
    if kind in "biufcmM":
        array = numpy.ascontiguousarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
        # Dates have no buffer of their own.
        state.update(array.view(numpy.int64) if kind in "mM" else array)
        return True
    if kind in "US":
        state.update(numpy.ascontiguousarray(values).view(numpy.uint8))
        return True
    try:
        state.update(_object_hashes(values))
    except TypeError:
        return False
    return True


def _object_hashes(values: Any) -> Any:
    pandas: Any = sys.modules.get("pandas")
    if pandas is None:
        return "\x1f".join(map(repr, values.ravel().tolist())).encode(_TEXT, _LOSSLESS)
    if hasattr(values, "to_numpy"):
        return pandas.util.hash_pandas_object(values, index=False).to_numpy()
    return pandas.util.hash_array(values.ravel().astype(object))
