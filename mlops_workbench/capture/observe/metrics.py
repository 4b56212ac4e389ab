"""Metrics of a cell: numbers that it assigns from scikit-learn's metrics and scores."""

from __future__ import annotations

import ast
import numbers
from collections.abc import Mapping
from typing import Any

from mlops_workbench.capture.observe.estimators import is_estimator
from mlops_workbench.capture.observe.scope import Names, assignments, is_new, resolve, statements

#: Calls that leave a metric a metric.
_WRAPPERS = {"float", "int", "round", "abs", "sqrt", "mean", "item", "log", "exp", "nanmean", "median", "std"}


def observed_metrics(
    tree: ast.Module | None, names: Names, before: Mapping[str, int] | None = None
) -> dict[str, float | int]:
    """Names assigned from calls of ``sklearn.metrics`` or ``.score``, and from these by arithmetic.

    ``mae = mean_absolute_error(y, p)`` gives ``mae``; ``rmse = mse ** 0.5`` gives ``rmse`` if ``mse`` is one;
    ``scores["mae"] = ...`` and ``scores = {"mae": ...}`` give ``mae``. The function is recognised by what it
    is, under whatever name it was imported. Numbers that are only printed or displayed are not guessed at.

    Parameters
    ----------
    tree : ast.Module or None
        The cell.
    names : mapping
        The namespace after it ran.
    before : mapping, optional
        ``id`` of the values that names had before it ran. A name that still has its value was not reached
        (an ``if`` not taken, an error before it) and its value is an older run's.

    Returns
    -------
    dict
        Names to single numbers, in the order of the source.
    """
    before = before or {}
    found: dict[str, float | int] = {}
    known: set[str] = set()
    for statement in statements(tree):
        for target, value in assignments(statement):
            if isinstance(target, ast.Name) and _is_metric(value, names, known):
                known.add(target.id)
                if is_new(target.id, names, before):
                    _keep(found, target.id, names[target.id])
            elif isinstance(target, ast.Subscript) and _is_metric(value, names, known):
                key = _text_key(target.slice)
                if key:
                    _keep(found, key, resolve(target, names))
            elif isinstance(target, ast.Name) and isinstance(value, ast.Dict):
                owner = names.get(target.id) if is_new(target.id, names, before) else None
                for key_node, item in zip(value.keys, value.values, strict=True):
                    key = _text_key(key_node)
                    if key and isinstance(owner, dict) and _is_metric(item, names, known):
                        _keep(found, key, owner.get(key))
    return found


def _is_metric(node: ast.expr, names: Names, known: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in known
    if isinstance(node, ast.UnaryOp):
        return _is_metric(node.operand, names, known)
    if isinstance(node, ast.BinOp):
        return _is_metric(node.left, names, known) or _is_metric(node.right, names, known)
    if isinstance(node, ast.Await):
        return _is_metric(node.value, names, known)
    if not isinstance(node, ast.Call):
        return False
    if _is_metric_function(node.func, names):
        return True
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called not in _WRAPPERS:
        return False
    receiver = [node.func.value] if isinstance(node.func, ast.Attribute) else []
    return any(_is_metric(part, names, known) for part in (*receiver, *node.args))


def _is_metric_function(function: ast.expr, names: Names) -> bool:
    module = getattr(resolve(function, names), "__module__", None) or ""
    if module.startswith("sklearn.metrics"):
        return True
    if isinstance(function, ast.Attribute) and function.attr == "score":
        receiver = resolve(function.value, names)
        return is_estimator(receiver) if receiver is not None else _fits(function.value)
    return False


def _fits(node: ast.expr) -> bool:
    """Whether an expression ends in ``.fit(...)``, as in ``LinearRegression().fit(X, y).score(X, y)``."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "fit"


def _text_key(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _keep(found: dict[str, float | int], name: str, value: Any) -> None:
    if name.startswith("_") or isinstance(value, bool):
        return
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, numbers.Integral):
        found[name] = int(value)
    elif isinstance(value, numbers.Real):
        found[name] = float(value)
