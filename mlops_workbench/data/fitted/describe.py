"""The schema of a model from the data that it was fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from mlops_workbench.core.model_schema import UNNAMED, Bound, Form, InputSpec, ModelSchema, TargetSpec
from mlops_workbench.core.records import Column
from mlops_workbench.data.conversion import label_form, labels_form
from mlops_workbench.data.fitted.codecs import CategoryCodec
from mlops_workbench.data.fitted.dtypes import dtype_form, field_form
from mlops_workbench.data.fitted.inputs import codec_of_part, fields_of, parts_of
from mlops_workbench.data.fitted.object_codec import ObjectCodec
from mlops_workbench.data.fitted.replaced import are_common
from mlops_workbench.data.fitted.wire import Codec
from mlops_workbench.data.tables.columns import is_frame, is_series
from mlops_workbench.data.tables.kinds import kind_of, name_of_kind

#: Largest number of texts that are listed.
_MOST_VALUES = 50


def describe_inputs(data: Any, columns: Sequence[Column], hides: Callable[[str, Any], bool]) -> ModelSchema:
    """Return the schema of a model that was fitted on `data`.

    Parameters
    ----------
    data : table, array, sparse matrix, Series or list of texts
        A sample of the training data, of the class that was passed to ``fit``.
    columns : sequence of Column
        Its columns, and whether all their values are present in the whole training data.
    hides : callable
        Returns for the name and the values of a column whether its values are not shown.

    Returns
    -------
    ModelSchema
        With a `problem` if an endpoint cannot restore such data.
    """
    form, container = form_of(data), name_of_kind(data)
    parts = parts_of(data, form)
    specs, problem = [], _twice([column.name for column in columns])
    codec: Codec | None = None
    for column, part, field in zip(columns, parts, fields_of(data, form), strict=True):
        try:
            # An array has one type.
            codec = codec if codec is not None and form in ("matrix", "sparse") else codec_of_part(part, field)
            restored = _restored(part, field) if form not in UNNAMED else {}
            specs.append(_spec(column, part, codec, restored, hidden=hides(column.name, part)))
        except (ValueError, OverflowError, TypeError) as error:
            problem = problem or f"column '{column.name}': {error}"
            specs.append(InputSpec(column.name, "string", str(getattr(part, "dtype", "object")), column.required))
    labels = {}
    try:
        labels = _labels(data, form)
    except TypeError as error:
        problem = problem or str(error)
    return ModelSchema(form, specs, container, labels, problem=problem)


def describe_target(y: Any) -> list[TargetSpec]:
    """Return names and types of targets; empty if there are none."""
    if y is None:
        return []
    if is_frame(y):
        return [TargetSpec(str(name), str(kind)) for name, kind in y.dtypes.items()]
    if is_series(y):
        return [TargetSpec("" if y.name is None else str(y.name), str(y.dtype))]
    array = np.asarray(y)
    width = array.shape[1] if array.ndim == 2 else 1
    return [TargetSpec("", str(array.dtype)) for _ in range(width)]


def form_of(data: Any) -> Form:
    """Return the form of training data."""
    kind = kind_of(data)
    if kind == "polars":
        return "polars" if hasattr(data, "get_columns") else "series"
    if kind == "frame":
        return "frame"
    if kind == "series":
        return "series"
    if kind == "arrow":
        return "arrow"
    if kind == "sparse":
        return "sparse"
    if kind == "records":
        return "list"
    return "vector" if data.ndim == 1 else "matrix"


def _restored(part: Any, field: Any) -> dict[str, Any]:
    return {"field": field_form(field)} if field is not None else dtype_form(part.dtype)


def _spec(column: Column, part: Any, codec: Codec, restored: dict[str, Any], *, hidden: bool) -> InputSpec:
    values = codec.encode(part)
    kind = getattr(part, "dtype", None)
    kind = kind if kind is not None else part.type
    spec = InputSpec(
        name=column.name,
        type=codec.type,
        dtype=str(kind),
        required=column.required,
        holds=codec.holds if isinstance(codec, ObjectCodec) else "",
        missing=codec.missing if isinstance(codec, ObjectCodec) else "",
        restored=restored,
        zone=str(getattr(kind, "tz", None) or getattr(getattr(kind, "pyarrow_dtype", None), "tz", None) or ""),
        categories=codec.labels if isinstance(codec, CategoryCodec) else None,
        ordered=bool(getattr(kind, "ordered", False)),
    )
    if hidden and spec.categories is not None and not are_common(values.tolist(), spec.categories):
        raise ValueError(
            "it holds secrets or personal data as categories, which would be kept with the model; convert it to text"
        )
    if hidden:
        return spec
    low, high = _range(values, codec.type)
    texts = _texts(values) if codec.type == "string" and spec.categories is None else []
    return msgspec.structs.replace(spec, low=low, high=high, values=texts)


def _range(values: np.ndarray[Any, Any], kind: str) -> tuple[Bound | None, Bound | None]:
    if kind in ("string", "boolean"):
        return None, None
    if kind == "datetime":
        present = values[~np.isnat(values)]
        if not len(present):
            return None, None
        return str(present.min()), str(present.max())
    numbers = np.array([v for v in values.tolist() if v is not None]) if values.dtype == object else values
    present = numbers[np.isfinite(numbers)]
    return (present.min().item(), present.max().item()) if len(present) else (None, None)


def _texts(values: np.ndarray[Any, Any]) -> list[str]:
    found = {value for value in values.tolist() if value is not None}
    return sorted(found) if len(found) <= _MOST_VALUES else []


def _labels(data: Any, form: Form) -> dict[str, Any]:
    if form == "series":
        return {"name": label_form(data.name)}
    if form != "frame" or (all(type(name) is str for name in data.columns) and data.columns.nlevels == 1):
        return {}
    return labels_form(data.columns)


def _twice(names: list[str]) -> str:
    known: set[str] = set()
    for name in names:
        if name in known:
            return f"two columns are called '{name}'; a request cannot tell them apart, so rename one before fit"
        known.add(name)
    return ""
