"""CSV bodies of MLflow's scoring protocol."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from math import isfinite

from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.protocols.body import check_columns
from mlops_workbench.serving.rows.signature import InputColumn, Signature

# Texts that pandas, and so MLflow, reads as missing values in a CSV file.
_MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"}
    | {"NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def csv_columns(body: bytes, signature: Signature) -> Mapping[str, list[object]]:
    """Return the values of the model's columns, as JSON would have them.

    Parameters
    ----------
    body : bytes
        UTF-8, with or without a byte order mark; the first line names the columns.
    signature : Signature
        Inputs of the model; other columns are left out.

    Raises
    ------
    InvalidRequest
        Not CSV, ragged, or a column is missing or there twice.
    """
    lines = csv_lines(body)
    if not lines:
        raise InvalidRequest("the body is empty; the first line must name the columns")
    return line_columns(lines[0], lines[1:], signature)


def csv_lines(body: bytes) -> list[list[str]]:
    """Return the values of each line that is not empty, the first of which names the columns.

    Raises
    ------
    InvalidRequest
        Not UTF-8, or not CSV.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not valid UTF-8: {error.reason} at byte {error.start}") from None
    try:
        return [line for line in csv.reader(io.StringIO(text), strict=True) if line]
    except csv.Error as error:
        raise InvalidRequest(f"the body is not valid CSV: {error}") from None


def line_columns(names: Sequence[str], rows: Sequence[Sequence[str]], signature: Signature) -> dict[str, list[object]]:
    """Return the values of the model's columns in lines, as JSON would have them.

    Raises
    ------
    InvalidRequest
        A line is ragged, or a column is missing or there twice.
    """
    check_columns(len(names))
    header = [signature.own_name(name) for name in names]
    for row, line in enumerate(rows):
        if len(line) != len(header):
            raise InvalidRequest(f"CSV row {row}: expected {len(header)} values as in the header, got {len(line)}")
    signature.check_complete(dict.fromkeys(header).keys())
    columns: dict[str, list[object]] = {}
    for position, name in enumerate(header):
        if name in columns:
            raise InvalidRequest(f"the CSV header names column '{name[:200]}' twice")
        if name in signature.by_name:
            column = signature.by_name[name]
            columns[name] = [_value(column, line[position]) for line in rows]
    return columns


def _value(column: InputColumn, text: str) -> object:
    # Text that is not a value of the type stays text, and fails the check of the column's values.
    if text in _MISSING:
        return None
    if column.type == "boolean":
        return _BOOLEANS.get(text, text)
    if column.type in ("string", "datetime") or "_" in text:
        return text
    if column.type in ("integer", "long") and len(text) < 30:
        try:
            return int(text)
        except ValueError:
            pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if isfinite(number) else text
