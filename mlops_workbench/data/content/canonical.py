"""Canonical bytes of Python objects: equal exactly for equal objects of the same type."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from mlops_workbench.data.content.floats import one_nan

_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
#: The bits of one that was computed are not always the same.
_NAN = float("nan")
#: Number of objects encoded together; a part of the format, so it must not change.
_CHUNK = 65_536
_encode = msgspec.msgpack.Encoder().encode
#: Deepest nesting of a value that is not opaque.
_DEEPEST = 40


class Opaque(Exception):
    """An object whose content cannot be read."""


def encoded(values: list[Any]) -> Iterator[bytes]:
    """Yield the bytes of a list of objects in pieces.

    Text, numbers, dates, and lists, dicts, sets and arrays of them are distinguished by type and value: ``1``,
    ``1.0``, ``True`` and ``"1"`` differ, and so do ``None`` and NaN.

    Raises
    ------
    Opaque
        The list contains an object of another kind.
    """
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        try:
            kinds = set(map(type, part))
            if kinds <= _PLAIN:
                yield _encode([value if value == value else _NAN for value in part] if float in kinds else part)
                continue
        except (OverflowError, UnicodeEncodeError):
            # An int beyond 64 bits, or a lone surrogate: encode each value in its canonical form.
            pass
        yield _encode([_form(value, 0) for value in part])


def encode_one(value: Any) -> bytes:
    """Return the bytes of an object; those of its type alone when it is opaque."""
    try:
        return b"".join(encoded([value]))
    except Opaque:
        return _encode(["opaque", _type_name(value)])


def _form(value: Any, depth: int) -> Any:
    """Return a value that msgpack encodes: a plain value, or a list that begins with the type."""
    kind = type(value)
    if kind in _PLAIN:
        return _plain(value)
    if depth > _DEEPEST:
        raise Opaque
    if kind in (list, tuple):
        return [kind.__name__, [_form(item, depth + 1) for item in value]]
    if kind is dict:
        pairs = [(_form(key, depth + 1), _form(item, depth + 1)) for key, item in value.items()]
        # Equal dicts may have another order.
        return ["dict", sorted(pairs, key=lambda pair: _encode(pair[0]))]
    if kind in (set, frozenset):
        return [kind.__name__, sorted((_form(item, depth + 1) for item in value), key=_encode)]
    text = _as_text(value)
    if text is not None:
        return [_type_name(value), text]
    return _of_arrays(value, depth)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() or _is_unicode(value) else ["str", value.encode("utf-8", "surrogatepass")]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return ["int", hex(value)]
    return value if value == value else _NAN


def _as_text(value: Any) -> Any:
    """Return text or values that determine a value completely, None for unknown types."""
    if isinstance(value, datetime.datetime):
        # `isoformat` of a pandas Timestamp includes nanoseconds.
        return [value.isoformat(), str(value.tzinfo), value.fold]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return getattr(value, "isoformat", value.__repr__)()
    if isinstance(value, decimal.Decimal | fractions.Fraction | uuid.UUID | complex | range):
        return repr(value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str):
        return _plain(str(value))
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if _is_of_pandas(value) and type(value).__name__ in ("NAType", "NaTType", "Period"):
        return f"{value!r}"
    return None


def _of_arrays(value: Any, depth: int) -> Any:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        raise Opaque
    if isinstance(value, numpy.generic) and value.dtype.kind != "O":
        return [_type_name(value), _bytes(numpy.atleast_1d(value))]
    if isinstance(value, numpy.ndarray):
        if value.dtype.kind == "O":
            return ["ndarray", value.shape, [_form(item, depth + 1) for item in value.ravel().tolist()]]
        return ["ndarray", value.shape, value.dtype.str, _bytes(value)]
    if _is_of_pandas(value) and type(value).__name__ == "Interval":
        return ["Interval", value.closed, _form(value.left, depth + 1), _form(value.right, depth + 1)]
    raise Opaque


def _bytes(array: Any) -> bytes:
    numpy: Any = sys.modules["numpy"]
    with numpy.errstate(invalid="ignore"):
        return bytes(one_nan(numpy.ascontiguousarray(array)).tobytes())


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _is_of_pandas(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas"
