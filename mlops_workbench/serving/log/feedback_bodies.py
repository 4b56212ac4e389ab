"""Bodies of feedback requests: a JSON object, or a table as CSV or Parquet with the same names as columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_workbench.core.errors import did_you_mean
from mlops_workbench.serving.errors import InvalidRequest, UnknownRows, UnsupportedMedia
from mlops_workbench.serving.log.asked import AskedRows
from mlops_workbench.serving.log.feedback import FIELDS, LabelKind, Outcomes, parse_feedback
from mlops_workbench.serving.log.request_index import UNKNOWN

#: Unknown rows that a message names.
_SHOWN = 5
#: Content types of a table, as far as one is told from another.
_CSV = ("text/csv", "application/csv")
_PARQUET = ("application/vnd.apache.parquet", "application/x-parquet", "application/parquet")
#: Largest size of a Parquet file's values in memory, as a multiple of the largest body.
_INFLATED = 8
_BOOLEANS = {"true": True, "false": False, "True": True, "False": False, "1": True, "0": False}


def parse_body(
    body: bytes,
    content_type: str,
    *,
    labels_are: LabelKind,
    parse_json: Callable[[bytes], Mapping[str, Any]],
    most: int,
) -> Outcomes:
    """Outcomes of a request's body.

    Parameters
    ----------
    body : bytes
        The body.
    content_type : str
        Header; a body without one, or with any other that is not of a table, is JSON.
    labels_are : str
        What the model predicts.
    parse_json : callable
        Parses a JSON object.
    most : int
        Largest size of a body in bytes; a table may be larger in memory, up to a factor.

    Raises
    ------
    InvalidRequest
        The message has the column, the row, the expected and the given value.
    UnsupportedMedia
        The content type is not one of these.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _PARQUET:
        return _of_columns(_parquet(body, most), labels_are)
    if kind in _CSV:
        return _of_columns(_csv(body, labels_are), labels_are)
    if kind.startswith(("text/", "multipart/")) and kind != "text/plain":
        raise UnsupportedMedia(f"feedback is application/json, {_CSV[0]} or {_PARQUET[0]}, got '{kind[:60]}'")
    return parse_feedback(parse_json(body), labels_are=labels_are)


def with_events(outcomes: Outcomes, asked: AskedRows) -> Outcomes:
    """Outcomes with the event times of their rows.

    Raises
    ------
    UnknownRows
        Rows are not in the log; the message has the first ones, how many, and why that may be.
    """
    events = asked.find(outcomes.request_ids, outcomes.rows)
    unknown = np.flatnonzero(events == UNKNOWN).tolist()
    if not unknown:
        return replace(outcomes, events=events.tolist())
    shown = ", ".join(f"'{outcomes.request_ids[at][:80]}' row {outcomes.rows[at]}" for at in unknown[:_SHOWN])
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    problem = (
        f"{len(unknown)} of {len(events)} rows are not in the prediction log of this endpoint, so nothing is stored:"
        f" {shown}{more}"
    )
    if day := asked.removed_until:
        problem += f"; answers of {day} and before were removed ([retention] predictions_days)"
    raise UnknownRows(problem, hint="send the id and the row number of answers of this endpoint")


def _of_columns(columns: dict[str, list[Any]], labels_are: LabelKind) -> Outcomes:
    for name in columns:
        if name not in FIELDS:
            raise InvalidRequest(f"unknown column '{name[:60]}'; {did_you_mean(name[:60], FIELDS)}")
    for name in ("request_id", "label"):
        if name not in columns:
            raise InvalidRequest(f"column '{name}' is missing")
    if not columns["label"]:
        raise InvalidRequest("the table has no rows")
    if "row" not in columns:
        # Each line is a row of its own here: an order within a request would be a guess.
        columns["row"] = [0] * len(columns["label"])
    return parse_feedback(columns, labels_are=labels_are)


def _csv(body: bytes, labels_are: LabelKind) -> dict[str, list[Any]]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest(f"the body is not CSV in UTF-8: {error}") from None
    lines = [line for line in lines if line]
    if not lines:
        raise InvalidRequest("the body is empty; its first line must have the names of the columns")
    header, rows = [name.strip() for name in lines[0]], lines[1:]
    if len(set(header)) < len(header):
        raise InvalidRequest("the first line has a name twice")
    for at, row in enumerate(rows):
        if len(row) != len(header):
            raise InvalidRequest(f"row {at}: {len(row)} values, but the first line has {len(header)} names")
    converters: dict[str, Callable[[str], Any]] = {"row": _integer, "label": _LABELS[labels_are]}
    columns: dict[str, list[Any]] = {}
    for place, name in enumerate(header):
        convert = converters.get(name, str)
        columns[name] = [convert(row[place]) for row in rows]
    if not any(columns.get("observed_at", ())):
        columns.pop("observed_at", None)
    return columns


def _integer(text: str) -> Any:
    # What is none stays text, and fails the check of the values.
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else text


def _number(text: str) -> Any:
    try:
        return text if "_" in text else float(text)
    except ValueError:
        return text


_LABELS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "number": _number,
    "boolean": lambda text: _BOOLEANS.get(text, text),
}


def _parquet(body: bytes, most: int) -> dict[str, list[Any]]:
    try:
        file = pq.ParquetFile(io.BytesIO(body))
        names = file.schema_arrow.names
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        if sum(group.total_byte_size for group in groups) > _INFLATED * most:
            raise InvalidRequest("the table is too large in memory; send it in parts")
        table = file.read(columns=[name for name in names if name in FIELDS], use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise InvalidRequest(f"the body is not a Parquet file: {str(error)[:200]}") from None
    unknown = [name for name in names if name not in FIELDS and not name.startswith("__index_level_")]
    if unknown:
        raise InvalidRequest(f"unknown column '{unknown[0][:60]}'; {did_you_mean(unknown[0][:60], FIELDS)}")
    return {name: _values(name, table[name]) for name in table.column_names}


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if name == "observed_at" and pa.types.is_timestamp(kind):
        utc = column.cast(pa.timestamp("us", tz="UTC"), safe=False)
        if utc.null_count:
            raise InvalidRequest(f"observed_at, position {_first_null(utc)}: expected a time, got null")
        return [moment.isoformat() for moment in utc.to_pylist()]
    if name == "label" and (pa.types.is_decimal(kind) or pa.types.is_floating(kind)):
        column = column.cast(pa.float64(), safe=False)
    return list(column.to_pylist())


def _first_null(column: pa.ChunkedArray) -> int:
    return int(pc.index(column.is_null(), True).as_py())
