"""Estimators that a cell built or fitted."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from typing import Any

from mlops_workbench.capture.observe.scope import Names, assignments, is_new, statements


def is_estimator(value: Any) -> bool:
    """Whether it is an instance of a scikit-learn estimator; False as long as nobody imported scikit-learn."""
    base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
    return base is not None and isinstance(value, base)


def built_estimators(
    tree: ast.Module | None, names: Names, before: Mapping[str, int] | None = None
) -> list[tuple[str, Any]]:
    """Variables that the cell assigned and that hold a new estimator, in the order of the source."""
    found: dict[str, Any] = {}
    for statement in statements(tree):
        for target, _ in assignments(statement):
            for node in ast.walk(target):
                if (
                    isinstance(node, ast.Name)
                    and is_estimator(names.get(node.id))
                    and is_new(node.id, names, before or {})
                ):
                    found[node.id] = names[node.id]
    return list(found.items())


def outermost(estimators: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Leave out estimators that are a part of another one (steps of a pipeline), and second names of one."""
    inside: set[int] = set()
    for _, estimator in estimators:
        for part in estimator.get_params(deep=True).values():
            inside.add(id(part))
    seen: set[int] = set()
    kept = []
    for name, estimator in estimators:
        if id(estimator) not in inside and id(estimator) not in seen:
            seen.add(id(estimator))
            kept.append((name, estimator))
    return kept
