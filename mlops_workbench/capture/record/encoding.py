"""Encoding of records without loss, for any values of a user's program."""

from __future__ import annotations

from typing import Any

import msgspec

from mlops_workbench.capture.record.values import text
from mlops_workbench.core.records import Column, Record, big_int

#: Returns the payload of a record's frame; raises one of `UNSTORABLE` for rare values, which `encode` handles.
encode_quickly = msgspec.msgpack.Encoder().encode
UNSTORABLE = (TypeError, ValueError, OverflowError, RecursionError)


def encode(record: Record) -> bytes:
    """Return the payload of a record's frame, for any values."""
    try:
        return encode_quickly(record)
    except UNSTORABLE:
        # An int beyond 64 bits or a lone surrogate.
        return encode_quickly([_storable(getattr(record, name)) for name in record.__struct_fields__])


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if type(value) is int and not -(1 << 63) <= value < 1 << 64:
        return big_int(value)
    if isinstance(value, dict):
        return {text(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value]
    if isinstance(value, Column):
        return Column(text(value.name), value.dtype, value.required)
    return value
