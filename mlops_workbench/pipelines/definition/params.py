"""The parameters of a pipeline spec, and the names in it."""

from __future__ import annotations

import datetime
import keyword

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.ids import check_name
from mlops_workbench.notebooks.parameters.types import ParameterType, parse_type, type_of_value
from mlops_workbench.pipelines.definition.nouns import ParamSpec
from mlops_workbench.pipelines.definition.yaml_nodes import YamlNode

_PARAM = ("type", "default", "help", "min", "max", "choices")
_TYPES = ("int", "float", "str", "bool", "date", "choice", "path", "list")


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
        kind = type_of_value(value)
        if value is None or not _allowed(kind):
            raise node.error(f"cannot infer the type of '{name}' from its default", f"write {name}: {{type: int}}")
        return ParamSpec(name, kind, False, value, line=node.line)
    entries = node.record(f"parameter '{name}'", _PARAM)
    kind = _type(name, node, entries)
    param = ParamSpec(
        name,
        kind,
        required="default" not in entries,
        default=None,
        minimum=_bound(kind, entries.get("min")),
        maximum=_bound(kind, entries.get("max")),
        help=entries["help"].text("help") if "help" in entries else "",
        line=node.line,
    )
    if param.required:
        return param
    try:
        default = param.convert(entries["default"].value())
    except InvalidInput as error:
        raise entries["default"].error(f"default of {error.message}", error.hint) from error
    return ParamSpec(name, kind, False, default, param.minimum, param.maximum, param.help, node.line)


def _type(name: str, node: YamlNode, entries: dict[str, YamlNode]) -> ParameterType:
    choices = tuple(item.value() for item in entries["choices"].items("choices")) if "choices" in entries else ()
    if "type" in entries:
        text = entries["type"].text("type")
        if text != "choice":
            try:
                kind = parse_type(text)
            except InvalidInput:
                kind = ParameterType("any")
            if not _allowed(kind):
                raise entries["type"].error(f"unknown type '{text}'", f"use one of {', '.join(_TYPES)}, list[int]")
        elif not choices:
            raise entries["type"].error(f"parameter '{name}' lacks 'choices'", "add 'choices: [a, b]'")
    elif "default" in entries:
        kind = type_of_value(entries["default"].value())
        if not choices and not _allowed(kind):
            raise entries["default"].error(f"cannot infer the type of '{name}' from its default", "add 'type: ...'")
    elif not choices:
        raise node.error(f"parameter '{name}' has neither type nor default", "add 'type: int', for example")
    return ParameterType("choice", choices=choices) if choices else kind


def _allowed(kind: ParameterType) -> bool:
    if kind.kind == "list":
        return all(_allowed(item) and item.kind != "list" for item in kind.items)
    return kind.kind in _TYPES and (kind.kind != "choice" or bool(kind.choices)) and not kind.optional


def _bound(kind: ParameterType, node: YamlNode | None) -> object:
    if node is None:
        return None
    item = kind.items[0] if kind.kind == "list" and kind.items else kind
    if item.kind not in ("int", "float", "date"):
        raise node.error(f"type {kind} cannot have bounds", "remove 'min' and 'max'")
    value = node.value()
    fits = isinstance(value, datetime.date) if item.kind == "date" else isinstance(value, (int, float))
    if not fits or isinstance(value, bool):
        raise node.error(f"a bound of type {kind} cannot be {node.kind}", f"write a value of type {item}")
    return value
