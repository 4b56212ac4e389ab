"""JSON bodies: parsed strictly, and never with a surprise from the parser."""

from __future__ import annotations

import json
from typing import Any

import orjson

from mlops_workbench.serving.errors import InvalidRequest


def parse_json(body: bytes, *, nan: bool = False) -> Any:
    """Parse a JSON body.

    Parameters
    ----------
    body : bytes
        UTF-8.
    nan : bool
        Whether a bare ``NaN``, which is no JSON but is what Python's encoder writes, means null.

    Raises
    ------
    InvalidRequest
        Not JSON, too deep, or a number too large for 64 bits where it would lose digits silently.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not (nan and b"NaN" in body):
            raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    try:
        parsed = json.loads(body, parse_constant=_constant)
        # Refuses what only the lenient parser lets through: lone surrogates and integers beyond 64 bits.
        orjson.dumps(parsed)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {str(error)[:200]}") from None
    return parsed


def parse_object(body: bytes, *, nan: bool = False) -> dict[str, Any]:
    """Parse a JSON body that must be an object.

    Raises
    ------
    InvalidRequest
        It is something else.
    """
    parsed = parse_json(body, nan=nan)
    if not isinstance(parsed, dict):
        kind = "a list" if isinstance(parsed, list) else f"a {type(parsed).__name__}"
        raise InvalidRequest(f"the body must be a JSON object, received {kind}")
    return parsed


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is not a number that a model can use")
