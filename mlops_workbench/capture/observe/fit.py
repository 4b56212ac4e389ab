"""Calls of ``fit`` in a cell: which model, on which data."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from mlops_workbench.capture.observe.estimators import is_estimator
from mlops_workbench.capture.observe.scope import Names, assignments, expressions, resolve, statements
from mlops_workbench.capture.schema import is_frame, is_table

_FITS = {"fit", "fit_transform", "fit_predict", "partial_fit"}


@dataclass(frozen=True)
class NamedData:
    """Data and the expression it was given as."""

    name: str
    value: Any


@dataclass(frozen=True)
class CellFit:
    """A model that was fitted: its variable, the model, and the data as far as it can be told."""

    name: str
    model: Any
    X: NamedData | None
    y: NamedData | None


def cell_fits(tree: ast.Module | None, names: Names) -> list[CellFit]:
    """Fits of estimators in the cell's own scope, in order; the last one of each model.

    The model is the receiver of the call (``model.fit(X, y)``) or the variable that its result was assigned
    to (``model = LinearRegression().fit(X, y)``). The data is looked up after the cell ran: names, columns
    selected from a DataFrame, and ``drop``; nothing else is evaluated.
    """
    found: dict[int, CellFit] = {}
    for statement in statements(tree):
        targets = [(target, value) for target, value in assignments(statement) if isinstance(target, ast.Name)]
        for node in expressions(statement):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FITS):
                continue
            name, model = ast.unparse(node.func.value), resolve(node.func.value, names)
            if model is None and node.func.attr in ("fit", "partial_fit"):
                assigned = [target for target, value in targets if value is node]
                if assigned:
                    name, model = assigned[0].id, names.get(assigned[0].id)
            if is_estimator(model):
                found.pop(id(model), None)
                found[id(model)] = CellFit(name, model, _argument(node, 0, "X", names), _argument(node, 1, "y", names))
    return list(found.values())


def _argument(call: ast.Call, place: int, keyword: str, names: Names) -> NamedData | None:
    node = next((item.value for item in call.keywords if item.arg == keyword), None)
    if node is None and len(call.args) > place and not any(isinstance(a, ast.Starred) for a in call.args[: place + 1]):
        node = call.args[place]
    if node is None:
        return None
    value = _data(node, names)
    return NamedData(ast.unparse(node), value) if is_table(value) or isinstance(value, list) else None


def _data(node: ast.expr, names: Names) -> Any:
    value = resolve(node, names)
    if value is not None:
        return value
    try:
        if isinstance(node, ast.Subscript) and is_frame(frame := _data(node.value, names)):
            return frame[_literal(node.slice, names)]
        if isinstance(node, ast.Attribute) and node.attr == "values":
            return _data(node.value, names)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = _data(node.func.value, names)
            if node.func.attr in ("to_numpy", "ravel") and is_table(owner):
                return owner
            if node.func.attr == "drop" and is_frame(owner):
                words = {item.arg: _literal(item.value, names) for item in node.keywords if item.arg == "columns"}
                return owner.drop(*(_literal(item, names) for item in node.args), **words)
    except (ValueError, TypeError, LookupError, SyntaxError):
        # A column that is gone by now, or an argument that is no literal: the data stays unknown.
        return None
    return None


def _literal(node: ast.expr, names: Names) -> Any:
    value = resolve(node, names) if isinstance(node, ast.Name) else ast.literal_eval(node)
    if not isinstance(value, str | int | list | tuple) or (
        isinstance(value, list | tuple) and not all(isinstance(item, str | int) for item in value)
    ):
        raise ValueError("not a choice of columns")
    return value
