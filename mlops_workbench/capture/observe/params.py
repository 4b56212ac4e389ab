"""Parameters of a cell: literals that it assigns to names and configurations."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from mlops_workbench.capture.observe.literals import bounded, literal
from mlops_workbench.capture.observe.scope import Names, Placed, code_of
from mlops_workbench.notebooks.source import called_name

_LOGGING = ("log_param", "log_params")


def literal_params(tree: ast.Module | None) -> dict[str, Any]:
    """Return the names that the cell assigns once, to a literal at its top level.

    Names that are assigned again, incremented or used as a loop variable are excluded, as are empty containers and
    names with a leading underscore. Literals in the body
    of a class without methods (``class Config: lr = 0.1``) are named ``Config.lr``.
    """
    if tree is None:
        return {}
    top = set(map(id, tree.body))
    found: dict[str, Any] = {}
    reassigned: set[str] = set()
    for here in code_of(tree):
        statement = here.statement
        literals: dict[str, Any] = {}
        if id(statement) in top:
            for target, value in here.assigned:
                if isinstance(target, ast.Name):
                    literals.update(_literal(target.id, value))
                elif isinstance(target, ast.Subscript):
                    _change_item(found, target, value)
            if isinstance(statement, ast.ClassDef):
                found.update(_class_settings(statement))
        reassigned |= here.bound - literals.keys()
        found.update(literals)
    return {name: bounded(value) for name, value in found.items() if name not in reassigned}


def attribute_params(tree: ast.Module | None, names: Names) -> dict[str, Any]:
    """Return the literals that the cell assigns to attributes of configurations: ``cfg.lr = 0.1``.

    A configuration is a namespace, an attribute dict, a dataclass or similar, or an object or class of the
    notebook, but not an object of a library such as axes or a table.
    """
    if tree is None:
        return {}
    found: dict[str, Any] = {}
    top = set(map(id, tree.body))
    for here in code_of(tree):
        for target, value in here.assigned if id(here.statement) in top else ():
            private = isinstance(target, ast.Attribute) and target.attr.startswith("_")
            if isinstance(target, ast.Attribute) and not private and _is_configuration(_owner(target.value, names)):
                found.update(_literal(ast.unparse(target), value))
    return {name: bounded(value) for name, value in found.items()}


def logged_names(tree: ast.Module | None) -> set[str]:
    """Return the names that the source of the cell logs as parameters."""
    names: set[str] = set()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and called_name(node) in _LOGGING:
            names |= {keyword.arg for keyword in node.keywords if keyword.arg}
            for argument in node.args[:1]:
                parts = argument.keys if isinstance(argument, ast.Dict) else [argument]
                names |= {
                    part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return names


def _literal(name: str, node: ast.expr) -> dict[str, Any]:
    if name.startswith("_"):
        return {}
    try:
        value = literal(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return {}
    return {name: value} if value or not isinstance(value, list | dict | set | tuple) else {}


def _change_item(found: dict[str, Any], target: ast.Subscript, node: ast.expr) -> None:
    """Apply ``params["lr"] = 0.1`` to ``params = {...}`` of the same cell."""
    owner = found.get(target.value.id) if isinstance(target.value, ast.Name) else None
    if not isinstance(owner, dict) or not isinstance(target.slice, ast.Constant):
        return
    assert isinstance(target.value, ast.Name)
    try:
        found[target.value.id] = {**owner, target.slice.value: literal(node)}
    except (ValueError, TypeError, MemoryError, RecursionError):
        # The value is not a literal any more.
        del found[target.value.id]


def _class_settings(definition: ast.ClassDef) -> dict[str, Any]:
    if any(isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for part in definition.body):
        return {}
    found: dict[str, Any] = {}
    for statement in definition.body:
        for target, value in Placed(statement).assigned:
            if isinstance(target, ast.Name):
                found.update(_literal(target.id, value))
    return {f"{definition.name}.{name}": value for name, value in found.items()}


def _owner(node: ast.expr, names: Names) -> Any:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _owner(node.value, names)
        if _is_configuration(owner):
            attributes = owner if isinstance(owner, Mapping) else getattr(owner, "__dict__", {})
            return attributes.get(node.attr)
    return None


def _is_configuration(value: Any) -> bool:
    if value is None or isinstance(value, ModuleType):
        return False
    kind = value if isinstance(value, type) else type(value)
    fields = ("__dataclass_fields__", "__attrs_attrs__", "model_fields", "__struct_fields__")
    return (
        isinstance(value, Mapping | SimpleNamespace)
        or kind.__module__ in ("__main__", "argparse")
        or any(name in vars(base) for base in kind.__mro__ for name in fields)
    )
