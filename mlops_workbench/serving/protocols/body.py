"""Strict parsing of JSON bodies, and what a request may hold at most."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite, prod
from typing import Any, NamedTuple

import orjson

from mlops_workbench.core.errors import UNREADABLE
from mlops_workbench.serving.errors import InvalidRequest

JSON = "application/json"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: Columns of one request, and characters of a column's name.
MOST_COLUMNS, LONGEST_NAME = 100_000, 4096


class Encoded(NamedTuple):
    """Body of an answer, its content type, and headers that say how to read it."""

    body: bytes
    media_type: str = JSON
    headers: Mapping[str, str] = {}


def parse_json(body: bytes, *, nan: bool = False) -> Any:
    """Parse a JSON body.

    Parameters
    ----------
    body : bytes
        UTF-8, with or without a byte order mark.
    nan : bool
        Whether a bare ``NaN``, which is not JSON but is written by Python's encoder, means null.

    Raises
    ------
    InvalidRequest
        Not JSON, or too deep.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not (nan and b"NaN" in body):
            raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    try:
        parsed = json.loads(body, parse_constant=_constant, parse_float=_finite)
        # Rejects what only the lenient parser accepts: lone surrogates and integers of more than 64 bits.
        orjson.dumps(parsed)
    except (*UNREADABLE, TypeError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {str(error)[:200]}") from None
    return parsed


def parse_object(body: bytes, *, nan: bool = False) -> dict[str, Any]:
    """Parse a JSON body that must be an object.

    Raises
    ------
    InvalidRequest
        The body is not a JSON object.
    """
    parsed = parse_json(body, nan=nan)
    if not isinstance(parsed, dict):
        kind = "a list" if isinstance(parsed, list) else f"a {type(parsed).__name__}"
        raise InvalidRequest(f"the body must be a JSON object, received {kind}")
    return parsed


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is not a valid number")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def check_columns(count: int) -> None:
    """Raise `InvalidRequest` if a request has too many columns."""
    if count > MOST_COLUMNS:
        raise InvalidRequest(f"the request has {count} columns; at most {MOST_COLUMNS} are taken")


def check_name(name: str) -> None:
    """Raise `InvalidRequest` if the name of a column is too long."""
    if len(name) > LONGEST_NAME:
        raise InvalidRequest(
            f"the name of a column has {len(name)} characters; at most {LONGEST_NAME} are taken: '{name[:40]}...'"
        )


def flatten(data: object, shape: Sequence[int], name: str) -> list[Any]:
    """Values in row-major order, from nested or flat JSON arrays.

    Raises
    ------
    InvalidRequest
        The arrays are ragged, or their sizes are not those of `shape`.
    """
    if not isinstance(data, list):
        raise InvalidRequest(f"input '{name}': data must be an array, got {type(data).__name__}")
    size = prod(shape)
    if len(shape) == 1 or not data or not isinstance(data[0], list):
        if len(data) != size:
            raise InvalidRequest(f"input '{name}': shape {list(shape)} means {size} values, got {len(data)}")
        return data
    if len(data) != shape[0]:
        raise InvalidRequest(f"input '{name}': shape {list(shape)} means {shape[0]} rows, got {len(data)}")
    for row, part in enumerate(data):
        if not isinstance(part, list) or len(part) != shape[1]:
            got = f"{len(part)} values" if isinstance(part, list) else "a single value"
            raise InvalidRequest(f"input '{name}', row {row}: shape {list(shape)} means {shape[1]} values, got {got}")
    return list(chain.from_iterable(data))
