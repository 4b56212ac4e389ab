"""Columns of Python objects."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np

from mlops_workbench.core.model_schema import WireType
from mlops_workbench.data.fitted.numpy_codecs import TimeCodec
from mlops_workbench.data.fitted.wire import NANOSECONDS, OBJECT, objects, with_gaps
from mlops_workbench.data.tables.columns import is_missing

_OBJECT_TYPES: dict[str, tuple[WireType, np.dtype[Any]]] = {
    "str": ("string", OBJECT),
    "bool": ("boolean", np.dtype(bool)),
    "int": ("long", np.dtype(np.int64)),
    "float": ("double", np.dtype(np.float64)),
    "Decimal": ("double", np.dtype(np.float64)),
    "date": ("datetime", NANOSECONDS),
    "datetime": ("datetime", NANOSECONDS),
}
_MAKERS: dict[str, Any] = {
    "int": int,
    "Decimal": lambda value: decimal.Decimal(repr(value)),
    "date": lambda moment: moment.date(),
}
_HELD: list[tuple[tuple[type, ...], str]] = [
    ((str,), "str"),
    ((bool, np.bool_), "bool"),
    ((int, np.integer), "int"),
    ((float, np.floating, int, np.integer), "float"),
    ((decimal.Decimal,), "Decimal"),
    ((datetime.datetime, np.datetime64), "datetime"),
    ((datetime.date,), "date"),
]


class ObjectCodec:
    """Objects of one class.

    Parameters
    ----------
    holds, missing : str
        See :class:`InputSpec`.
    """

    def __init__(self, holds: str, missing: str) -> None:
        self.holds, self.missing = holds, missing
        self.type, self.wire = _OBJECT_TYPES[holds]

    def encode(self, values: Any) -> np.ndarray[Any, Any]:
        """See `Codec`."""
        given = values.tolist()
        absent = np.array([is_missing(value) for value in given], dtype=bool)
        if self.type == "string":
            return objects([None if gap else str(value) for value, gap in zip(given, absent, strict=True)])
        if self.type == "boolean":
            if not absent.any():
                return np.array(given, dtype=bool)
            return objects([None if gap else bool(value) for value, gap in zip(given, absent, strict=True)])
        if self.type == "datetime":
            import pandas as pd

            return TimeCodec(NANOSECONDS).encode(pd.to_datetime(pd.Series(given)))
        if self.type == "double":
            return np.array([np.nan if gap else float(v) for v, gap in zip(given, absent, strict=True)])
        counts = np.array([0 if gap else int(v) for v, gap in zip(given, absent, strict=True)], dtype=np.int64)
        return with_gaps(counts, absent) if absent.any() else counts

    def decode(self, array: np.ndarray[Any, Any]) -> Any:
        """See `Codec`."""
        gap: Any = {"none": None, "nan": float("nan")}.get(self.missing)
        if self.missing == "na":
            import pandas as pd

            gap = pd.NA
        given = array.tolist() if self.type != "datetime" else _moments(array)
        make = _MAKERS.get(self.holds)
        return objects([gap if is_missing(v) else make(v) if make is not None else v for v in given])


def held(values: Any) -> tuple[str, str]:
    """What a column of objects holds, and what stands for a missing value in it."""
    given = values.tolist() if values is not None else []
    present = [value for value in given if not is_missing(value)]
    gaps = {type(value).__name__ for value in given if is_missing(value)}
    missing = "nan" if "float" in gaps else "na" if "NAType" in gaps else "none"
    if not present:
        return "str", missing
    for classes, holds in _HELD:
        if all(isinstance(value, classes) for value in present) and (
            holds not in ("int", "float") or not any(isinstance(value, bool | np.bool_) for value in present)
        ):
            if holds == "datetime" and any(getattr(value, "tzinfo", None) is not None for value in present):
                raise ValueError("it holds times with a zone as objects; convert it with pandas.to_datetime")
            return holds, missing
    kinds = sorted({type(value).__name__ for value in present})
    raise ValueError(f"it holds objects of {', '.join(kinds[:4])}, which cannot be sent to an endpoint")


def _moments(array: np.ndarray[Any, Any]) -> list[Any]:
    import pandas as pd

    return list(pd.DatetimeIndex(array))
