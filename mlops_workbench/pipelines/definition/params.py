"""The parameters of a pipeline spec, and the names in it."""

from __future__ import annotations

import contextlib
import keyword
import re
from dataclasses import replace

from mlops_workbench.core.errors import InvalidInput, SpecError
from mlops_workbench.core.ids import check_name
from mlops_workbench.notebooks.parameters.annotations import parse_type
from mlops_workbench.notebooks.parameters.bounds import NO_BOUNDS, Bounds
from mlops_workbench.notebooks.parameters.inject import check_variable
from mlops_workbench.notebooks.parameters.types import ParameterType, choice_type, type_of_value
from mlops_workbench.pipelines.definition.nouns import ParamSpec
from mlops_workbench.pipelines.definition.yaml_nodes import YamlNode

_PARAM = ("type", "default", "help", "min", "max", "choices", "secret")
#: Types to propose; all annotations of `ParameterType` are read.
_TYPES = (
    "int", "float", "str", "bool", "date", "datetime", "time", "timedelta", "Decimal", "bytes", "choice", "path",
    "list[int]", "dict[str, float]", 'Literal["a", "b"]', "str | None",
)  # fmt: skip
_ORDERED = ("int", "float", "decimal", "date", "datetime", "time", "timedelta")
#: What says that every value is allowed.
_ANY = re.compile(r"\b(?:Any|any|object)\b")


def named(node: YamlNode, kind: str, name: str) -> str:
    """Return the name, checked; the error has the place of the node."""
    try:
        return check_name(kind, name)
    except InvalidInput as error:
        raise node.error(error.message, error.hint) from error


def variable(node: YamlNode, kind: str, name: str) -> str:
    """Return the name of a variable, checked; the error has the place of the node."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise node.error(
            f"'{name}' cannot be the name of {kind}", "it becomes a variable of the notebook: use a Python name"
        )
    return name


def read_param(name: str, node: YamlNode) -> ParamSpec:
    """Read a parameter of a pipeline.

    Raises
    ------
    SpecError
        It is wrong.
    """
    variable(node, "a parameter", name)
    if not node.is_mapping:
        value = node.value()
        return ParamSpec(name, _type_of_default(name, node, value), False, value, line=node.line)
    entries = node.record(f"parameter '{name}'", _PARAM)
    text = entries["help"].text("help") if "help" in entries else ""
    if "secret" in entries:
        return ParamSpec(name, ParameterType("str"), False, None, text, _secret(name, entries), node.line)
    param = ParamSpec(name, _type(name, node, entries), "default" not in entries, None, text, line=node.line)
    if param.required:
        return param
    default = entries["default"]
    if default.empty:
        return replace(param, type=replace(param.type, optional=True))
    try:
        return replace(param, default=param.convert(default.value()))
    except InvalidInput as error:
        raise default.error(f"default of {error.message}", error.hint) from error


def _secret(name: str, entries: dict[str, YamlNode]) -> str:
    for key in entries:
        if key not in ("secret", "help", "type"):
            raise entries[key].error(
                f"parameter '{name}' is a secret and cannot have '{key}'", "its value comes from the environment only"
            )
    if "type" in entries and entries["type"].value() != "str":
        raise entries["type"].error(f"parameter '{name}' is a secret, which is always of type str", "remove 'type'")
    try:
        return check_variable(entries["secret"].text("secret"))
    except SpecError:
        raise
    except InvalidInput as error:
        raise entries["secret"].error(error.message, error.hint) from error


def _type(name: str, node: YamlNode, entries: dict[str, YamlNode]) -> ParameterType:
    if "type" in entries and entries["type"].value() != "choice":
        kind: ParameterType | None = _declared(entries["type"])
    elif "choices" in entries:
        kind = None
    elif "type" in entries:
        raise entries["type"].error(f"parameter '{name}' lacks 'choices'", "add 'choices: [a, b]'")
    elif "default" in entries:
        kind = _type_of_default(name, entries["default"], entries["default"].value())
    else:
        raise node.error(f"parameter '{name}' has neither type nor default", "add 'type: int', for example")
    if "choices" in entries:
        return _choices(kind, entries["choices"])
    if kind is None:
        raise node.error(f"parameter '{name}' has no type", "add 'type: int', for example")
    return _bounded(kind, entries)


def _declared(node: YamlNode) -> ParameterType:
    text = node.text("type")
    try:
        kind = parse_type(text)
    except InvalidInput:
        kind = ParameterType("any")
    unknown = any(part.kind == "any" and not part.optional for part in kind.all())
    if unknown and not _ANY.search(text):
        raise node.error(f"unknown type '{text}'", f"use one of {', '.join(_TYPES)}")
    return kind


def _type_of_default(name: str, node: YamlNode, value: object) -> ParameterType:
    kind = type_of_value(value)
    if kind.kind == "any" and not kind.optional:
        raise node.error(f"cannot infer the type of '{name}' from its default", f"write {name}: {{type: int}}")
    return kind


def _choices(kind: ParameterType | None, node: YamlNode) -> ParameterType:
    found: list[object] = []
    for item in node.items("choices"):
        value = item.value()
        if isinstance(value, (list, dict, set)):
            raise item.error(f"a choice cannot be {item.kind}", "write texts, numbers or dates")
        try:
            found.append(value if kind is None else kind.convert(value))
        except InvalidInput as error:
            raise item.error(f"a choice: {error.message}", error.hint) from error
    if not found:
        raise node.error("there are no choices", "add 'choices: [a, b]'")
    return choice_type(tuple(found))


def _bounded(kind: ParameterType, entries: dict[str, YamlNode]) -> ParameterType:
    """The type with `min` and `max`, which are bounds of the value or of every item of a list."""
    given = {key: entries[key] for key in ("min", "max") if key in entries}
    if not given:
        return kind
    several = kind.kind in ("list", "set", "frozenset") and bool(kind.items)
    item = kind.items[0] if several else kind
    if item.kind not in _ORDERED:
        raise next(iter(given.values())).error(f"type {kind} cannot have bounds", "remove 'min' and 'max'")
    bounds = {key: _bound(item, node) for key, node in given.items()}
    bounded = replace(item, bounds=item.bounds | Bounds(minimum=bounds.get("min"), maximum=bounds.get("max")))
    if len(bounds) == 2 and bounded.bounds.problem(bounds["min"]):
        raise given["max"].error("'max' is less than 'min'", "exchange them")
    return replace(kind, items=(bounded,)) if several else bounded


def _bound(kind: ParameterType, node: YamlNode) -> object:
    value = node.value()
    if kind.kind in ("int", "float"):
        # A bound of whole numbers may lie between two of them.
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
    else:
        with contextlib.suppress(InvalidInput):
            return replace(kind, optional=False, bounds=NO_BOUNDS).convert(value)
    raise node.error(f"a bound of type {kind} cannot be {node.kind}", f"write a value of type {kind}")
