"""Columns of Arrow, of polars, and of the pandas types that stand for those of Arrow."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np

from mlops_workbench.core.model_schema import WireType
from mlops_workbench.data.fitted.numpy_codecs import NumberCodec
from mlops_workbench.data.fitted.wire import NANOSECONDS, OBJECT, wire_of_arrow


class ArrowCodec:
    """Columns of Arrow, of polars, and of the pandas types that stand for those of Arrow.

    Parameters
    ----------
    kind : pyarrow.DataType
        Type of the column.
    wrap : callable, optional
        Makes the column of a pyarrow array; by default it is the array.
    """

    def __init__(self, kind: Any, wrap: Any = None) -> None:
        from pyarrow import types

        self._kind, self._wrap = kind, wrap
        inner = kind.value_type if types.is_dictionary(kind) else kind
        self.type, self.wire = _arrow_wire(inner)
        self._is_duration = types.is_duration(inner)
        self._is_decimal = types.is_decimal(inner)

    def encode(self, values: Any) -> np.ndarray[Any, Any]:
        """See `Codec`."""
        import pyarrow as pa

        array = getattr(values, "array", values)
        array = pa.array(array) if not isinstance(array, pa.ChunkedArray | pa.Array) else array
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # of older versions
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], self._kind)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        return wire_of_arrow(array, self.type, self.wire)

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """See `Codec`."""
        import pyarrow as pa

        kind = self._kind
        inner = kind.value_type if pa.types.is_dictionary(kind) else kind
        given: Any = array
        if self._is_decimal:
            found = pa.array([None if value != value else decimal.Decimal(repr(value)) for value in array.tolist()])
            found = found.cast(inner, safe=False) if found.null_count < len(found) else pa.nulls(len(array), inner)
        elif self._is_duration:
            found = pa.array(given, from_pandas=True).cast(pa.int64()).cast(pa.duration("ns")).cast(inner, safe=False)
        elif self.type == "datetime":
            found = pa.array(given, from_pandas=True)
            zone = getattr(inner, "tz", None)
            found = found.cast(pa.timestamp("ns", zone)) if zone is not None else found
            found = found.cast(inner, safe=False)
        else:
            found = pa.array(given, from_pandas=True).cast(inner)
        if pa.types.is_dictionary(kind):
            found = found.dictionary_encode().cast(kind)
        return found if self._wrap is None else self._wrap(found)


def _arrow_wire(kind: Any) -> tuple[WireType, np.dtype[Any]]:
    from pyarrow import types

    if types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view":
        return "string", OBJECT
    if types.is_timestamp(kind) or types.is_date(kind):
        return "datetime", NANOSECONDS
    if types.is_duration(kind):
        return "long", np.dtype(np.int64)
    if types.is_decimal(kind):
        return "double", np.dtype(np.float64)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        codec = NumberCodec(np.dtype(kind.to_pandas_dtype()))
        return codec.type, codec.wire
    raise ValueError(f"values of the type {kind} cannot be sent to an endpoint")
