"""The codec of each type of pandas and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops_workbench.core.model_schema import InputSpec, WireType
from mlops_workbench.data.fitted.arrow_codec import ArrowCodec
from mlops_workbench.data.fitted.numpy_codecs import (
    DurationCodec,
    NullableCodec,
    NumberCodec,
    PeriodCodec,
    SparseCodec,
    TextCodec,
    TimeCodec,
)
from mlops_workbench.data.fitted.object_codec import ObjectCodec, held
from mlops_workbench.data.fitted.wire import OBJECT, Codec, objects, with_gaps


def codec_of(dtype: Any, values: Any = None, spec: InputSpec | None = None) -> Codec:
    """Return the codec of a type of pandas or NumPy.

    Parameters
    ----------
    dtype : dtype
        Type of the column.
    values : Series or array, optional
        Values of the column, which a column of objects is judged by.
    spec : InputSpec, optional
        What a column of objects holds, if it is known.

    Raises
    ------
    ValueError
        Values of this type cannot be sent to an endpoint.
    """
    if isinstance(dtype, np.dtype):
        if dtype.kind == "M":
            return TimeCodec(dtype)
        if dtype.kind == "m":
            return DurationCodec(dtype)
        if dtype.kind == "U":
            return TextCodec(dtype)
        if dtype.kind == "O":
            return ObjectCodec(*((spec.holds or "str", spec.missing) if spec is not None else held(values)))
        return NumberCodec(dtype)
    match type(dtype).__name__:
        case "CategoricalDtype":
            return CategoryCodec(dtype)
        case "DatetimeTZDtype":
            return TimeCodec(dtype)
        case "PeriodDtype":
            return PeriodCodec(dtype)
        case "SparseDtype":
            return SparseCodec(dtype)
        case "StringDtype":
            return TextCodec(dtype)
        case "ArrowDtype":
            import pandas as pd

            return ArrowCodec(dtype.pyarrow_dtype, pd.arrays.ArrowExtensionArray)
    if isinstance(getattr(dtype, "numpy_dtype", None), np.dtype) and dtype.numpy_dtype.kind in "biuf":
        return NullableCodec(dtype)
    raise ValueError(f"values of the type {dtype} cannot be sent to an endpoint")


class CategoryCodec:
    """Categories of pandas; their own values decide about the wire."""

    def __init__(self, dtype: Any) -> None:
        values = dtype.categories
        try:
            inner = codec_of(values.dtype, values)
            wire = inner.encode(values)
        except ValueError:
            # Intervals, tuples, values of several types: known by their texts.
            inner, wire = None, objects([str(value) for value in values])
        if inner is not None and inner.type == "datetime":
            wire = objects([value.isoformat() for value in values])
            inner = None
        self.type: WireType = inner.type if inner is not None else "string"
        self.wire = inner.wire if inner is not None else OBJECT
        self._dtype = dtype
        #: Categories in order, as JSON has them.
        self.labels: list[Any] = wire.tolist()
        self._codes = {label: code for code, label in enumerate(self.labels)}
        if any(isinstance(label, float) and not np.isfinite(label) for label in self.labels):
            raise ValueError("one of its categories is not a finite number")
        if len(self._codes) < len(self.labels):
            raise ValueError("its categories cannot be told apart in a request")

    def encode(self, values: Any) -> np.ndarray[Any, Any]:
        """See `Codec`."""
        codes = np.asarray(getattr(values, "cat", values).codes)
        absent = codes < 0
        if self.type in ("string", "boolean") and (absent.any() or self.type == "string"):
            return objects([None if code < 0 else self.labels[code] for code in codes.tolist()])
        table = np.array(self.labels, dtype=self.wire)
        if not len(table):
            return np.full(len(codes), np.nan)
        found: np.ndarray[Any, Any] = table[codes]
        if not absent.any():
            return found
        if self.wire.kind == "f":
            found[absent] = np.nan
            return found
        return with_gaps(found, absent)

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """See `Codec`; a value that is no category is a missing one, as in pandas."""
        import pandas as pd

        codes = [self._codes.get(value, -1) for value in array.tolist()]
        return pd.Categorical.from_codes(codes, dtype=self._dtype)
