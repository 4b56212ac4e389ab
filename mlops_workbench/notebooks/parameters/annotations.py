"""Types and help read from annotations; nothing is imported or evaluated."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mlops_workbench.core.errors import UNREADABLE, InvalidInput, did_you_mean
from mlops_workbench.notebooks.parameters.bounds import Bounds
from mlops_workbench.notebooks.parameters.constants import Unknown, constant
from mlops_workbench.notebooks.parameters.types import Kind, ParameterType, choice_type, union_type

_NAMES: dict[str, Kind] = {
    "Any": "any", "any": "any", "object": "any",
    "bool": "bool", "int": "int", "float": "float", "complex": "complex", "str": "str", "bytes": "bytes",
    "date": "date", "datetime": "datetime", "time": "time", "timedelta": "timedelta",
    "Decimal": "decimal", "decimal": "decimal", "Path": "path", "PurePath": "path", "path": "path",
    "list": "list", "List": "list", "Sequence": "list", "MutableSequence": "list", "Iterable": "list",
    "Collection": "list",
    "tuple": "tuple", "Tuple": "tuple",
    "set": "set", "Set": "set", "MutableSet": "set", "AbstractSet": "set",
    "frozenset": "frozenset", "FrozenSet": "frozenset",
    "dict": "dict", "Dict": "dict", "Mapping": "dict", "MutableMapping": "dict",
}  # fmt: skip
#: Modules whose classes are meant by these names; `float` of another module is another class.
_MODULES = frozenset((
    "typing", "t", "tp", "typing_extensions", "collections", "abc", "builtins", "datetime", "dt", "pathlib", "decimal",
))  # fmt: skip
_QUALIFIERS = ("Final", "ClassVar", "Required", "NotRequired", "ReadOnly")
#: Numbers that pydantic names.
_BOUNDED = {
    "PositiveInt": ("int", Bounds(above=0)), "NonNegativeInt": ("int", Bounds(minimum=0)),
    "NegativeInt": ("int", Bounds(below=0)), "NonPositiveInt": ("int", Bounds(maximum=0)),
    "PositiveFloat": ("float", Bounds(above=0)), "NonNegativeFloat": ("float", Bounds(minimum=0)),
    "NegativeFloat": ("float", Bounds(below=0)), "NonPositiveFloat": ("float", Bounds(maximum=0)),
}  # fmt: skip
#: Bounds by the classes and arguments that set them: annotated-types, pydantic's Field, msgspec's Meta.
_BOUNDS = {
    "ge": "minimum", "le": "maximum", "gt": "above", "lt": "below", "multiple_of": "multiple_of",
    "min_length": "min_length", "max_length": "max_length", "pattern": "pattern", "regex": "pattern",
}  # fmt: skip
_POSITIONAL = {
    "Ge": ("minimum",), "Le": ("maximum",), "Gt": ("above",), "Lt": ("below",), "MultipleOf": ("multiple_of",),
    "MinLen": ("min_length",), "MaxLen": ("max_length",), "Len": ("min_length", "max_length"),
    "Interval": (), "Field": (), "Meta": (), "StringConstraints": (),
}  # fmt: skip


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
        return union_type([type_of_annotation(node.left), type_of_annotation(node.right)])
    if isinstance(node, ast.Subscript):
        return _subscripted(_class_name(node.value), node.slice)
    name = _class_name(node)
    if name in _BOUNDED:
        kind, bounds = _BOUNDED[name]
        return ParameterType(_NAMES[kind], bounds=bounds)
    return ParameterType(_NAMES.get(name, "any"))


def is_open(node: ast.expr) -> bool:
    """Return whether an annotation leaves the type to the value: a bare ``Final``."""
    return _class_name(node) in _QUALIFIERS


def help_of_annotation(node: ast.expr) -> str:
    """Return the description in an ``Annotated``: a text, ``Doc(...)``, or the `description` of Field or Meta."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return help_of_annotation(ast.parse(node.value.strip(), mode="eval").body)
        except UNREADABLE:
            return ""
    if not isinstance(node, ast.Subscript):
        return ""
    if _class_name(node.value) in _QUALIFIERS:
        return help_of_annotation(node.slice)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
    if _class_name(node.value) != "Annotated":
        return ""
    return next((" ".join(text.split()) for text in map(_description, parts[1:]) if text), "")


def _class_name(node: ast.expr) -> str:
    """Return the name of a class of the standard library; empty for another module's."""
    if isinstance(node, ast.Name):
        return node.id
    if not isinstance(node, ast.Attribute):
        return ""
    module = node.value
    root = module.attr if isinstance(module, ast.Attribute) else module.id if isinstance(module, ast.Name) else ""
    return node.attr if root in _MODULES or node.attr in _BOUNDED else ""


def _subscripted(name: str, inner: ast.expr) -> ParameterType:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name in _QUALIFIERS:
        return type_of_annotation(inner)
    if name == "Optional":
        return union_type([type_of_annotation(inner), ParameterType("any", optional=True)])
    if name == "Union":
        return union_type([type_of_annotation(part) for part in parts])
    if name == "Annotated":
        return _annotated(parts)
    if name == "Literal":
        try:
            return choice_type(tuple(choice for part in parts for choice in _choices(part)))
        except Unknown:
            return ParameterType("any")
    kind = _NAMES.get(name, "any")
    if kind not in ("list", "tuple", "dict", "set", "frozenset"):
        return ParameterType(kind)
    endless = len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is Ellipsis
    return ParameterType(
        kind, items=tuple(type_of_annotation(part) for part in (parts[:1] if endless else parts)), endless=endless
    )


def _choices(node: ast.expr) -> Iterator[object]:
    if isinstance(node, ast.Subscript) and _class_name(node.value) == "Literal":
        for part in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
            yield from _choices(part)
    else:
        yield constant(node)


def _annotated(parts: list[ast.expr]) -> ParameterType:
    kind = type_of_annotation(parts[0])
    bounds = kind.bounds
    for part in parts[1:]:
        bounds |= _bounds(part, kind)
    return replace(kind, bounds=bounds)


def _bounds(node: ast.expr, kind: ParameterType) -> Bounds:
    """Bounds that a call such as ``Ge(0)`` or ``Field(ge=0)`` sets; what is not known without running is left out."""
    if not isinstance(node, ast.Call):
        return Bounds()
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called not in _POSITIONAL:
        return Bounds()
    found: dict[str, Any] = {}
    given = [*zip(_POSITIONAL[called], node.args, strict=False)]
    given += [(_BOUNDS[word.arg], word.value) for word in node.keywords if word.arg in _BOUNDS]
    for name, value in given:
        try:
            bound = constant(value)
        except Unknown:
            continue
        if _usable(name, bound, kind):
            found[name] = bound
    return Bounds(**found)


def _usable(name: str, bound: object, kind: ParameterType) -> bool:
    if bound is None or isinstance(bound, bool):
        return False
    if name in ("min_length", "max_length"):
        return isinstance(bound, int)
    if name == "pattern":
        try:
            return isinstance(bound, str) and re.compile(bound) is not None
        except re.error:
            return False
    if name == "multiple_of":
        return isinstance(bound, (int, float)) and bound > 0
    return True


def _description(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return inspect.cleandoc(node.value) if isinstance(node.value, str) else ""
    if not isinstance(node, ast.Call):
        return ""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    words = {word.arg: word.value for word in node.keywords}
    text: ast.expr | None = None
    if called in ("Doc", "doc"):
        text = node.args[0] if node.args else words.get("documentation")
    elif called in ("Field", "Meta"):
        text = words.get("description")
    return text.value if isinstance(text, ast.Constant) and isinstance(text.value, str) else ""
