"""Conversion of single values, without loss: each function takes a value or its text.

Texts are what a shell or a form gives, YAML and JSON give values; all of them lead to the same result.
"""

from __future__ import annotations

import ast
import re
import zoneinfo
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from math import isfinite, isinf
from pathlib import Path, PurePath

from mlops_workbench.core.errors import UNREADABLE
from mlops_workbench.notebooks.parameters.text import number_word

#: Digits of the largest integer that is read from a decimal text such as 1e300.
_MOST_DIGITS = 4300
_ISO_DURATION = re.compile(
    r"(?P<sign>[-+]?)P(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?\Z"
)
_DURATION = re.compile(
    r"(?P<sign>[-+]?)(?:(?P<w>\d+)w)?(?:(?P<d>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?"
    r"(?:(?P<ms>\d+)ms)?(?:(?P<us>\d+)us)?\Z"
)
_CLOCK = re.compile(r"(?:(?P<d>-?\d+) days?, ?)?(?P<h>\d+):(?P<m>\d\d)(?::(?P<s>\d\d(?:\.\d{1,6})?))?\Z")
_MICROSECONDS = {
    "w": 604_800_000_000, "d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1,
}  # fmt: skip
_ZONE = re.compile(r"(.*)\[([^\]]+)\]\Z", re.DOTALL)


class Unfit(Exception):
    """A value is not of the type; the argument is the hint, empty for none."""


def to_bool(value: object) -> bool:
    """Convert true and false, and their words; numbers are refused."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    found = words.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise Unfit("write true or false")
    return found


def to_int(value: object) -> int:
    """Convert whole numbers, also ``3.0`` and ``1e3``."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        try:
            return int(text, 16) if text.lower().removeprefix("-").startswith("0x") else int(text)
        except ValueError:
            pass
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise Unfit from None
        if number.is_finite() and number.adjusted() < _MOST_DIGITS and number == number.to_integral_value():
            return int(number)
    raise Unfit


def to_float(value: object) -> float:
    """Convert numbers; words for numbers that are not finite are those of JSON, YAML and Python."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise Unfit from None
    if isinstance(value, str):
        word = number_word(value)
        if word is not None:
            return word
        try:
            number = float(value)
        except ValueError:
            raise Unfit from None
        if isinf(number):
            raise Unfit("it is too large for a float; write inf for infinity")
        return number
    raise Unfit


def to_complex(value: object) -> complex:
    """Convert numbers, and texts such as ``1+2j``."""
    if isinstance(value, complex):
        return complex(value)
    try:
        return complex(value.replace(" ", "")) if isinstance(value, str) else complex(to_float(value))
    except ValueError:
        raise Unfit("write it as 1+2j") from None


def to_str(value: object) -> str:
    """Convert text and paths; other values are refused, since their text may not be the one that was written."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, PurePath):
        return str(value)
    raise Unfit("put it in quotes")


def to_bytes(value: object) -> bytes:
    """Convert bytes, the literal ``b"..."``, or any other text in UTF-8."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, str):
        if value.strip()[:2].lower() in ("b'", 'b"'):
            try:
                found = ast.literal_eval(value.strip())
            except UNREADABLE:
                found = None
            if isinstance(found, bytes):
                return found
        try:
            return str.encode(value)
        except UnicodeEncodeError:
            pass
    raise Unfit("write it as text, or as b'\\x00' for any byte")


def to_date(value: object) -> date:
    """Convert dates and ``2026-01-31``."""
    if type(value) is date:
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            pass
    raise Unfit("write it as 2026-01-31")


def to_datetime(value: object) -> datetime:
    """Convert a moment; a date is its midnight, and a zone may follow in brackets: ``[Europe/Paris]``."""
    if isinstance(value, datetime):
        if type(value) is datetime:
            return value
        # A timestamp of pandas, which may have nanoseconds.
        plain = getattr(value, "to_pydatetime", None)
        if plain is not None and not getattr(value, "nanosecond", 0):
            found = plain()
            if type(found) is datetime:
                return found
    elif isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    elif isinstance(value, str):
        try:
            return _moment(value.strip())
        except (ValueError, zoneinfo.ZoneInfoNotFoundError, OSError):
            pass
    raise Unfit("write it as 2026-01-31T12:00:00+00:00, or 2026-01-31T12:00:00[Europe/Paris]")


def _moment(text: str) -> datetime:
    named = _ZONE.match(text)
    if named is None:
        return datetime.fromisoformat(text)
    zone, plain = zoneinfo.ZoneInfo(named[2]), datetime.fromisoformat(named[1].strip())
    local = plain.replace(tzinfo=zone)
    if plain.tzinfo is None or local.utcoffset() == plain.utcoffset():
        return local
    # The other one of two equal local times, when clocks go back.
    local = local.replace(fold=1)
    if local.utcoffset() != plain.utcoffset():
        raise ValueError("the offset is not that of the zone")
    return local


def to_time(value: object) -> time:
    """Convert a time of day and ``12:30``."""
    if type(value) is time:
        return value
    if isinstance(value, str):
        try:
            return time.fromisoformat(value.strip())
        except ValueError:
            pass
    # YAML 1.1 reads 12:30 as the number 750.
    raise Unfit('write it in quotes: "12:30"')


def to_timedelta(value: object) -> timedelta:
    """Convert a duration: ``90s``, ``1h30m``, ``2 days, 1:00:00``, ``P1DT2H``."""
    if isinstance(value, timedelta):
        return timedelta(value.days, value.seconds, value.microseconds)
    if isinstance(value, str):
        text = value.strip()
        found = _CLOCK.match(text) or _ISO_DURATION.match(text.upper()) or _DURATION.match(text.replace(" ", ""))
        parts = found.groupdict() if found else {}
        sign = -1 if parts.pop("sign", "") == "-" else 1
        micro = sum((Decimal(part) * _MICROSECONDS[unit] for unit, part in parts.items() if part), Decimal())
        if any(parts.values()) and micro == micro.to_integral_value():
            try:
                return timedelta(microseconds=sign * int(micro))
            except OverflowError:
                pass
    raise Unfit("write it as 90s, 1h30m or 2d")


def to_decimal(value: object) -> Decimal:
    """Convert numbers; of a float the decimal digits that it is written with."""
    if isinstance(value, bool):
        raise Unfit
    if isinstance(value, float):
        value = repr(float(value)) if isfinite(value) else str(float(value))
    if isinstance(value, (Decimal, int, str)):
        try:
            return Decimal(value.strip() if isinstance(value, str) else value)
        except (InvalidOperation, ValueError):
            pass
    raise Unfit


def to_path(value: object) -> PurePath:
    """Convert a path and its text."""
    if isinstance(value, PurePath):
        return value
    if isinstance(value, str) and value and "\0" not in value:
        return Path(str.__str__(value))
    raise Unfit


#: By the kind of a type.
SCALARS: dict[str, Callable[[object], object]] = {
    "bool": to_bool, "int": to_int, "float": to_float, "complex": to_complex, "str": to_str, "bytes": to_bytes,
    "date": to_date, "datetime": to_datetime, "time": to_time, "timedelta": to_timedelta, "decimal": to_decimal,
    "path": to_path,
}  # fmt: skip
