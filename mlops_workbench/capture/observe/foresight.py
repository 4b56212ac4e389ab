"""Prediction of the models that a cell will fit, from its source and the namespace."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from types import FunctionType, MethodType, ModuleType
from typing import Any

from mlops_workbench.capture.observe.estimators import final_estimator, is_fitted_result, is_model, is_model_class
from mlops_workbench.capture.observe.loops import candidates
from mlops_workbench.capture.observe.networks import trainer_of
from mlops_workbench.capture.observe.own_functions import own_function, own_method, reached_codes, used_objects
from mlops_workbench.capture.observe.scope import Loop, Names, Placed, code_of, placed
from mlops_workbench.notebooks.source import called_name, root_name

_FITS = {"fit", "fit_transform", "fit_predict", "partial_fit", "train", "fit_generator", "fit_resample"}
_CROSS = {"cross_val_score", "cross_validate", "cross_val_predict"}
_TRAINERS = ("xgboost", "lightgbm", "catboost")
_COPIES = {"clone", "deepcopy", "copy"}
_PIPELINES = {"make_pipeline", "Pipeline", "make_imb_pipeline"}
#: Packages of scikit-learn whose classes predict, for classes that are not imported yet.
_PREDICTING = {
    *("ensemble", "linear_model", "svm", "tree", "neighbors", "naive_bayes", "neural_network", "gaussian_process"),
    *("cluster", "mixture", "discriminant_analysis", "dummy", "isotonic", "kernel_ridge", "cross_decomposition"),
    *("semi_supervised", "calibration", "multiclass", "multioutput", "covariance"),
}
_NAMED_LIKE_MODELS = ("Classifier", "Regressor", "Ranker", "SearchCV", "Sequential", "CatBoost", "OLS", "Logit")
_MAX_DEPTH = 12


def foreseen_models(tree: ast.Module | None, names: Names) -> list[str]:
    """Return the classes of the models that a cell will fit, in source order, each once.

    A fit is a call of ``fit`` or a similar method of a model (not of a transformer), a cross-validation, a training
    loop, or a call of a user function that does one of these. Nothing is called and nothing imported.

    Parameters
    ----------
    tree : ast.Module or None
        The cell.
    names : mapping
        The namespace before it runs.
    """
    if tree is None:
        return []
    scope = _Scope(names)
    return list(dict.fromkeys(scope.read(code_of(tree))))


class _Scope:
    """Reader of the statements of a cell, or of a function that it defines."""

    def __init__(
        self, names: Names, arguments: Mapping[str, list[str]] | None = None, outer: _Scope | None = None
    ) -> None:
        self._names = names
        # Models passed as arguments of a function.
        self._arguments = dict(arguments or {})
        self._assigned: dict[str, ast.expr] = dict(outer._assigned) if outer else {}
        self._imported: dict[str, tuple[str, str]] = dict(outer._imported) if outer else {}
        self._defined: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = dict(outer._defined) if outer else {}
        self._depth = outer._depth + 1 if outer else 0

    def read(self, body: Sequence[Placed]) -> list[str]:
        found: list[str] = []
        called: set[str] = set()
        networks: list[str] = []
        for here in body:
            statement = here.statement
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                self._import(statement)
            elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._defined[statement.name] = statement
                continue
            for call, loops in here.calls:
                called.add(called_name(call))
                found += self._fitted(call, loops)
                networks += self._network(call)
            for target, value in here.assigned:
                if isinstance(target, ast.Name):
                    self._assigned[target.id] = value
        if {"backward", "step"} <= called:
            found.append(networks[0] if networks else "training")
        return found

    def _fitted(self, call: ast.Call, loops: tuple[Loop, ...]) -> list[str]:
        name, function = called_name(call), call.func
        if isinstance(function, ast.Attribute) and name in _FITS:
            if networks := self._trained(call, loops):
                return networks
            learners = self.learners(function.value, loops)
            if learners or not self._trains(function):
                return learners
        if name in _CROSS:
            given = next((word.value for word in call.keywords if word.arg == "estimator"), None)
            given = call.args[0] if given is None and call.args else given
            return self.learners(given, loops) if given is not None else []
        if name == "train" and self._trains(function):
            return [str(self._origin(function)).partition(".")[0]]
        return self._fitted_by_own(call, loops)

    def _fitted_by_own(self, call: ast.Call, loops: tuple[Loop, ...]) -> list[str]:
        """Return the models that a called user function fits."""
        if isinstance(call.func, ast.Name) and call.func.id in self._defined and self._depth < 4:
            definition = self._defined[call.func.id]
            words = [argument.arg for argument in (*definition.args.posonlyargs, *definition.args.args)]
            given = dict(zip(words, call.args, strict=False))
            given.update({word.arg: word.value for word in call.keywords if word.arg})
            models = {name: self.learners(value, loops) for name, value in given.items()}
            return _Scope(self._names, models, self).read(placed(definition.body))
        found = next(iter(candidates(call.func, self._names, loops)), None)
        function = own_function(found) or own_method(call.func, self._names)
        if function is None and isinstance(found, type):
            return []
        if function is None or not _fits_something(function):
            return []
        given = [part for part in (*call.args, *(word.value for word in call.keywords))]
        named = [learner for part in given for learner in self.learners(part, loops)]
        named = named or _models_within(function)
        return named or ([function.__name__] if _predicts_too(function) else [])

    def learners(self, node: ast.expr, loops: tuple[Loop, ...] = (), depth: int = 0) -> list[str]:
        """Return the classes of the models that are values of an expression."""
        if depth > _MAX_DEPTH:
            return []
        if isinstance(node, ast.Name):
            return self._named(node, loops, depth)
        if isinstance(node, ast.Call):
            return self._made(node, loops, depth)
        if isinstance(node, ast.Subscript):
            value = self._assigned.get(root_name(node))
            if isinstance(value, (ast.Dict, ast.List, ast.Tuple)):
                return self._among(value, loops, depth)
        if isinstance(node, ast.IfExp):
            return self.learners(node.body, loops, depth + 1) or self.learners(node.orelse, loops, depth + 1)
        if isinstance(node, (ast.NamedExpr, ast.Await)):
            return self.learners(node.value, loops, depth + 1)
        return _classes(candidates(node, self._names, loops))

    def _named(self, node: ast.Name, loops: tuple[Loop, ...], depth: int) -> list[str]:
        for i in range(len(loops) - 1, -1, -1):
            target, iterable = loops[i]
            if any(isinstance(part, ast.Name) and part.id == node.id for part in ast.walk(target)):
                return self._among(iterable, loops[:i], depth) or _classes(candidates(node, self._names, loops))
        if node.id in self._arguments:
            return self._arguments[node.id]
        if node.id in self._assigned:
            value = self._assigned[node.id]
            if isinstance(value, ast.Name) and value.id == node.id:
                return _classes(candidates(node, self._names, loops))
            return self.learners(value, loops, depth + 1)
        return _classes(candidates(node, self._names, loops))

    def _among(self, node: ast.expr, loops: tuple[Loop, ...], depth: int) -> list[str]:
        """Return the models in a collection that the cell creates."""
        if depth > _MAX_DEPTH:
            return []
        if isinstance(node, ast.Name) and node.id in self._assigned:
            return self._among(self._assigned[node.id], loops, depth + 1)
        if isinstance(node, ast.Dict):
            return [found for part in node.values for found in self._among(part, loops, depth + 1)]
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return [found for part in node.elts for found in self._among(part, loops, depth + 1)]
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("items", "values")
        ):
            return self._among(node.func.value, loops, depth + 1)
        if isinstance(node, ast.Call) and called_name(node) in ("zip", "enumerate", "list", "tqdm", "dict"):
            parts = (*node.args, *(word.value for word in node.keywords))
            return [found for part in parts for found in self._among(part, loops, depth + 1)]
        return self.learners(node, loops, depth + 1)

    def _made(self, call: ast.Call, loops: tuple[Loop, ...], depth: int) -> list[str]:
        name, function = called_name(call), call.func
        if name in _PIPELINES:
            return self._last_step(call, loops, depth)
        if name in _COPIES and call.args:
            return self.learners(call.args[0], loops, depth + 1)
        if isinstance(function, ast.Attribute) and name in _FITS | {"set_params", "to", "cuda", "compile"}:
            return self.learners(function.value, loops, depth + 1)
        value = next(iter(candidates(function, self._names, loops)), None)
        if value is None or (isinstance(function, ast.Name) and function.id in self._imported):
            return self._foreign(function)
        if isinstance(value, type):
            return [value.__name__] if is_model_class(value) or _is_statistical(value) else []
        # ``smf.ols`` is a method of the class OLS.
        made = value.__self__ if isinstance(value, MethodType) else None
        if isinstance(made, type):
            return [made.__name__] if is_model_class(made) or _is_statistical(made) else []
        own = own_function(value)
        return _models_within(own)[:1] if own is not None else []

    def _last_step(self, call: ast.Call, loops: tuple[Loop, ...], depth: int) -> list[str]:
        if called_name(call) == "Pipeline":
            steps = call.args[0] if call.args else next((w.value for w in call.keywords if w.arg == "steps"), None)
            if isinstance(steps, ast.Name):
                steps = self._assigned.get(steps.id)
            parts = steps.elts if isinstance(steps, (ast.List, ast.Tuple)) else []
            last = parts[-1] if parts else None
            last = last.elts[-1] if isinstance(last, ast.Tuple) and last.elts else None
        else:
            last = call.args[-1] if call.args else None
            last = None if isinstance(last, ast.Starred) else last
        return self.learners(last, loops, depth + 1) if last is not None else []

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for alias in statement.names:
            if isinstance(statement, ast.ImportFrom):
                self._imported[alias.asname or alias.name] = (statement.module or "", alias.name)
            else:
                bound = alias.asname or alias.name.partition(".")[0]
                self._imported[bound] = (alias.name if alias.asname else bound, "")

    def _origin(self, function: ast.expr) -> str:
        """Return the dotted name of an imported or existing object; empty when unknown."""
        if isinstance(function, ast.Attribute):
            owner = self._origin(function.value)
            return f"{owner}.{function.attr}" if owner else ""
        if not isinstance(function, ast.Name):
            return ""
        if function.id in self._imported:
            return ".".join(part for part in self._imported[function.id] if part)
        value = self._names.get(function.id)
        if isinstance(value, ModuleType):
            return value.__name__
        return f"{value.__module__}.{value.__name__}" if isinstance(value, type | FunctionType) else ""

    def _foreign(self, function: ast.expr) -> list[str]:
        """Return the class that the cell imports if it is a model, judging by its name if it is not loaded."""
        module, _, name = self._origin(function).rpartition(".")
        if not module:
            return []
        value = getattr(sys.modules.get(module), name, None)
        if value is not None:
            return [name] if is_model_class(value) or _is_statistical(value) else []
        parts = module.split(".")
        named = name.endswith(_NAMED_LIKE_MODELS)
        within = len(parts) > 1 and parts[0] == "sklearn" and parts[1] in _PREDICTING and name[:1].isupper()
        return [name] if named or (within and not name.endswith(("Transformer", "Embedding"))) else []

    def _trains(self, function: ast.expr) -> bool:
        """Whether it is ``xgboost.train`` or a similar function."""
        origin = self._origin(function)
        return origin.startswith(_TRAINERS) and origin.endswith(".train")

    def _trained(self, call: ast.Call, loops: tuple[Loop, ...]) -> list[str]:
        """Return the network passed to a trainer: ``trainer.fit(network, data)``."""
        if (given := trainer_of(call, self._names, loops)) is not None:
            return [type(given[1]).__name__]
        node = call.args[0] if call.args else None
        made = self._assigned.get(node.id) if isinstance(node, ast.Name) else node
        if isinstance(made, ast.Call):
            kind = next(iter(candidates(made.func, self._names)), None)
            if isinstance(kind, type) and hasattr(kind, "state_dict") and hasattr(kind, "forward"):
                return [kind.__name__]
        return []

    def _network(self, call: ast.Call) -> list[str]:
        if not isinstance(call.func, ast.Name):
            return []
        value = self._names.get(call.func.id)
        if hasattr(type(value), "forward") and hasattr(type(value), "state_dict"):
            return [type(value).__name__]
        made = self._assigned.get(call.func.id)
        made = (
            made.func.value
            if isinstance(made, ast.Call) and called_name(made) == "to" and isinstance(made.func, ast.Attribute)
            else made
        )
        return [called_name(made)] if isinstance(made, ast.Call) and called_name(made)[:1].isupper() else []


def _classes(values: list[Any]) -> list[str]:
    """Return the classes of the models among values; of a pipeline that of its last step."""
    found = []
    for value in values:
        if is_model(value):
            kind = type(value) if "SearchCV" in type(value).__name__ else type(final_estimator(value))
            found.append(kind.__name__)
        elif not isinstance(value, type) and (is_fitted_result(value) or _is_statistical(type(value))):
            found.append(type(value).__name__)
    return found


def _is_statistical(kind: type) -> bool:
    """Whether it is a model class like those of statsmodels: it has ``fit``, but no settings."""
    return callable(getattr(kind, "fit", None)) and hasattr(kind, "predict") and not hasattr(kind, "get_params")


def _fits_something(function: FunctionType) -> bool:
    for code, _ in reached_codes(function):
        used = set(code.co_names)
        if used & (_FITS | _CROSS) or {"backward", "step"} <= used:
            return True
    return False


def _models_within(function: FunctionType) -> list[str]:
    """Return the model classes and models in the globals of a function's code."""
    found: list[str] = []
    for code, scope in reached_codes(function):
        loaded, within = used_objects(code, scope)
        found += [value.__name__ for value in (*loaded, *within) if is_model_class(value)]
        found += _classes(loaded)
    return list(dict.fromkeys(found))


def _predicts_too(function: FunctionType) -> bool:
    """Whether a function also predicts, scores, or trains in steps."""
    for code, _ in reached_codes(function):
        used = set(code.co_names)
        if used & {"predict", "predict_proba", "score", "evaluate"} or {"backward", "step"} <= used:
            return True
    return False
