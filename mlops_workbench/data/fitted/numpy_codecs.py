"""Columns of numbers, times, durations and texts of NumPy and pandas."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops_workbench.core.model_schema import WireType
from mlops_workbench.data.fitted.wire import NANOSECONDS, OBJECT, objects, wire_type, with_gaps
from mlops_workbench.data.tables.columns import is_missing


class NumberCodec:
    """Numbers and booleans of NumPy."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.type = wire_type(dtype)
        self.dtype = dtype
        self.wire = np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")

    def encode(self, values: Any) -> np.ndarray[Any, Any]:
        """See `Codec`."""
        return np.asarray(values).astype(self.wire, copy=False)

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """See `Codec`; with missing values, integers become floats and booleans objects, as in pandas."""
        if array.dtype == OBJECT and self.dtype.kind in "iu":
            return array.astype(np.float64)
        if array.dtype == OBJECT or (array.dtype.kind == "f" and self.dtype.kind in "biu"):
            return array
        return array.astype(self.dtype, copy=False)


class TimeCodec:
    """Times of pandas and NumPy, with or without a zone."""

    type: WireType = "datetime"
    wire = NANOSECONDS

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def encode(self, values: Any) -> np.ndarray[Any, Any]:
        """See `Codec`."""
        import pandas as pd

        moments = pd.DatetimeIndex(values)
        if moments.tz is not None:
            moments = moments.tz_convert("UTC").tz_localize(None)
        return np.asarray(moments.as_unit("ns"))

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """See `Codec`."""
        if isinstance(self.dtype, np.dtype):
            return array.astype(self.dtype, copy=False)
        import pandas as pd

        moments = pd.DatetimeIndex(array).tz_localize("UTC").tz_convert(self.dtype.tz)
        return moments.as_unit(self.dtype.unit).array


class DurationCodec:
    """Durations, as integers of nanoseconds."""

    type: WireType = "long"
    wire = np.dtype(np.int64)

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def encode(self, values: Any) -> np.ndarray[Any, Any]:
        """See `Codec`."""
        import pandas as pd

        array = np.asarray(pd.TimedeltaIndex(values).as_unit("ns"))
        absent = np.isnat(array)
        counts = array.astype(np.int64)
        return with_gaps(counts, absent) if absent.any() else counts

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """See `Codec`."""
        if array.dtype.kind in "iu":
            return array.astype("timedelta64[ns]").astype(self.dtype)
        values = [np.timedelta64("NaT", "ns") if is_missing(v) else np.timedelta64(int(v), "ns") for v in array]
        return np.array(values).astype(self.dtype)


class NullableCodec:
    """The integers, numbers and booleans of pandas that have a missing value of their own."""

    def __init__(self, dtype: Any) -> None:
        self.type = wire_type(dtype.numpy_dtype)
        self.wire = dtype.numpy_dtype
        self.dtype = dtype

    def encode(self, values: Any) -> np.ndarray[Any, Any]:
        """See `Codec`."""
        array = getattr(values, "array", values)
        absent = np.asarray(array.isna())
        if not absent.any():
            return array.to_numpy(dtype=self.wire)  # type: ignore[no-any-return]
        if self.type == "boolean":
            return array.to_numpy(dtype=object, na_value=None)  # type: ignore[no-any-return]
        if self.wire.kind == "f":
            return array.to_numpy(dtype=self.wire, na_value=np.nan)  # type: ignore[no-any-return]
        return with_gaps(array.to_numpy(dtype=self.wire, na_value=0), absent)

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """See `Codec`."""
        import pandas as pd

        if array.dtype.kind == "f" and self.wire.kind in "iu":
            array = objects([None if value != value else int(value) for value in array.tolist()])
        if array.dtype.kind == "f":
            # NaN is a missing value on the wire; that pandas takes it for one depends on its version.
            array = objects([None if value != value else value for value in array.tolist()])
        return pd.array(array, dtype=self.dtype)


class TextCodec:
    """Texts: the string types of pandas and NumPy."""

    type: WireType = "string"
    wire = OBJECT

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def encode(self, values: Any) -> np.ndarray[Any, Any]:
        """See `Codec`."""
        return objects([None if is_missing(value) else str(value) for value in values.tolist()])

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """See `Codec`."""
        if isinstance(self.dtype, np.dtype):
            # Of any length: that of the training data would cut longer texts.
            return array.astype(self.dtype.kind)
        import pandas as pd

        return pd.array(array, dtype=self.dtype)


class PeriodCodec(TextCodec):
    """Periods of pandas, as text."""

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """See `Codec`.

        Raises
        ------
        ValueError
            A text is not a period.
        """
        import pandas as pd

        return pd.PeriodIndex(array.tolist(), freq=self.dtype.freq).array


class SparseCodec:
    """Sparse columns of pandas."""

    def __init__(self, dtype: Any) -> None:
        self._inner = NumberCodec(np.dtype(dtype.subtype))
        self.type, self.wire = self._inner.type, self._inner.wire
        self.dtype = dtype

    def encode(self, values: Any) -> np.ndarray[Any, Any]:
        """See `Codec`."""
        array = getattr(values, "array", values)
        return self._inner.encode(array.to_dense())

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """See `Codec`."""
        import pandas as pd

        values = self._inner.decode(array)
        return pd.arrays.SparseArray(values, dtype=self.dtype) if values.dtype == self.dtype.subtype else values
