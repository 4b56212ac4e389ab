"""MLflow's scoring protocol: from bodies of ``/invocations`` to batches, and from predictions to bodies.

The protocol of MLflow 3.17, with four differences for safety: a missing prediction is ``null`` and not the bare
``NaN``, which is not JSON; values are not converted silently (a fraction to an integer, text to a number, a number to
a date); a failure of the model is a 500 without a stack trace; and an additional ``input`` or ``messages`` key does
not change how the rest is parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from mlops_workbench.serving.errors import InvalidRequest, UnsupportedMedia
from mlops_workbench.serving.protocols.body import JSON, check_columns, parse_object
from mlops_workbench.serving.protocols.delimited import csv_columns
from mlops_workbench.serving.protocols.parquet import PARQUET, parquet_columns
from mlops_workbench.serving.rows.answer_table import AnswerTable
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import Signature
from mlops_workbench.serving.rows.values import Array

CSV = "text/csv"
#: Size in bytes of what a compressed body may hold, by default.
LARGEST = 64 << 20
_TYPES = (JSON, CSV, PARQUET)
_SPLIT = frozenset({"columns", "index", "data"})
#: Types of the names of columns in JSON.
_NAMES = frozenset({str, int, float, bool})
_FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")

#: ``error_code`` of MLflow by HTTP status.
ERROR_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "BAD_REQUEST",
    503: "TEMPORARILY_UNAVAILABLE",
}


@dataclass(frozen=True)
class Invocation:
    """A parsed request: typed rows, and the parameter ``event_time`` (empty without one)."""

    batch: Batch
    event_time: str = ""


def parse_invocation(body: bytes, content_type: str | None, signature: Signature, most: int = LARGEST) -> Invocation:
    """Parse the body of ``POST /invocations``.

    Parameters
    ----------
    body : bytes
        The body.
    content_type : str or None
        The header of that name.
    signature : Signature
        Inputs of the model.
    most : int
        Largest size in bytes of what a compressed body holds.

    Raises
    ------
    UnsupportedMedia
        A content type other than JSON or CSV in UTF-8, or Parquet.
    BodyTooLarge
        Too many rows, or more than `most` bytes.
    InvalidRequest
        The message has the column, the expected and the given value.
    """
    kind = _media_type(content_type)
    if kind == CSV:
        return Invocation(Batch.of_values(signature, csv_columns(body, signature)))
    if kind == PARQUET:
        return Invocation(Batch.of_columns(signature, parquet_columns(body, signature, most)))
    document = parse_object(body, nan=True)
    given = [name for name in _FORMATS if name in document]
    if len(given) != 1:
        fields = ", ".join(str(name)[:60] for name in list(document)[:8]) or "none"
        raise InvalidRequest(
            f"the body must have exactly one of the fields {', '.join(_FORMATS)}; received fields: {fields}"
        )
    # A model takes those of its signature; others are ignored, as by MLflow.
    params = document.get("params")
    event_time = params.get("event_time", "") if isinstance(params, dict) else ""
    if not isinstance(event_time, str):
        raise InvalidRequest("params.event_time must be a time as ISO 8601 text")
    parse = {"dataframe_split": _split, "dataframe_records": _records, "instances": _tensors, "inputs": _tensors}
    batch = parse[given[0]](document[given[0]], signature)
    if isinstance(params, dict):
        batch.params = params
    return Invocation(batch, event_time)


def predictions_body(values: Array, table: AnswerTable | None = None) -> bytes:
    """``{"predictions": ...}``: one value, or one list of values, per row, or as `table` says; NaN becomes null."""
    if table is not None:
        return orjson.dumps({"predictions": table.plain(values)}, default=str)
    plain = values.dtype.kind in "biuf"
    return orjson.dumps(
        {"predictions": np.ascontiguousarray(values) if plain else values.tolist()},
        option=orjson.OPT_SERIALIZE_NUMPY,
        default=str,
    )


def error_body(status: int, message: str) -> bytes:
    """``{"error_code": ..., "message": ...}``."""
    code = ERROR_CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
    return orjson.dumps({"error_code": code, "message": message})


def _media_type(content_type: str | None) -> str:
    if not content_type:
        raise UnsupportedMedia(f"a Content-Type header is needed: {', '.join(_TYPES)}")
    kind, *pairs = [part.strip() for part in content_type.split(";")]
    for key, _, value in (pair.partition("=") for pair in pairs if pair):
        if key.strip().lower() != "charset":
            raise UnsupportedMedia(f"unrecognized content type parameter: {key[:60]}")
        if value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            raise UnsupportedMedia("the scoring server only supports UTF-8")
    if kind.lower() not in _TYPES:
        raise UnsupportedMedia(f"this endpoint supports the content types {', '.join(_TYPES)}; got '{kind[:60]}'")
    return kind.lower()


def _split(data: object, signature: Signature) -> Batch:
    if not isinstance(data, dict):
        raise InvalidRequest(f"dataframe_split must be an object, got {type(data).__name__}")
    if "data" not in data or not data.keys() <= _SPLIT:
        raise InvalidRequest(
            "dataframe_split must have 'data', and may have 'columns' and 'index'; got "
            + (", ".join(repr(key[:60]) for key in sorted(data)) or "nothing")
        )
    rows = _rows(data["data"], "dataframe_split.data")
    width = len(rows[0]) if rows else 0
    names = data.get("columns")
    if names is None:
        names = list(range(width))
    if not isinstance(names, list) or not {*map(type, names)} <= _NAMES:
        raise InvalidRequest("dataframe_split.columns must be an array of names")
    if rows and len(names) != width:
        raise InvalidRequest(f"dataframe_split has {len(names)} columns, but row 0 has {width} values")
    texts = names if tuple(names) == signature.names else [signature.own_name(str(name)) for name in names]
    if len(set(texts)) < len(texts):
        twice = next(name for at, name in enumerate(texts) if name in texts[:at])
        raise InvalidRequest(f"dataframe_split names column '{twice[:200]}' twice")
    if tuple(texts) == signature.names:
        return Batch.of_rows(signature, [value for row in rows for value in row], (len(rows), width))
    check_columns(width)
    signature.check_complete(dict.fromkeys(texts).keys())
    return Batch.of_values(signature, dict(zip(texts, _transpose(rows, width), strict=True)))


def _records(data: object, signature: Signature) -> Batch:
    if not isinstance(data, list):
        raise InvalidRequest(f"dataframe_records must be an array of records, got {type(data).__name__}")
    for row, record in enumerate(data):
        if not isinstance(record, dict):
            raise InvalidRequest(f"dataframe_records, row {row}: expected an object, got {type(record).__name__}")
    records = [{signature.own_name(name): value for name, value in record.items()} for record in data]
    present: dict[str, None] = {}
    for record in records:
        present.update(dict.fromkeys(record))
    if data:
        check_columns(len(present))
        signature.check_complete(present.keys())
    # A key that a record lacks is a missing value, as in pandas.
    columns = {name: [record.get(name) for record in records] for name in present if name in signature.by_name}
    return Batch.of_values(signature, columns or {column.name: [] for column in signature.columns})


def _tensors(data: object, signature: Signature) -> Batch:
    if isinstance(data, dict):
        data = {signature.own_name(name): value for name, value in data.items()}
        if data and not any(isinstance(value, list) for value in data.values()):
            return Batch.of_values(signature, {name: [value] for name, value in data.items()})
        for name, values in data.items():
            if name in signature.by_name and not isinstance(values, list):
                raise InvalidRequest(f"column '{name[:200]}': expected an array of values")
        return Batch.of_values(signature, {name: values for name, values in data.items() if isinstance(values, list)})
    if not isinstance(data, list):
        raise InvalidRequest(f"expected an array or an object of columns, got {type(data).__name__}")
    if data and isinstance(data[0], dict):
        return _records(data, signature)
    if len(signature.columns) == 1 and not (data and isinstance(data[0], list)):
        return Batch.of_values(signature, {signature.columns[0].name: data})
    rows = _rows(data, "row")
    width = len(rows[0]) if rows else 0
    if signature.form == "table" and len(signature.columns) > 1:
        raise InvalidRequest(
            "the model takes named columns, so an array without names cannot be matched to them;"
            " use dataframe_split or dataframe_records"
        )
    return Batch.of_rows(signature, [value for row in rows for value in row], (len(rows), width))


def _rows(data: object, what: str) -> list[list[Any]]:
    if not isinstance(data, list):
        raise InvalidRequest(f"{what} must be an array of rows, got {type(data).__name__}")
    for row, values in enumerate(data):
        if not isinstance(values, list):
            raise InvalidRequest(f"{what} {row}: expected an array of values, got {type(values).__name__}")
        if len(values) != len(data[0]):
            raise InvalidRequest(f"{what} {row}: expected {len(data[0])} values as in row 0, got {len(values)}")
    return data


def _transpose(rows: Sequence[Sequence[Any]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [() for _ in range(width)]
