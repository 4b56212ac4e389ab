"""Tables of any kind as tensors of the Open Inference Protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.data.fitted.describe import form_of
from mlops_workbench.data.fitted.inputs import codec_of_part, fields_of, parts_of
from mlops_workbench.data.tables.columns import column_names
from mlops_workbench.data.tables.kinds import kind_of

_DATATYPES = {"b": "BOOL", "f": "FP64", "O": "BYTES", "M": "BYTES"}
_MATRIX = "input"


def tensors(data: Any) -> list[dict[str, Any]]:
    """Return the input tensors of a table: one per column, or one for an array; missing values are null.

    Raises
    ------
    InvalidInput
        The data is no table, or has values that cannot be sent.
    """
    data = _readable(data)
    form = form_of(data)
    if form in ("matrix", "sparse"):
        whole = data.toarray() if form == "sparse" else data
        # Objects may be of another class in each column.
        if whole.dtype != object:
            return [_tensor(_MATRIX, whole.ravel(), list(whole.shape))]
    names = _names(data, form)
    parts = zip(names, parts_of(data, form), [*fields_of(data, form), *[None] * len(names)], strict=False)
    return [_tensor(name, part, [len(part)], field) for name, part, field in parts]


def _readable(data: Any) -> Any:
    kind = kind_of(data)
    if kind == "records":
        first = data[0]
        if isinstance(first, str):
            return list(data)
        if isinstance(first, dict):
            return pd.DataFrame(list(data))
        data = np.asarray(data)
        kind = "array"
    if kind == "lazy":
        return data.collect()
    if kind not in ("frame", "series", "array", "sparse", "arrow", "polars") or len(getattr(data, "shape", ())) > 2:
        shape = f" of shape {data.shape}" if kind == "array" else ""
        raise InvalidInput(
            f"data must be a table, not {type(data).__name__}{shape}",
            hint="pass a DataFrame, an array of shape (rows, columns), or a list of texts",
        )
    return data


def _names(data: Any, form: str) -> list[str]:
    if form in ("polars", "arrow"):
        return list(data.columns if form == "polars" else data.column_names)
    if form == "list":
        return ["x0"]
    if form == "series" and not isinstance(data, pd.Series):
        return [data.name or "x0"]
    return column_names(data)


def _tensor(name: str, part: Any, shape: list[int], field: Any = None) -> dict[str, Any]:
    try:
        codec = codec_of_part(part, field)
        values = codec.encode(part)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"column '{name}' cannot be sent: {error}", hint="convert it, or leave it out if the model does not use it"
        ) from error
    if values.dtype.kind == "O" and codec.type != "string":
        # Booleans, or large integers, of which some are missing.
        datatype = "BOOL" if codec.type == "boolean" else "INT64"
        return {"name": name, "datatype": datatype, "shape": shape, "data": values.tolist()}
    if values.dtype.kind == "f" and np.isinf(values).any():
        row = int(np.isinf(values).argmax()) // (shape[1] if len(shape) == 2 else 1)
        raise InvalidInput(f"column '{name}', row {row}: JSON has no infinity", hint="replace it by a number or NaN")
    datatype = _DATATYPES.get(values.dtype.kind) or ("UINT64" if values.dtype.kind == "u" else "INT64")
    return {"name": name, "datatype": datatype, "shape": shape, "data": _listed(values)}


def _listed(values: np.ndarray[Any, Any]) -> list[Any]:
    if values.dtype.kind == "M":
        texts = np.datetime_as_string(values, timezone="naive").tolist()
        return [None if text == "NaT" else str(text) for text in texts]
    if values.dtype.kind == "f":
        # Narrow numbers are written with the digits of a wide one.
        return [None if value != value else value for value in values.astype(np.float64).tolist()]
    return list(values.tolist())
