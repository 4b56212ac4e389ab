"""Bounds of a parameter's values."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class Bounds:
    """What values a type allows; None where it has no such bound.

    Attributes
    ----------
    minimum, maximum : object
        Smallest and largest value.
    above, below : object
        Values that it must be greater and less than.
    multiple_of : int, float, Decimal or None
        Number of which it must be a multiple.
    min_length, max_length : int or None
        Characters of a text, items of a list or dict.
    pattern : str or None
        Regular expression that is found in the text.
    """

    minimum: object = None
    maximum: object = None
    above: object = None
    below: object = None
    multiple_of: int | float | Decimal | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def __str__(self) -> str:
        return ", ".join(self._words())

    def _words(self) -> Iterator[str]:
        if self.minimum is not None and self.maximum is not None:
            yield f"{self.minimum} to {self.maximum}"
        else:
            for word, bound in (("at least", self.minimum), ("at most", self.maximum)):
                if bound is not None:
                    yield f"{word} {bound}"
        for word, bound in (("above", self.above), ("below", self.below), ("multiple of", self.multiple_of)):
            if bound is not None:
                yield f"{word} {bound}"
        for word, bound in (("length at least", self.min_length), ("length at most", self.max_length)):
            if bound is not None:
                yield f"{word} {bound}"
        if self.pattern is not None:
            yield f"matching '{self.pattern}'"

    def __or__(self, other: Bounds) -> Bounds:
        """Return these bounds with those that `other` adds."""
        added = {field.name: getattr(other, field.name) for field in fields(other)}
        return replace(self, **{name: bound for name, bound in added.items() if bound is not None})

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value, ``must be at least 3``; None if it is within the bounds."""
        # NaN is on neither side of a bound, so each comparison asks for the allowed side.
        for word, bound, compare in (
            ("be at least", self.minimum, operator.ge),
            ("be at most", self.maximum, operator.le),
            ("be greater than", self.above, operator.gt),
            ("be less than", self.below, operator.lt),
        ):
            if bound is not None and not _holds(value, compare, bound):
                return f"must {word} {bound}"
        if self.multiple_of is not None and not _is_multiple(value, self.multiple_of):
            return f"must be a multiple of {self.multiple_of}"
        length = len(value) if hasattr(value, "__len__") else None
        if length is not None:
            unit = "characters" if isinstance(value, str) else "bytes" if isinstance(value, bytes) else "items"
            if self.min_length is not None and length < self.min_length:
                return f"must have at least {self.min_length} {unit}"
            if self.max_length is not None and length > self.max_length:
                return f"must have at most {self.max_length} {unit}"
        if self.pattern is not None and isinstance(value, str) and re.search(self.pattern, value) is None:
            return f"must match '{self.pattern}'"
        return None


NO_BOUNDS = Bounds()


def _holds(value: Any, compare: Callable[[Any, Any], bool], bound: Any) -> bool:
    try:
        return bool(compare(value, bound))
    except (TypeError, ArithmeticError):
        # A moment without a zone beside one with a zone, or a signalling NaN.
        return False


def _is_multiple(value: Any, unit: int | float | Decimal) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return False
    if not (value.is_finite() if isinstance(value, Decimal) else isinstance(value, int) or isfinite(value)):
        return False
    if isinstance(value, int) and isinstance(unit, int):
        return value % unit == 0
    # 0.3 is a multiple of 0.1 by its digits, 1e300 by division in floating point, as JSON Schema has it.
    if (_exact(value) / _exact(unit)).denominator == 1:
        return True
    try:
        return (float(value) / float(unit)).is_integer()
    except OverflowError:
        return False


def _exact(number: int | float | Decimal) -> Fraction:
    return Fraction(repr(number) if isinstance(number, float) else number)
