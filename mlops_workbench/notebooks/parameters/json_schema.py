"""JSON Schema (draft-07) of parameters, for forms and editors."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.notebooks.parameters.declared import Parameter
from mlops_workbench.notebooks.parameters.shown import plain_value
from mlops_workbench.notebooks.parameters.types import ParameterType

Schema = dict[str, Any]

_TYPES = {
    "bool": "boolean", "int": "integer", "float": "number", "complex": "string", "str": "string", "bytes": "string",
    "date": "string", "datetime": "string", "time": "string", "timedelta": "string", "decimal": "string",
    "path": "string", "list": "array", "tuple": "array", "set": "array", "frozenset": "array", "dict": "object",
}  # fmt: skip
#: Texts of keys, which are text in JSON.
_KEYS: dict[str, Schema] = {
    "int": {"pattern": "^(0|-?[1-9][0-9]*)$"},
    "float": {"pattern": "^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?$"},
    "bool": {"enum": ["true", "false"]},
}
_DECIMAL = "^[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]{1,9})?$"
_NOT_FINITE = ["inf", "-inf", "nan"]
_LARGEST = 2**63 - 1


def json_schema(parameters: Mapping[str, Parameter], *, title: str = "parameters") -> Schema:
    """Return the schema of an object with a value for each parameter.

    A default that is known only by running the notebook is given by its source as ``x-computed``. Types for which
    draft-07 has no format have an ``x-format``, dates with bounds ``x-minimum`` and the like.
    """
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "type": "object",
        "properties": {name: _property(parameter) for name, parameter in parameters.items()},
        "required": [name for name, parameter in parameters.items() if parameter.required],
        "additionalProperties": False,
    }


def _property(parameter: Parameter) -> Schema:
    found: Schema = {"title": parameter.name}
    if parameter.help:
        found["description"] = parameter.help
    default = _default(parameter)
    found |= _Forms(default).of(parameter.type)
    if not parameter.known and not parameter.required:
        found["x-computed"] = parameter.expression
    elif default:
        found["default"] = _json_form(default[0])
    return found


def _default(parameter: Parameter) -> tuple[object, ...]:
    """The default, if it is a value of its type; the notebook may have another one."""
    if not parameter.known:
        return ()
    try:
        return (parameter.convert(parameter.default),)
    except InvalidInput:
        return ()


class _Forms:
    """Writes types as schemas that also accept the default, which may be a number that JSON lacks."""

    def __init__(self, default: Sequence[object]) -> None:
        parts = [part for value in default for part in _parts(value)]
        self._not_finite = any(isinstance(part, float) and not math.isfinite(part) for part in parts)
        self._large = any(isinstance(part, int) and abs(part) > _LARGEST for part in parts)
        self._special = any(isinstance(part, Decimal) and not part.is_finite() for part in parts)
        self._local = {type(part) for part in parts if getattr(part, "tzinfo", 0) is None}

    def of(self, kind: ParameterType) -> Schema:
        found = self._bounded(kind, self._plain(kind))
        if not kind.optional or kind.kind == "any":
            return found
        if "enum" in found:
            return {**found, "enum": [*found["enum"], None]}
        if isinstance(found.get("type"), str):
            return {**found, "type": [found["type"], "null"]}
        return {**found, "anyOf": [*found["anyOf"], {"type": "null"}]}

    def _plain(self, kind: ParameterType) -> Schema:
        if kind.kind == "any":
            return {}
        if kind.kind == "choice":
            return {"enum": [_json_form(choice) for choice in kind.choices]}
        if kind.kind == "union":
            return {"anyOf": [self.of(item) for item in kind.items]}
        found: Schema = {"type": _TYPES[kind.kind]}
        if kind.kind == "float" and self._not_finite:
            return {"anyOf": [found, {"enum": _NOT_FINITE}]}
        if kind.kind == "int" and self._large:
            return {"anyOf": [found, {"type": "string", "pattern": "^-?(0x[0-9a-f]+|[0-9]+)$"}]}
        if kind.kind in ("list", "tuple", "set", "frozenset"):
            return found | self._items(kind)
        if kind.kind == "dict" and len(kind.items) == 2:
            key = kind.items[0]
            keys = self.of(key) if key.kind == "str" else _KEYS.get(key.kind, {})
            if self._not_finite and key.kind == "float":
                keys = {}
            return {**found, "propertyNames": keys, "additionalProperties": self.of(kind.items[1])}
        return found | self._format(kind)

    def _format(self, kind: ParameterType) -> Schema:
        if kind.kind == "date":
            return {"format": "date"}
        if kind.kind in ("datetime", "time"):
            # The formats of JSON Schema require an offset from UTC.
            local = (datetime.datetime if kind.kind == "datetime" else datetime.time) in self._local
            name = "date-time" if kind.kind == "datetime" else "time"
            return {"x-format": f"local-{name}"} if local else {"format": name}
        if kind.kind == "decimal" and not self._special:
            return {"pattern": _DECIMAL, "x-format": "decimal"}
        if kind.kind == "path":
            return {"minLength": 1, "x-format": "path"}
        return {"x-format": kind.kind} if kind.kind in ("bytes", "complex", "timedelta", "decimal") else {}

    def _items(self, kind: ParameterType) -> Schema:
        unique: Schema = {"uniqueItems": True} if kind.kind in ("set", "frozenset") else {}
        if kind.kind == "tuple" and kind.items and not kind.endless:
            count = len(kind.items)
            items = [self.of(item) for item in kind.items]
            return {"items": items, "additionalItems": False, "minItems": count, "maxItems": count}
        item = self.of(kind.items[0]) if kind.items else {}
        if unique and not item:
            item = {"type": ["string", "number", "boolean", "null"]}
        return unique | ({"items": item} if item else {})

    @staticmethod
    def _bounded(kind: ParameterType, found: Schema) -> Schema:
        bounds = kind.bounds
        numbers = {
            "minimum": bounds.minimum, "maximum": bounds.maximum, "exclusiveMinimum": bounds.above,
            "exclusiveMaximum": bounds.below, "multipleOf": bounds.multiple_of,
        }  # fmt: skip
        words: Schema = {}
        for word, bound in numbers.items():
            if isinstance(bound, (int, float)) and math.isfinite(bound):
                words[word] = bound
            elif bound is not None:
                words[f"x-{word}"] = plain_value(bound)
        lengths = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
        for word, bound in zip(
            lengths.get(found.get("type", ""), ("minProperties", "maxProperties")),
            (bounds.min_length, bounds.max_length),
            strict=True,
        ):
            if bound is not None:
                words[word] = bound
        if bounds.pattern is not None:
            words["pattern"] = bounds.pattern
        return found | words


def _parts(value: object) -> Iterator[object]:
    """Yield a value and the values in it."""
    yield value
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from (key, *_parts(item))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _parts(item)


def _json_form(value: object) -> Any:
    # A zone in brackets is no part of the formats of JSON Schema.
    return value.isoformat() if isinstance(value, datetime.datetime) else plain_value(value)
