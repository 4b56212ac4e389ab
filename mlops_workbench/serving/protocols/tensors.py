"""Input tensors of the Open Inference Protocol, from JSON or raw bytes."""

from __future__ import annotations

from collections.abc import Set
from math import prod
from typing import Any

import msgspec

from mlops_workbench.core.errors import did_you_mean
from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.protocols.binary import LENGTH_HEADER, read_values
from mlops_workbench.serving.protocols.body import LONGEST_NAME, check_columns, check_name, flatten
from mlops_workbench.serving.protocols.datatypes import DATATYPES, FLOATS, INTEGERS
from mlops_workbench.serving.rows.values import EXACT

#: Types of the JSON values of each datatype.
_KINDS: dict[str, frozenset[type]] = {
    "BOOL": frozenset({bool, type(None)}),
    "BYTES": frozenset({str, type(None)}),
    **dict.fromkeys(INTEGERS, frozenset({int, type(None)})),
    **dict.fromkeys(FLOATS, frozenset({int, float, type(None)})),
}


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """A tensor.

    Attributes
    ----------
    name, datatype, shape
        As the request has them.
    values : list or ndarray
        Values in row-major order: JSON values, texts, or an array of numbers or booleans.
    kinds : set of type or None
        Types of JSON values and of texts; None for an array.
    """

    name: str
    datatype: str
    shape: list[int]
    values: Any
    kinds: Set[type] | None


def read_tensors(raw: object, binary: memoryview | None) -> dict[str, Tensor]:
    """Parse the inputs of a request.

    Parameters
    ----------
    raw : object
        The JSON of ``inputs``.
    binary : memoryview or None
        What follows the JSON; None if the request has only JSON.

    Raises
    ------
    InvalidRequest
        The message has the tensor, the expected and the given value.
    """
    if not isinstance(raw, list) or not raw:
        raise InvalidRequest("inputs must be an array of at least one tensor")
    check_columns(len(raw))
    tensors: dict[str, Tensor] = {}
    at = 0
    for position, one in enumerate(raw):
        name = one.get("name") if type(one) is dict else None
        if type(name) is not str:
            raise InvalidRequest(f"inputs[{position}] must be an object with a name, shape, datatype and data")
        if len(name) > LONGEST_NAME:
            check_name(name)
        if name in tensors:
            raise InvalidRequest(f"input '{name[:200]}' is given twice")
        datatype, shape = one.get("datatype"), one.get("shape")
        size = _size(name, datatype, shape)
        parameters = one.get("parameters")
        length = None
        if parameters is not None:
            if type(parameters) is not dict:
                raise InvalidRequest(f"input '{name[:200]}': parameters must be an object")
            length = parameters.get("binary_data_size")
        if length is None:
            tensors[name] = _json_tensor(one, name, datatype, shape, size)
            continue
        data = _raw(one, name, length, at, binary)
        at += length
        values = read_values(data, datatype, size, name[:200])
        tensors[name] = Tensor(name, datatype, shape, values, {str} if datatype == "BYTES" else None)
    if binary is not None and at != len(binary):
        raise InvalidRequest(
            f"{len(binary)} bytes follow the JSON, but the binary_data_size of the inputs sum up to {at} bytes"
        )
    return tensors


def _size(name: str, datatype: object, shape: object) -> int:
    if type(datatype) is not str:
        raise InvalidRequest(f"input '{name[:200]}': datatype is missing")
    if datatype in DATATYPES and type(shape) is list and len(shape) == 1 and type(shape[0]) is int and shape[0] >= 0:
        return shape[0]
    name = name[:200]
    if datatype not in DATATYPES:
        known = did_you_mean(datatype[:40], DATATYPES)
        raise InvalidRequest(f"input '{name}': unknown datatype '{datatype[:40]}'; {known}")
    if type(shape) is not list or any(type(size) is not int or size < 0 for size in shape):
        raise InvalidRequest(f"input '{name}': shape must be an array of sizes")
    if len(shape) not in (1, 2):
        raise InvalidRequest(f"input '{name}': expected shape [rows] or [rows, columns], got {str(shape)[:60]}")
    return prod(shape)


def _json_tensor(raw: dict[str, Any], name: str, datatype: Any, shape: Any, size: int) -> Tensor:
    data = raw.get("data")
    if type(data) is list and len(data) == size and size and type(data[0]) is not list:
        values = data
    else:
        if datatype == "FP16":
            raise _no_json(name)
        if "data" not in raw:
            raise InvalidRequest(f"input '{name[:200]}': data is missing")
        values = flatten(data, shape, name[:200])
    kinds: Set[type] = set(map(type, values))
    allowed = _KINDS[datatype]
    if datatype in INTEGERS:
        if float in kinds:
            values, kinds = _whole(values, datatype, name)
        _check_kinds(values, kinds, allowed, datatype, name)
        _check_range(values, kinds, datatype, name)
    else:
        if datatype == "FP16":
            raise _no_json(name)
        _check_kinds(values, kinds, allowed, datatype, name)
    return Tensor(name, datatype, shape, values, kinds)


def _no_json(name: str) -> InvalidRequest:
    return InvalidRequest(f"input '{name[:200]}': FP16 cannot be given as JSON; send FP32, or FP16 as binary data")


def _check_kinds(values: list[Any], kinds: Set[type], allowed: Set[type], datatype: str, name: str) -> None:
    if not kinds <= allowed:
        at = next(at for at, value in enumerate(values) if type(value) not in allowed)
        given = _json_type(values[at])
        raise InvalidRequest(f"input '{name[:200]}': element {at} is {given}, which is not {datatype}")


def _whole(values: list[Any], datatype: str, name: str) -> tuple[list[Any], set[type]]:
    """Integers written with a fraction of zero as integers, as JSON Schema has it."""
    found = list(values)
    for at, value in enumerate(values):
        if type(value) is float:
            if not value.is_integer():
                raise InvalidRequest(f"input '{name[:200]}': element {at} is {value}, which is not {datatype}")
            if abs(value) > EXACT:
                raise InvalidRequest(
                    f"input '{name[:200]}': element {at} is {value}, which is not exact beyond 2^53; write an integer"
                    " without a fraction or exponent"
                )
            found[at] = int(value)
    return found, set(map(type, found))


def _check_range(values: list[Any], kinds: Set[type], datatype: str, name: str) -> None:
    low, high = INTEGERS[datatype]
    given = values if type(None) not in kinds else [value for value in values if value is not None]
    if given and not (low <= min(given) and max(given) <= high):
        at = next(at for at, value in enumerate(values) if value is not None and not low <= value <= high)
        raise InvalidRequest(f"input '{name[:200]}': element {at} is out of the range of {datatype}")


def _raw(one: dict[str, Any], name: str, length: object, at: int, binary: memoryview | None) -> memoryview:
    name = name[:200]
    if type(length) is not int or length < 0:
        raise InvalidRequest(f"input '{name}': binary_data_size must be a number of bytes")
    if one.get("data") is not None:
        raise InvalidRequest(f"input '{name}': a tensor has either data or binary_data_size")
    if binary is None:
        raise InvalidRequest(f"input '{name}': binary data needs the header {LENGTH_HEADER}")
    if at + length > len(binary):
        raise InvalidRequest(
            f"input '{name}': binary_data_size is {length}, but only {len(binary) - at} bytes are left of the body"
        )
    return binary[at : at + length]


def _json_type(value: object) -> str:
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a text",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")
