"""Values of literal expressions."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from mlops_workbench.capture.record.values import plain

#: Longest text of a value that is not shortened.
_MAX_TEXT = 2000
_SHOWN_TEXT = 1000
_MAX_ITEMS = 100
_SHOWN_ITEMS = 20
_MAX_POWER = 64

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}


def literal(node: ast.expr) -> Any:
    """Return the value of a literal: numbers and arithmetic, text, containers of literals, and ``dict(a=1)``.

    Raises
    ------
    ValueError
        It is not a literal.
    """
    if isinstance(node, ast.Constant):
        if node.value is Ellipsis:
            raise ValueError("not a literal")
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _number(literal(node.operand))
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        values = [literal(part) for part in node.elts]
        return values if isinstance(node, ast.List) else tuple(values) if isinstance(node, ast.Tuple) else set(values)
    if isinstance(node, ast.Dict):
        if any(key is None for key in node.keys):
            raise ValueError("not a literal")
        return {
            literal(key): literal(value) for key, value in zip(node.keys, node.values, strict=True) if key is not None
        }
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        if any(word.arg is None for word in node.keywords):
            raise ValueError("not a literal")
        return {str(word.arg): literal(word.value) for word in node.keywords}
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _number(literal(node.left)), _number(literal(node.right))
        if isinstance(node.op, ast.Pow) and (abs(right) > _MAX_POWER or abs(left) > 1 << 32):
            raise ValueError("too large")
        try:
            return _ARITHMETIC[type(node.op)](left, right)
        except ArithmeticError:
            raise ValueError("not a number") from None
    raise ValueError("not a literal")


def bounded(value: Any) -> Any:
    """Return a plain value for a parameter; long values are shortened and give their length."""
    value = plain(value)
    if isinstance(value, str | bytes):
        if len(value) <= _MAX_TEXT:
            return value
        unit = "characters" if isinstance(value, str) else "bytes"
        shown = value[:_SHOWN_TEXT] if isinstance(value, str) else repr(value[:_SHOWN_TEXT])
        return f"{shown}… ({len(value):,} {unit})"
    if isinstance(value, list | dict):
        if len(value) <= _MAX_ITEMS and len(repr(value)) <= _MAX_TEXT:
            return value
        first = list(value.items() if isinstance(value, dict) else value)[:_SHOWN_ITEMS]
        text = ", ".join(f"{part[0]!r}: {part[1]!r}" if isinstance(value, dict) else repr(part) for part in first)
        opened, closed = "{}" if isinstance(value, dict) else "[]"
        return f"{opened}{text[:_SHOWN_TEXT]}, …{closed} ({len(value):,} items)"
    return value


def _number(value: Any) -> Any:
    if isinstance(value, int | float | complex) and not isinstance(value, bool):
        return value
    raise ValueError("not a number")
