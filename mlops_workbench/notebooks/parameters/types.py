"""Types of parameters: read from annotations, and used to convert values."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePath
from typing import Literal

from mlops_workbench.core.errors import UNREADABLE, InvalidInput, did_you_mean
from mlops_workbench.notebooks.source import called_name

Kind = Literal[
    "any", "bool", "int", "float", "str", "date", "datetime", "decimal", "path", "choice", "list", "tuple", "dict",
    "union",
]  # fmt: skip

_NAMES: dict[str, Kind] = {
    "Any": "any", "any": "any", "object": "any",
    "bool": "bool", "int": "int", "float": "float", "str": "str",
    "date": "date", "datetime": "datetime", "Decimal": "decimal", "Path": "path", "path": "path",
    "list": "list", "List": "list", "Sequence": "list", "Iterable": "list",
    "tuple": "tuple", "Tuple": "tuple",
    "dict": "dict", "Dict": "dict", "Mapping": "dict",
}  # fmt: skip


@dataclass(frozen=True)
class ParameterType:
    """Type of a parameter.

    Attributes
    ----------
    kind : str
        ``any`` accepts every value; annotations with other classes have this kind.
    optional : bool
        Whether None is allowed.
    items : tuple of ParameterType
        ``list``: type of the items; ``dict``: of keys and values; ``tuple``: of each item, or of all
        (`endless`); ``union``: the alternatives. Empty when not declared.
    choices : tuple
        Allowed values of a ``choice``.
    endless : bool
        Whether it is a ``tuple[X, ...]``.
    """

    kind: Kind
    optional: bool = False
    items: tuple[ParameterType, ...] = ()
    choices: tuple[object, ...] = ()
    endless: bool = False

    def __str__(self) -> str:
        inner = ", ".join(str(item) for item in self.items)
        if self.kind == "union":
            text = " | ".join(str(item) for item in self.items)
        elif self.kind == "choice":
            text = "one of " + ", ".join(repr(choice) for choice in self.choices)
        elif inner:
            text = f"{self.kind}[{inner}{', ...' if self.endless else ''}]"
        else:
            text = self.kind
        return f"{text} or None" if self.optional and self.kind != "any" else text

    def convert(self, value: object) -> object:
        """Convert a value or its text (``"3"`` to 3) to this type, without loss.

        Raises
        ------
        InvalidInput
            The value does not represent exactly one value of this type.
        """
        value = _unboxed(value)
        if value is None and (self.optional or self.kind == "any"):
            return None
        if self.optional and self.kind != "str" and isinstance(value, str) and value.lower() in ("none", "null"):
            return None
        return _CONVERTERS[self.kind](self, value)


def parse_type(text: str) -> ParameterType:
    """Return the type for the text of an annotation, such as ``list[int]`` or ``Literal["a", "b"] | None``.

    Raises
    ------
    InvalidInput
        The text is not an annotation.
    """
    try:
        return type_of_annotation(ast.parse(text.strip(), mode="eval").body)
    except UNREADABLE as error:
        raise InvalidInput(f"'{text}' is not a type", hint=did_you_mean(text, _NAMES)) from error


def type_of_annotation(node: ast.expr) -> ParameterType:
    """Return the type for an annotation; ``any`` for unknown ones."""
    if isinstance(node, ast.Constant):
        if node.value is None:
            return ParameterType("any", optional=True)
        return parse_type(node.value) if isinstance(node.value, str) else ParameterType("any")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([node.left, node.right])
    if isinstance(node, ast.Subscript):
        return _subscripted(called_name(node.value), node.slice)
    return ParameterType("any" if isinstance(node, ast.Call) else _NAMES.get(called_name(node), "any"))


def type_of_value(value: object) -> ParameterType:
    """Return the type of a default value."""
    if value is None:
        return ParameterType("any", optional=True)
    if isinstance(value, PurePath):
        return ParameterType("path")
    if isinstance(value, list):
        items = {type_of_value(item) for item in value}
        return ParameterType("list", items=tuple(items) if len(items) == 1 else ())
    kinds: dict[type, Kind] = {
        bool: "bool", int: "int", float: "float", str: "str", date: "date", datetime: "datetime",
        Decimal: "decimal", tuple: "tuple", dict: "dict",
    }  # fmt: skip
    return ParameterType(kinds.get(type(value), "any"))


def _subscripted(name: str, inner: ast.expr) -> ParameterType:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Optional":
        return _union([inner, ast.Constant(None)])
    if name == "Union":
        return _union(parts)
    if name == "Annotated":
        return type_of_annotation(parts[0])
    if name == "Literal":
        try:
            return _choice(tuple(ast.literal_eval(part) for part in parts))
        except ValueError:
            return ParameterType("any")
    kind = _NAMES.get(name, "any")
    if kind not in ("list", "tuple", "dict"):
        return ParameterType(kind)
    endless = len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is Ellipsis
    return ParameterType(
        kind, items=tuple(type_of_annotation(part) for part in (parts[:1] if endless else parts)), endless=endless
    )


def _choice(choices: tuple[object, ...]) -> ParameterType:
    present = tuple(choice for choice in choices if choice is not None)
    return ParameterType("choice", optional=len(present) < len(choices), choices=present)


def _union(nodes: list[ast.expr]) -> ParameterType:
    types: list[ParameterType] = []
    optional = False
    for node in nodes:
        kind = type_of_annotation(node)
        optional = optional or kind.optional
        if kind == ParameterType("any", optional=True):
            continue
        plain = ParameterType(kind.kind, False, kind.items, kind.choices, kind.endless)
        types += [item for item in (plain.items if plain.kind == "union" else (plain,)) if item not in types]
    if len(types) == 1:
        only = types[0]
        return ParameterType(only.kind, optional, only.items, only.choices, only.endless)
    if not types or any(kind.kind == "any" for kind in types):
        return ParameterType("any", optional=optional)
    return ParameterType("union", optional, tuple(types))


def _unboxed(value: object) -> object:
    # NumPy scalars are recognized by their module, so that NumPy is not imported.
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
        item: object = value.item()
        return item
    return value


def _refuse(kind: ParameterType, value: object, hint: str | None = None) -> InvalidInput:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    article = "" if kind.kind == "choice" else "an " if str(kind)[0] in "aiou" else "a "
    return InvalidInput(f"{shown} is not {article}{kind}", hint=hint)


def _any(kind: ParameterType, value: object) -> object:
    return value


def _bool(kind: ParameterType, value: object) -> object:
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    found = words.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise _refuse(kind, value, "write true or false")
    return found


def _int(kind: ParameterType, value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        try:
            return int(value.strip())
        except ValueError:
            pass
    raise _refuse(kind, value)


def _float(kind: ParameterType, value: object) -> object:
    if (isinstance(value, (int, float)) and not isinstance(value, bool)) or isinstance(value, str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise _refuse(kind, value)


def _str(kind: ParameterType, value: object) -> object:
    if isinstance(value, (str, PurePath)):
        return str(value)
    raise _refuse(kind, value, "put it in quotes")


def _date(kind: ParameterType, value: object) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            pass
    raise _refuse(kind, value, "write it as 2026-01-31")


def _datetime(kind: ParameterType, value: object) -> object:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError:
            pass
    raise _refuse(kind, value, "write it as 2026-01-31T12:00:00+00:00")


def _decimal(kind: ParameterType, value: object) -> object:
    if isinstance(value, (Decimal, int, str)) and not isinstance(value, bool):
        try:
            return Decimal(value)
        except InvalidOperation:
            pass
    raise _refuse(kind, value)


def _path(kind: ParameterType, value: object) -> object:
    if isinstance(value, PurePath):
        return value
    if isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    raise _refuse(kind, value)


def _of_choices(kind: ParameterType, value: object) -> object:
    for choice in kind.choices:
        if type(choice) is type(value) and choice == value:
            return choice
    if isinstance(value, str):
        for choice in kind.choices:
            if str(choice) == value:
                return choice
    raise _refuse(kind, value, did_you_mean(str(value), [str(choice) for choice in kind.choices]))


def _parsed(kind: ParameterType, text: str) -> object:
    """Parse a JSON text or a Python literal."""
    try:
        return json.loads(text)
    except UNREADABLE:
        pass
    try:
        return ast.literal_eval(text.strip())
    except UNREADABLE:
        example = '{"a": 1}' if kind.kind == "dict" else "[1, 2]"
        raise _refuse(kind, text, f"write it as {example}") from None


def _listed(kind: ParameterType, text: str) -> object:
    """Return the items of a bracketed or a comma-separated text."""
    if text.strip().startswith(("[", "(")):
        return _parsed(kind, text)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return parts if kind.items else [_guessed(part) for part in parts]


def _guessed(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _sequence(kind: ParameterType, value: object) -> object:
    items = _listed(kind, value) if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)):
        raise _refuse(kind, value)
    if kind.kind == "list" or kind.endless or not kind.items:
        item = kind.items[0] if kind.items else ParameterType("any", optional=True)
        converted = [item.convert(part) for part in items]
    elif len(items) == len(kind.items):
        converted = [item.convert(part) for item, part in zip(kind.items, items, strict=True)]
    else:
        raise _refuse(kind, value)
    return converted if kind.kind == "list" else tuple(converted)


def _dict(kind: ParameterType, value: object) -> object:
    given = value
    if isinstance(value, str):
        value = _parsed(kind, value)
    if not isinstance(value, Mapping):
        raise _refuse(kind, given)
    if len(kind.items) != 2:
        return dict(value)
    return {kind.items[0].convert(key): kind.items[1].convert(item) for key, item in value.items()}


def _of_union(kind: ParameterType, value: object) -> object:
    # Prefer the alternative that the value already has, then the first that it can be converted to.
    for item in kind.items:
        if type_of_value(value).kind == item.kind:
            return item.convert(value)
    for item in kind.items:
        try:
            return item.convert(value)
        except InvalidInput:
            continue
    raise _refuse(kind, value)


_CONVERTERS: dict[Kind, Callable[[ParameterType, object], object]] = {
    "any": _any, "bool": _bool, "int": _int, "float": _float, "str": _str, "date": _date, "datetime": _datetime,
    "decimal": _decimal, "path": _path, "choice": _of_choices, "list": _sequence, "tuple": _sequence,
    "dict": _dict, "union": _of_union,
}  # fmt: skip
