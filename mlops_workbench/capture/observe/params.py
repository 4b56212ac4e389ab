"""Parameters of a cell: literals that it assigns, and settings of the estimators in it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from typing import Any

from mlops_workbench.capture.encoding import plain
from mlops_workbench.capture.observe.scope import assignments, bound_names, statements

_LOGGING = ("log_param", "log_params")
_PLAIN = (bool, int, float, str)


def literal_params(tree: ast.Module | None) -> dict[str, Any]:
    """Names that the cell assigns a literal at its top level and nothing else anywhere in its scope.

    A name that is assigned again, counted up or used as a loop variable is a working variable, and so is an
    empty container: it is there to be filled. Names with a leading underscore are private.
    """
    if tree is None:
        return {}
    top = set(map(id, tree.body))
    found: dict[str, Any] = {}
    worked: set[str] = set()
    for statement in statements(tree):
        literals: dict[str, Any] = {}
        if id(statement) in top:
            for target, value in assignments(statement):
                if isinstance(target, ast.Name) and not target.id.startswith("_"):
                    try:
                        literal = ast.literal_eval(value)
                    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                        continue
                    if literal or not isinstance(literal, list | dict | set | tuple):
                        literals[target.id] = literal
        worked |= bound_names(statement) - literals.keys()
        found.update(literals)
    return {name: value for name, value in found.items() if name not in worked}


def logged_names(tree: ast.Module | None) -> set[str]:
    """Names that the cell itself logs as parameters, as far as its source tells."""
    names: set[str] = set()
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and _called(node) in _LOGGING:
            names |= {keyword.arg for keyword in node.keywords if keyword.arg}
            for argument in node.args[:1]:
                parts = argument.keys if isinstance(argument, ast.Dict) else [argument]
                names |= {
                    part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return names


def estimator_params(estimators: Iterable[tuple[str, Any]], taken: dict[str, Any]) -> dict[str, Any]:
    """``get_params()`` of estimators, with the variable's name in front when there are several.

    Parameters
    ----------
    estimators : iterable of (name, estimator)
        Variables of the cell.
    taken : dict
        Parameters known already. One that has the same name and another value keeps the name, and the
        estimator's is called ``variable.name``.

    Returns
    -------
    dict
        What differs from the class's default comes first.
    """
    estimators = list(estimators)
    changed: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for variable, estimator in estimators:
        own_defaults = _defaults(estimator)
        settings = _settings(estimator)
        # A search or a wrapper calls what it wraps 'estimator' too: the run's is the outer one, with the inner in it.
        inner = settings.pop("estimator", None)
        kind = type(estimator).__name__ if inner is None else f"{type(estimator).__name__}({inner})"
        for name, value in {"estimator": kind, **settings}.items():
            clash = name in taken and not _same(value, taken[name]) and plain(value) != taken[name]
            group = defaults if name in own_defaults and _same(value, own_defaults[name]) else changed
            group[f"{variable}.{name}" if clash or len(estimators) > 1 else name] = value
    return changed | defaults


def _settings(estimator: Any) -> dict[str, Any]:
    settings = {}
    for name, value in estimator.get_params(deep=True).items():
        if hasattr(value, "get_params"):
            settings[name] = type(value).__name__
        elif not _holds_estimators(value):
            settings[name] = value
    return settings


def _defaults(estimator: Any) -> dict[str, Any]:
    try:
        parameters = inspect.signature(type(estimator)).parameters
    except (TypeError, ValueError):
        return {}
    return {name: parameter.default for name, parameter in parameters.items()}


def _same(value: Any, default: Any) -> bool:
    # Arrays among settings do not compare to one truth value.
    return value is default or (type(value) is type(default) and isinstance(value, _PLAIN) and value == default)


def _holds_estimators(value: Any) -> bool:
    """Steps of a pipeline: their settings are listed on their own."""
    return isinstance(value, list | tuple) and any(
        hasattr(part, "get_params") for item in value if isinstance(item, list | tuple) for part in item
    )


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""
