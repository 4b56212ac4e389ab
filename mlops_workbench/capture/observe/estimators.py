"""Recognition of estimators and models, and those that a cell built."""

from __future__ import annotations

import ast
import sys
from typing import Any

from mlops_workbench.capture.observe.scope import Before, Names, code_of, is_new
from mlops_workbench.core.members import has, is_a, own


def is_estimator(value: Any) -> bool:
    """Whether it has settings and can be fitted, like estimators of scikit-learn."""
    if value is None or is_a(value, type):
        return False
    base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
    if base is not None and is_a(value, base):
        return True
    kind = type(value)
    return _method(kind, "get_params") and _method(kind, "fit")


def is_model(value: Any) -> bool:
    """Whether it can be fitted and predicts, in any library; a transformer does not."""
    if value is None or is_a(value, type):
        return False
    kind = type(value)
    if is_fitted_result(value):
        return True
    if _predicts(kind) and _method(kind, "fit"):
        # The methods of a pipeline or a search depend on the estimator in it.
        inner = final_estimator(value)
        return True if inner is value else _predicts(type(inner))
    return False


def is_model_class(value: Any) -> bool:
    """Whether it is a class whose instances can be fitted and predict."""
    return isinstance(value, type) and _predicts(value) and _method(value, "fit")


def is_fitted_result(value: Any) -> bool:
    """Whether it is the result of another object's ``fit`` or of ``train``: it predicts but cannot be fitted."""
    kind = type(value)
    root = kind.__module__.partition(".")[0]
    # Results of statsmodels are wrapped: only instances have the methods.
    return root in ("statsmodels", "xgboost", "lightgbm", "catboost", "linearmodels") and hasattr(value, "predict")


def final_estimator(value: Any) -> Any:
    """Return the last step of a pipeline or the estimator in a search; other objects unchanged."""
    for _ in range(8):
        steps = own(value).get("steps")
        inner = own(value).get("estimator") if has(value, "get_params") else None
        if isinstance(steps, list) and steps and isinstance(steps[-1], tuple) and len(steps[-1]) == 2:
            value = steps[-1][1]
        elif _is_search(value) and inner is not None:
            value = inner
        else:
            break
    return value


def is_search(value: Any) -> bool:
    """Whether it is a fitted search with candidates, such as ``GridSearchCV``."""
    return is_estimator(value) and type(own(value).get("cv_results_")) is dict


#: What to do about an object that cannot be registered.
LACKING_HINT = "fit a model that predicts, for example the search with refit=True, or pass another object to log_model"


def lacks_model(value: Any) -> str:
    """Why a fitted object cannot be registered as a model, empty if it can."""
    if _is_search(value) and own(value).get("refit") is False:
        return f"{type(value).__name__} was made with refit=False, so it has no fitted model"
    return "" if is_model(value) else f"{type(value).__name__} has no method predict"


def is_fitted(value: Any) -> bool:
    """Whether an estimator is fitted: it, or a step of it, has attributes with a trailing underscore."""
    attributes = own(value)
    if any(name.endswith("_") and not name.endswith("__") for name in attributes):
        return True
    steps = attributes.get("steps")
    return isinstance(steps, list) and any(isinstance(step, tuple) and is_fitted(step[-1]) for step in steps)


def built_estimators(tree: ast.Module | None, names: Names, before: Before | None = None) -> list[tuple[str, Any]]:
    """Return the new estimators in variables that the cell assigned, in source order.

    Estimators in a list or dict are named by their key: ``models['forest']``.
    """
    before = before or Before()
    found: dict[str, Any] = {}
    for here in code_of(tree):
        for target, _ in here.assigned:
            for node in ast.walk(target):
                if not isinstance(node, ast.Name):
                    continue
                if is_new(node.id, names, before) and (isinstance(node.ctx, ast.Store) or node.id in before.items):
                    found.update(_estimators_in(node.id, names[node.id]))
                elif type(value := names.get(node.id)) is dict:
                    known = before.items.get(node.id, {})
                    fresh = {key: item for key, item in value.items() if known.get(key) != id(item)}
                    found.update(_estimators_in(node.id, fresh))
    return list(found.items())


def outermost(estimators: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Remove estimators that are a part of another one (steps of a pipeline), and duplicates."""
    inside: set[int] = set()
    for _, estimator in estimators:
        if is_estimator(estimator):
            inside |= {id(part) for part in parts_of(estimator) if part is not estimator}
    seen: set[int] = set()
    kept = []
    for name, estimator in estimators:
        if id(estimator) not in inside and id(estimator) not in seen:
            seen.add(id(estimator))
            kept.append((name, estimator))
    return kept


def own_params(estimator: Any) -> dict[str, Any]:
    """Return ``get_params()`` of an estimator, or an empty dict if it fails."""
    try:
        found = estimator.get_params(deep=True)
        return {name: value for name, value in found.items() if type(name) is str}
    except Exception:  # noqa: BLE001 code of the user
        return {}


def is_part(value: Any) -> bool:
    """Whether a setting of an estimator is an estimator itself."""
    return has(value, "get_params") and not is_a(value, type)


def parts_of(estimator: Any) -> list[Any]:
    """Return an estimator, the estimators among its settings, and the best one of a search."""
    parts = [estimator]
    parts += [value for value in own_params(estimator).values() if is_part(value)]
    best = own(estimator).get("best_estimator_")
    return [*parts, best] if best is not None else parts


def _estimators_in(name: str, value: Any) -> dict[str, Any]:
    if is_estimator(value):
        return {name: value}
    items: list[tuple[Any, Any]] = []
    if type(value) is dict and len(value) <= 100:
        items = list(value.items())
    elif type(value) in (list, tuple) and len(value) <= 100:
        items = list(enumerate(value))
    found = {f"{name}[{key!r}]": item for key, item in items if is_estimator(item)}
    for key, item in items:
        # ``models = [("forest", RandomForestClassifier()), ...]``
        if type(item) is tuple and len(item) == 2 and isinstance(item[0], str) and is_estimator(item[1]):
            found[f"{name}[{key!r}][1]"] = item[1]
    return found


def _predicts(kind: type) -> bool:
    return hasattr(kind, "predict") or hasattr(kind, "fit_predict")


def _method(kind: type, name: str) -> bool:
    return callable(getattr(kind, name, None))


def _is_search(value: Any) -> bool:
    return hasattr(type(value), "best_score_") or "SearchCV" in type(value).__name__
