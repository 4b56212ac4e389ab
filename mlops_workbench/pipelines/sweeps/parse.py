"""Reads what is given for the parameters of a sweep: what was typed, and what a request or a file has; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mlops_workbench.core.errors import InvalidInput, did_you_mean
from mlops_workbench.notebooks.parameters.check import Declared
from mlops_workbench.notebooks.parameters.text import Text, guessed, parse_literal
from mlops_workbench.notebooks.parameters.types import ParameterType
from mlops_workbench.pipelines.sweeps.space import Choices, Dimension, Normal, Range, Space

_NUMBER = r"[-+]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(?:\.\.\s*({_NUMBER})\s*)?(log)?\s*\Z")
_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*\Z", re.DOTALL)
_DISTRIBUTIONS = ("uniform", "loguniform", "randint", "normal", "log", "linspace")
_COLLECTIONS = ("list", "tuple", "set", "frozenset", "dict")
_KEYS = ("values", "value", "low", "high", "step", "log", "count", "mean", "deviation")
#: Most values of a dimension that are all checked before the start; of more only the ends are.
_MOST_CHECKED = 10_000
_FORMS = "for example: 0.1,0.2  2..8  0..1..0.25  log(1e-4..1e-1)  uniform(0, 1)  loguniform(1e-4, 1)  normal(0, 1)"


def read_space(
    parameters: Mapping[str, Declared], params: Mapping[str, Any], texts: Mapping[str, str], owner: str
) -> Space:
    """Read the space of a sweep.

    Parameters
    ----------
    parameters : mapping
        Parameters of the notebook or the pipeline.
    params, texts : mapping
        What is given for them; see `SweepRequest`.
    owner : str
        What has the parameters, for messages: ``notebook 'train.ipynb'``.

    Raises
    ------
    InvalidInput
        A parameter is unknown, or a value does not fit its type.
    """
    dimensions: dict[str, Dimension] = {}
    fixed: dict[str, object] = {}
    for name in dict.fromkeys((*params, *texts)):
        if name not in parameters:
            hint = did_you_mean(name, parameters) if parameters else ""
            raise InvalidInput(f"{owner} has no parameter '{name}'", hint=hint or "its cell needs the tag 'parameters'")
        reader = _Reader(name, parameters[name])
        found = reader.text(texts[name]) if name in texts else reader.value(params[name])
        if isinstance(found, (Range, Normal)) or len(found.values) > 1:
            dimensions[name] = found
        else:
            fixed[name] = found.values[0]
    return Space(dimensions, fixed)


class _Reader:
    """Reads what is given for one parameter."""

    def __init__(self, name: str, parameter: Declared) -> None:
        self._name = name
        self._parameter = parameter
        kinds = {kind.kind for kind in _alternatives(parameter.type)}
        self._numeric = bool(kinds & {"int", "float", "any"})
        self._collection = bool(kinds & set(_COLLECTIONS))

    def text(self, text: str) -> Dimension:
        """Read what was typed."""
        if (special := self._special(text)) is not None:
            return special
        parsed = _list_of(text)
        if self._collection:
            # A list is one value of such a parameter, and a list of values varies it.
            values = self._all(parsed) if parsed else None
            return Choices(_different(values)) if values else Choices((self._convert(Text(text)),))
        if parsed is not None:
            return self._choices([Text(item) if isinstance(item, str) else item for item in parsed])
        return self._choices([_item(part) for part in self._parts(text)])

    def value(self, given: Any) -> Dimension:
        """Read a value, a list of alternatives, or a mapping that describes a range or a distribution."""
        if isinstance(given, list):
            values = self._all(given) if self._collection else None
            if self._collection and values is None:
                return Choices((self._convert(given),))
            return Choices(_different(values)) if values else self._choices(given)
        if isinstance(given, Mapping) and given and all(key in _KEYS for key in given):
            return self._described(given)
        if isinstance(given, str) and self._numeric and (special := self._special(given)) is not None:
            return special
        return Choices((self._convert(given),))

    def _special(self, text: str) -> Dimension | None:
        """A range or a distribution; None for other texts."""
        if call := _CALL.match(text):
            word, inner = call[1], call[2]
            if word == "choice":
                return self._choices([_item(part) for part in self._parts(inner)])
            if self._numeric and word in _DISTRIBUTIONS:
                return self._distribution(word, inner)
            if self._numeric and not self._collection and self._fits(Text(text)) is None:
                raise self._error(f"'{word}' is no distribution", did_you_mean(word, (*_DISTRIBUTIONS, "choice")))
            return None
        found = _RANGE.match(text) if self._numeric else None
        return None if found is None else self._range(found[1], found[2], found[3], log=bool(found[4]))

    def _distribution(self, word: str, inner: str) -> Dimension:
        parts = [part.strip() for part in inner.split(",")]
        if word in ("log", "linspace"):
            found = _RANGE.match(parts[0])
            if found is None or found[4] or len(parts) > 2 or (word == "linspace" and len(parts) < 2):
                raise self._error(f"'{word}({inner})' is no range", f"write {word}(1e-4..1e-1, 7) for seven values")
            count = parts[1] if len(parts) == 2 else ""
            if count and not (count.isdecimal() and 0 < int(count[:9]) <= _MOST_CHECKED):
                raise self._error(f"'{count}' is no number of values", f"write {word}(1e-4..1e-1, 7)")
            return self._range(found[1], found[2], found[3], log=word == "log", count=int(count or "0"))
        if len(parts) != 2 or not all(re.fullmatch(_NUMBER, part) for part in parts):
            raise self._error(f"'{word}' takes two numbers, not '{inner}'", f"write {word}(1, 10)")
        if word == "normal":
            return self._normal(self._number(parts[0]), self._number(parts[1]))
        found_range = replace(self._range(parts[0], parts[1], None, log=word == "loguniform"), drawn=True)
        if word == "randint" and not found_range.whole:
            raise self._error(f"randint takes two whole numbers, not '{inner}'", "write uniform(0, 1) for real numbers")
        return found_range

    def _described(self, given: Mapping[str, Any]) -> Dimension:
        """A range or a distribution as a mapping."""
        if set(given) == {"value"}:
            return Choices((self._convert(given["value"]),))
        if set(given) == {"values"} and isinstance(given["values"], list):
            return self._choices(given["values"])
        if any(kind.kind == "dict" for kind in _alternatives(self._parameter.type)):
            return Choices((self._convert(given),))
        if set(given) == {"mean", "deviation"}:
            return self._normal(self._real(given, "mean"), self._real(given, "deviation"))
        if {"low", "high"} <= set(given) <= {"low", "high", "step", "log", "count"} and self._numeric:
            step = repr(self._real(given, "step")) if given.get("step") is not None else None
            low, high = repr(self._real(given, "low")), repr(self._real(given, "high"))
            count = given.get("count") or 0
            if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MOST_CHECKED:
                raise self._error(f"count: {count!r} is no number of values", "write a whole number above zero")
            return self._range(low, high, step, log=given.get("log") is True, count=count)
        raise self._error(
            f"{', '.join(given)} do not describe a range or a distribution",
            'write {"values": [1, 2]}, {"low": 0, "high": 1, "step": 0.1} or {"mean": 0, "deviation": 1}',
        )

    def _range(self, low: str, high: str, step: str | None, *, log: bool, count: int = 0) -> Range:
        first, last = self._convert_number(low), self._convert_number(high)
        whole = isinstance(first, int) and isinstance(last, int)
        width: float | None = None
        if step is not None:
            width = self._number(step)
            if not width > 0:
                raise self._error(f"the step of {low}..{high} is {step}", "give a step above zero: 0..1..0.1")
            whole = whole and isinstance(self._integer(step), int)
            width = int(width) if whole else width
        if not first < last:
            raise self._error(f"{low}..{high} has no values", f"write the smaller one first: {high}..{low}")
        if log and not first > 0:
            raise self._error(f"{low}..{high} cannot be on a logarithmic scale", "begin above zero: log(1e-4..1)")
        if log and step is not None:
            raise self._error("a logarithmic range has no step", f"give a number of values: log({low}..{high}, 5)")
        if count and step is not None:
            raise self._error("a range has a step or a number of values", "leave one of them out")
        if step is not None and isinstance(first, int) and not whole:
            first, last = float(first), float(last)
        found = Range(first, last, whole, width, log, count)
        size = found.size
        if size is not None and size <= _MOST_CHECKED:
            for index in range(size):
                self._convert(found.point(index))
        return found

    def _normal(self, mean: float, deviation: float) -> Normal:
        if not deviation > 0:
            raise self._error(f"a normal distribution cannot have the deviation {deviation:g}", "write normal(0, 1)")
        if not any(kind.kind in ("float", "any") for kind in _alternatives(self._parameter.type)) \
                and self._fits(0.5) is None:  # fmt: skip
            raise self._error("its values are whole numbers, those of a normal distribution are not", _FORMS)
        low, high = -math.inf, math.inf
        for kind in _alternatives(self._parameter.type):
            bounds = kind.bounds
            low = max([low, *(float(end) for end in (bounds.minimum, bounds.above) if isinstance(end, (int, float)))])
            high = min([high, *(float(end) for end in (bounds.maximum, bounds.below) if isinstance(end, (int, float)))])
        return Normal(mean, deviation, low, high)

    def _choices(self, items: list[Any]) -> Choices:
        if not items:
            raise self._error("there are no values", _FORMS)
        return Choices(_different([self._convert(item) for item in items]))

    def _all(self, items: list[Any]) -> list[object] | None:
        """The items as values of the parameter, None if one of them is none."""
        found = [self._fits(item) for item in items]
        return [value[0] for value in found if value is not None] if items and None not in found else None

    def _parts(self, text: str) -> list[str]:
        parts = _split(text)
        if parts is None or not all(part.strip() for part in parts):
            raise self._error(f"'{text}' lacks a value or a closing quote", "write '' for an empty text")
        return parts

    def _convert(self, value: Any) -> object:
        found = self._parameter.convert(value)
        # The parameter of a pipeline may have no type.
        return guessed(found) if isinstance(found, Text) else found

    def _fits(self, value: Any) -> tuple[object] | None:
        try:
            return (self._convert(value),)
        except InvalidInput:
            return None

    def _convert_number(self, text: str) -> float:
        value = self._convert(self._integer(text))
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self._error(f"{text} is no number of it", f"it is of type {self._parameter.type.described()}")
        return value

    def _number(self, text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise self._error(f"{text} is too large", _FORMS)
        return value

    def _integer(self, text: str) -> float:
        """An int if it is written as one."""
        return int(text) if re.fullmatch(r"[-+]?[0-9][0-9_]*", text) and len(text) < 300 else self._number(text)

    def _real(self, given: Mapping[str, Any], key: str) -> float:
        value = given[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self._error(f"{key}: {value!r} is no number", "write a number such as 0.5")
        return value

    def _error(self, message: str, hint: str) -> InvalidInput:
        return InvalidInput(f"{self._name}: {message}", hint=hint)


def _alternatives(kind: ParameterType) -> tuple[ParameterType, ...]:
    return kind.items if kind.kind == "union" else (kind,)


def _list_of(text: str) -> list[Any] | None:
    """The items of a list in brackets."""
    if not text.strip().startswith("["):
        return None
    try:
        found = parse_literal(text)
    except ValueError:
        return None
    return found if isinstance(found, list) else None


def _item(part: str) -> str:
    """What one part between commas means: in quotes the text itself, else what the type of the parameter says."""
    plain = part.strip()
    if len(plain) > 1 and plain[0] in "'\"" and plain[-1] == plain[0]:
        return plain[1:-1]
    return Text(plain)


def _split(text: str) -> list[str] | None:
    """Parts between commas that are in no quotes and no brackets; None if one of them is not closed."""
    parts, begin, depth, quote = [], 0, 0, ""
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and not text[begin:index].strip():
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth <= 0:
            parts.append(text[begin:index])
            begin = index + 1
    return None if quote else [*parts, text[begin:]]


def _different(values: list[Any]) -> tuple[object, ...]:
    """The values without repetitions; 1 and True are two values."""
    return tuple({(type(value), repr(value)): value for value in values}.values())
