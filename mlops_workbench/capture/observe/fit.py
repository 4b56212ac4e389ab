"""Calls of ``fit`` in a cell: which model, on which data."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from mlops_workbench.capture.observe.estimators import is_estimator
from mlops_workbench.capture.observe.scope import Names, assignments, expressions, resolve, statements
from mlops_workbench.capture.schema import is_array, is_frame, is_series, is_table

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
    and rows selected from a table, and ``drop``; nothing else is evaluated.
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
        if isinstance(node, ast.Subscript):
            return _selected(node, names)
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


def _selected(node: ast.Subscript, names: Names) -> Any:
    """Rows or columns of a table: ``df[:300]``, ``X[train, 1:]``, ``df.loc[mask]``."""
    owner = node.value
    if isinstance(owner, ast.Attribute) and owner.attr in ("loc", "iloc"):
        table = _data(owner.value, names)
        return getattr(table, owner.attr)[_place(node.slice, names)] if is_frame(table) or is_series(table) else None
    table = _data(owner, names)
    return table[_place(node.slice, names)] if is_table(table) else None


def _place(node: ast.expr, names: Names) -> Any:
    """Where in a table: labels, numbers, ranges of them, and masks or indices that have a name."""
    if isinstance(node, ast.Tuple):
        return tuple(_place(part, names) for part in node.elts)
    if isinstance(node, ast.Slice):
        return slice(*(part and _literal(part, names) for part in (node.lower, node.upper, node.step)))
    value = resolve(node, names)
    return value if is_array(value) or is_series(value) else _literal(node, names)


def _literal(node: ast.expr, names: Names) -> Any:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Name):
        negative = names.get(node.operand.id)
        value = -negative if isinstance(negative, int) else None
    else:
        value = resolve(node, names) if isinstance(node, ast.Name) else ast.literal_eval(node)
    if not isinstance(value, str | int | list | tuple) or (
        isinstance(value, list | tuple) and not all(isinstance(item, str | int) for item in value)
    ):
        raise ValueError("not a choice of columns")
    return value
