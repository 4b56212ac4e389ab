"""Values of expressions that are known without running them."""

from __future__ import annotations

import ast
import datetime
import math
import operator
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

#: Bits of the largest integer and items of the longest text or list that arithmetic may give.
_MOST_BITS, _LONGEST = 20_000, 10_000

#: Modules whose members are known, under the names they are commonly imported as.
_MODULES = {
    "datetime": "datetime", "dt": "datetime", "pathlib": "pathlib", "decimal": "decimal", "math": "math",
    "np": "numpy", "numpy": "numpy", "zoneinfo": "zoneinfo", "builtins": "builtins",
}  # fmt: skip
_CLASSES: dict[str, dict[str, Callable[..., object]]] = {
    "datetime": {
        "date": datetime.date, "datetime": datetime.datetime, "time": datetime.time, "timedelta": datetime.timedelta,
        "timezone": datetime.timezone,
        "date.fromisoformat": datetime.date.fromisoformat, "datetime.fromisoformat": datetime.datetime.fromisoformat,
        "time.fromisoformat": datetime.time.fromisoformat,
    },
    "pathlib": {
        "Path": Path, "PurePath": PurePath, "PurePosixPath": PurePosixPath, "PureWindowsPath": PureWindowsPath,
    },
    "decimal": {"Decimal": Decimal},
    "zoneinfo": {"ZoneInfo": zoneinfo.ZoneInfo},
    "builtins": {
        "float": float, "int": int, "str": str, "bool": bool, "complex": complex, "bytes": bytes, "list": list,
        "tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict, "abs": abs,
    },
}  # fmt: skip
_CONSTANTS: dict[str, dict[str, object]] = {
    "datetime": {"UTC": datetime.UTC, "timezone.utc": datetime.UTC},
    "math": {"inf": math.inf, "nan": math.nan, "pi": math.pi, "e": math.e, "tau": math.tau},
    "numpy": {"inf": math.inf, "nan": math.nan, "pi": math.pi, "e": math.e},
}
#: What `from math import inf` and the like bring in; the others are too common as names.
_BARE = {"inf": math.inf, "nan": math.nan, "UTC": datetime.UTC, "timezone.utc": datetime.UTC}

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.LShift: operator.lshift,
    ast.RShift: operator.rshift, ast.BitOr: operator.or_, ast.BitAnd: operator.and_,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert, ast.Not: operator.not_,
}  # fmt: skip
_NUMBERS = (int, float, complex, Decimal)


class Unknown(Exception):
    """The value of an expression is not known without running it."""


def constant(node: ast.expr) -> object:
    """Return the value of an expression that is built from literals.

    Known are literals, containers, arithmetic, dates, paths, decimals, ``inf`` and ``nan``.

    Raises
    ------
    Unknown
        The value depends on something else, or computing it fails.
    """
    try:
        return _value(node)
    except (TypeError, ValueError, ArithmeticError, AttributeError, RecursionError, MemoryError, OSError) as error:
        raise Unknown from error
    except zoneinfo.ZoneInfoNotFoundError as error:
        raise Unknown from error


def _value(node: ast.expr) -> object:
    match node:
        case ast.Constant(value):
            return value
        case ast.List(elts) | ast.Tuple(elts) | ast.Set(elts):
            items = [_value(item) for item in elts]
            return items if isinstance(node, ast.List) else tuple(items) if isinstance(node, ast.Tuple) else set(items)
        case ast.Dict(keys, values) if all(key is not None for key in keys):
            return {_value(key): _value(item) for key, item in zip(keys, values, strict=True) if key is not None}
        case ast.UnaryOp(op, operand):
            return _UNARY[type(op)](_value(operand))
        case ast.BinOp(left, op, right):
            return _computed(op, _value(left), _value(right))
        case ast.Call(func, args, keywords):
            return _called(func, args, keywords)
        case ast.Attribute() | ast.Name():
            return _named(node)
    raise Unknown


def _computed(op: ast.operator, left: Any, right: Any) -> object:
    compute = _OPERATORS.get(type(op))
    if compute is None:
        raise Unknown
    whole: Any = isinstance(left, int) and isinstance(right, int)
    if isinstance(op, ast.Mod) and not (isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS)):
        raise Unknown  # "%1000000000d" % 1
    if isinstance(op, ast.Pow) and whole and left.bit_length() * abs(right) > _MOST_BITS:
        raise Unknown
    if isinstance(op, ast.LShift) and whole and left.bit_length() + right > _MOST_BITS:
        raise Unknown
    if isinstance(op, ast.Mult):
        if whole and left.bit_length() + right.bit_length() > _MOST_BITS:
            raise Unknown
        for items, count in ((left, right), (right, left)):
            if isinstance(items, (str, bytes, list, tuple)) and len(items) * max(count, 0) > _LONGEST:
                raise Unknown
    return compute(left, right)


def _called(function: ast.expr, args: list[ast.expr], keywords: list[ast.keyword]) -> object:
    if any(keyword.arg is None for keyword in keywords):
        raise Unknown
    module, name = _place(function)
    call = _CLASSES.get(module, {}).get(name) if module else _bare_class(name)
    if call is None:
        raise Unknown
    values = [_value(argument) for argument in args]
    if call is bytes and any(isinstance(value, int) for value in values):
        raise Unknown  # a number is a length
    return call(*values, **{str(keyword.arg): _value(keyword.value) for keyword in keywords})


def _named(node: ast.expr) -> object:
    module, name = _place(node)
    known = _CONSTANTS.get(module, {}) if module else _BARE
    if name not in known:
        raise Unknown
    return known[name]


def _bare_class(name: str) -> Callable[..., object] | None:
    return next((classes[name] for classes in _CLASSES.values() if name in classes), None)


def _place(node: ast.expr) -> tuple[str, str]:
    """Return module and name: ``datetime`` and ``date`` of ``dt.date``, no module and the name of a bare name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return "", ""
    parts.insert(0, node.id)
    if parts[0] in _MODULES and len(parts) > 1:
        module, name = _MODULES[parts[0]], ".".join(parts[1:])
        # `from datetime import datetime` gives a class that has the name of its module.
        if not (parts[0] == "datetime" and name not in _CLASSES[module] and name not in _CONSTANTS[module]):
            return module, name
    return "", ".".join(parts)
