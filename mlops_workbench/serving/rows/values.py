"""Conversion of the JSON values of one column to the typed array of the signature.

Conversions are strict: text is not a number, and a number is not a date. An integer is accepted as a float, a float
without a fraction as an integer, and null as a missing value if the type has one.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_workbench.serving.errors import InvalidRequest
from mlops_workbench.serving.rows.signature import DTYPES, ColumnType, InputColumn

Array = NDArray[Any]

#: Message for a missing value in a column without any.
MISSING = "a value is missing, which the model does not take"

_NUMBERS = frozenset({int, float})
_ALLOWED: dict[ColumnType, frozenset[type]] = {
    "boolean": frozenset({bool}),
    "integer": _NUMBERS,
    "long": _NUMBERS,
    "float": _NUMBERS | {type(None)},
    "double": _NUMBERS | {type(None)},
    "string": frozenset({str, type(None)}),
    "datetime": frozenset({str, type(None)}),
}
_EXPECTED: dict[ColumnType, str] = {
    "boolean": "true or false",
    "integer": "an integer of 32 bits",
    "long": "an integer",
    "float": "a number",
    "double": "a number",
    "string": "text",
    "datetime": "a time as ISO 8601 text",
}
_JSON_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "the integer",
    float: "the number",
    str: "the text",
    type(None): "null",
    list: "an array",
    dict: "an object",
}

#: Integers up to here are exact as floats; the largest of 64 bits with a sign.
EXACT, _LARGEST = 2**53, 2**63 - 1
_EXACT_INTEGER = "an integer without a fraction or exponent, since floats beyond 2^53 are not exact"
_INFINITY = float("inf")

# Range of times as nanoseconds since 1970 in 64-bit integers.
_FIRST, _LAST = datetime(1677, 9, 22), datetime(2262, 4, 11)


def column_array(column: InputColumn, values: Sequence[object], kinds: Set[type] | None = None) -> Array:
    """Typed array of shape (rows,) from the JSON values of a column.

    Parameters
    ----------
    column : InputColumn
        The column.
    values : sequence of object
        The values.
    kinds : set of type, optional
        Their types, if they are known.

    Raises
    ------
    InvalidRequest
        A value is not of the column's type; the message names column, row, expected and given type.
    """
    if kinds is None:
        kinds = set(map(type, values))
    allowed = _ALLOWED[column.type]
    missing = type(None) in kinds
    if missing and column.nullable is False:
        row = next(row for row, value in enumerate(values) if value is None)
        raise InvalidRequest(f"column '{column.name}', row {row}: {MISSING}")
    if column.nullable or not column.required:
        allowed = allowed | {type(None)}
    if not kinds <= allowed:
        row = next(row for row, value in enumerate(values) if type(value) not in allowed)
        raise wrong_value(column, row, values[row])
    match column.type:
        case "double" | "float":
            numbers = _numbers(column, values)
            is_plain = column.type == "double" and column.exact in (None, numbers.dtype)
            return numbers if is_plain and not has_infinity(values, numbers) else floats(column, numbers)
        case "string":
            return objects(values)
        case "boolean":
            return objects(values) if missing else np.array(values, dtype=bool)
        case "datetime":
            return _times(column, values)
    if float in kinds:
        values = _whole(column, values)
    # Integers with missing values are floats, as in pandas, unless that would change them.
    if not missing:
        return _integers(column, values)
    if any(value is not None and abs(value) > EXACT for value in values):  # type: ignore[arg-type]
        return _wide_integers(column, values)
    return integral(column, _numbers(column, values))


def has_infinity(values: Sequence[object], numbers: Array) -> bool:
    """Whether an infinity is among values, of which `numbers` is the array."""
    # NumPy takes longer for a few values.
    return _INFINITY in values or -_INFINITY in values if len(values) < 64 else bool(np.isinf(numbers).any())


def floats(column: InputColumn, numbers: Array) -> Array:
    """Numbers of shape (rows,) in the column's precision; NaN is missing.

    Raises
    ------
    InvalidRequest
        A number is too large for the precision.
    """
    narrow = numbers
    if numbers.dtype != column.dtype:
        with np.errstate(over="ignore"):
            narrow = numbers.astype(column.dtype)
    if np.isinf(narrow).any():
        row = int(np.isinf(narrow).argmax())
        raise wrong_value(column, row, float(numbers[row]), "a number within the range of its type")
    return narrow


def integral(column: InputColumn, numbers: Array) -> Array:
    """Integers given as floats; they stay floats if values are missing.

    Raises
    ------
    InvalidRequest
        A number has a fraction, is missing in a required column, out of range, or not exact as a float.
    """
    absent = np.isnan(numbers)
    low, high = limits(column.dtype)
    # Larger floats may stand for several integers.
    low, high = max(low, -EXACT), min(high, EXACT)
    wrong = ~absent & ((numbers != np.floor(numbers)) | (numbers < low) | (numbers > high))
    if column.required and not column.nullable:
        wrong |= absent
    if wrong.any():
        row = int(wrong.argmax())
        raise wrong_value(column, row, None if absent[row] else float(numbers[row]))
    return numbers if absent.any() else numbers.astype(column.dtype)


def times_from_millis(column: InputColumn, values: Sequence[int]) -> Array:
    """Times of shape (rows,) from milliseconds since 1970, UTC."""
    first, last = (int(end.replace(tzinfo=UTC).timestamp()) * 1000 for end in (_FIRST, _LAST))
    for row, value in enumerate(values):
        if not first < value < last:
            raise wrong_value(column, row, value, "milliseconds since 1970")
    return np.array(values, dtype="datetime64[ms]").astype("datetime64[ns]")


def parse_time(text: str) -> datetime:
    """A time in ISO 8601 as naive UTC, which is also the default offset.

    Raises
    ------
    ValueError
        Not ISO 8601, or before 1678 or after 2261.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError as error:
            raise ValueError(f"out of range: {text}") from error
    if not _FIRST < moment < _LAST:
        raise ValueError(f"out of range: {text}")
    return moment


def missing_array(column: InputColumn, rows: int) -> Array:
    """`rows` missing values for an optional column that was not sent."""
    if column.type == "datetime":
        return np.full(rows, np.datetime64("NaT"), dtype=DTYPES["datetime"])
    if column.type in ("string", "boolean"):
        return np.full(rows, None, dtype=object)
    return np.full(rows, np.nan, dtype=column.dtype if column.dtype.kind == "f" else np.float64)


def objects(values: Sequence[object]) -> Array:
    """An array of objects of shape (rows,), also of sequences."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _numbers(column: InputColumn, values: Sequence[object]) -> Array:
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        row = next(row for row, value in enumerate(values) if isinstance(value, int) and abs(value) > 2**1000)
        raise wrong_value(column, row, "an integer of hundreds of digits") from None


@cache
def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Smallest and largest integer of a type."""
    found = np.iinfo(dtype)
    return int(found.min), int(found.max)


def check_within(column: InputColumn, values: Array) -> None:
    """Raise `InvalidRequest` if an integer is out of the range of the column."""
    low, high = limits(column.dtype)
    if int(values.min()) < low or int(values.max()) > high:
        row = next(row for row, value in enumerate(values.tolist()) if not low <= value <= high)
        raise wrong_value(column, row, int(values[row]))


def _whole(column: InputColumn, values: Sequence[object]) -> list[object]:
    """Integers written with a fraction of zero as integers."""
    found = list(values)
    for row, value in enumerate(values):
        if type(value) is float:
            if not value.is_integer() or abs(value) > EXACT:
                raise wrong_value(column, row, value, _EXACT_INTEGER if abs(value) > EXACT else None)
            found[row] = int(value)
    return found


def _integers(column: InputColumn, values: Sequence[object]) -> Array:
    low, high = limits(column.dtype)
    try:
        array = np.array(values, dtype=np.uint64 if high > _LARGEST else np.int64)
    except OverflowError:
        row = next(row for row, value in enumerate(values) if isinstance(value, int) and not low <= value <= high)
        raise wrong_value(column, row, values[row]) from None
    if array.dtype == column.dtype:
        return array
    if len(array):
        check_within(column, array)
    return array.astype(column.dtype)


def _wide_integers(column: InputColumn, values: Sequence[object]) -> Array:
    """Integers and None as objects, of which floats would not be exact."""
    low, high = limits(column.dtype)
    for row, value in enumerate(values):
        if isinstance(value, int) and not low <= value <= high:
            raise wrong_value(column, row, value)
    return objects(values)


def _times(column: InputColumn, values: Sequence[Any]) -> Array:
    moments: list[datetime | None] = []
    for row, value in enumerate(values):
        try:
            moments.append(None if value is None else parse_time(value))
        except ValueError:
            raise wrong_value(column, row, value) from None
    return np.array(moments, dtype="datetime64[us]").astype("datetime64[ns]")


def wrong_value(column: InputColumn, row: int, value: object, expected: str | None = None) -> InvalidRequest:
    """The error for a value that is not one of its column."""
    given = _JSON_NAMES.get(type(value), "a value")
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        text = repr(value) if isinstance(value, str) else str(value)
        given += f" {text[:60]}"
    exact = column.exact
    kind: str = column.type
    if expected is None and exact is not None and exact.kind in "iu" and exact not in (np.int32, np.int64):
        low, high = limits(exact)
        expected, kind = f"an integer from {low} to {high}", exact.name
    return InvalidRequest(
        f"column '{column.name}', row {row}: expected {expected or _EXPECTED[column.type]} ({kind}), got {given}"
    )
