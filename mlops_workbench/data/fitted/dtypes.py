"""Types of pandas, NumPy and Arrow as JSON, and back."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import numpy as np

from mlops_workbench.core.model_schema import InputSpec
from mlops_workbench.data.fitted.codecs import codec_of
from mlops_workbench.data.fitted.object_codec import ObjectCodec


def dtype_form(dtype: Any) -> dict[str, Any]:
    """Return a type as JSON that :func:`dtype_of` makes the type of again.

    Raises
    ------
    ValueError
        There is no form for this type.
    """
    if isinstance(dtype, np.dtype):
        return {"numpy": dtype.str if dtype.kind not in "OU" else dtype.kind}
    match type(dtype).__name__:
        case "CategoricalDtype":
            return {"categories": _values_form(dtype.categories), "ordered": bool(dtype.ordered)}
        case "DatetimeTZDtype":
            offset = dtype.tz.utcoffset(None) if type(dtype.tz) is datetime.timezone else None
            zone = str(dtype.tz) if offset is None else offset.total_seconds()
            return {"unit": dtype.unit, "zone": zone}
        case "StringDtype":
            return {"string": dtype.storage, "missing": "NA" if str(dtype.na_value) == "<NA>" else "nan"}
        case "ArrowDtype":
            import pyarrow as pa

            return {"arrow": field_form(pa.field("x", dtype.pyarrow_dtype))}
        case "SparseDtype":
            missing = isinstance(dtype.fill_value, float) and dtype.fill_value != dtype.fill_value
            return {
                "sparse": dtype_form(dtype.subtype),
                "fill": None if missing else np.asarray(dtype.fill_value).item(),
            }
        case "PeriodDtype":
            return {"pandas": str(dtype)}
    if isinstance(getattr(dtype, "numpy_dtype", None), np.dtype):
        return {"pandas": str(dtype)}
    raise ValueError(f"values of the type {dtype} cannot be sent to an endpoint")


def dtype_of(form: dict[str, Any]) -> Any:
    """Return the type of a form.

    Raises
    ------
    ValueError, TypeError, KeyError
        The form is damaged.
    """
    import pandas as pd

    if "numpy" in form:
        return np.dtype(form["numpy"])
    if "categories" in form:
        return pd.CategoricalDtype(_values(form["categories"]), form["ordered"])
    if "zone" in form:
        zone = form["zone"]
        zone = zone if isinstance(zone, str) else datetime.timezone(datetime.timedelta(seconds=zone))
        return pd.DatetimeTZDtype(form["unit"], zone)
    if "string" in form:
        return pd.StringDtype(form["string"], na_value=pd.NA if form["missing"] == "NA" else np.nan)
    if "arrow" in form:
        return pd.ArrowDtype(field_of(form["arrow"]).type)
    if "sparse" in form:
        fill = np.nan if form["fill"] is None else form["fill"]
        return pd.SparseDtype(dtype_of(form["sparse"]), fill)
    return pd.api.types.pandas_dtype(form["pandas"])


def field_form(field: Any) -> str:
    """Return a field of Arrow, with what its library wrote beside the type, as Base64."""
    import pyarrow as pa

    return base64.b64encode(pa.schema([field]).serialize().to_pybytes()).decode()


def field_of(form: str) -> Any:
    """Return the field of a form."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(form))).field(0)


def _values_form(index: Any) -> dict[str, Any]:
    """The categories of a column as JSON."""
    if type(index.dtype).__name__ == "IntervalDtype":
        return {"closed": index.closed, "left": _values_form(index.left), "right": _values_form(index.right)}
    codec = codec_of(index.dtype, index)
    values = codec.encode(index)
    if values.dtype.kind == "M":
        values = values.view(np.int64)
    listed = [repr(v) if isinstance(v, float) and not np.isfinite(v) else v for v in values.tolist()]
    form = {"dtype": dtype_form(index.dtype), "values": listed}
    return {**form, "holds": codec.holds} if isinstance(codec, ObjectCodec) else form


def _values(form: dict[str, Any]) -> Any:
    import pandas as pd

    if "closed" in form:
        return pd.IntervalIndex.from_arrays(_values(form["left"]), _values(form["right"]), closed=form["closed"])
    dtype = dtype_of(form["dtype"])
    given = form["values"]
    codec = codec_of(dtype, spec=InputSpec("", "string", "", holds=form.get("holds", "str")))
    if codec.type == "datetime":
        wire = np.array(given, dtype=np.int64).view("datetime64[ns]")
    elif codec.wire.kind == "O":
        wire = np.empty(len(given), dtype=object)
        wire[:] = given
    else:
        wire = np.array([float(value) if isinstance(value, str) else value for value in given], dtype=codec.wire)
    return pd.Index(codec.decode(wire), dtype=dtype)
