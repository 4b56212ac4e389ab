"""Recognition of measurements: calls of metrics, scores and cross-validations, and values derived from them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable
from types import FunctionType
from typing import Any, Literal

from mlops_workbench.capture.observe.estimators import is_model
from mlops_workbench.capture.observe.loops import candidates
from mlops_workbench.capture.observe.own_functions import (
    definition,
    imported_within,
    named_globals,
    own_function,
    own_method,
    reached_codes,
    used_objects,
)
from mlops_workbench.capture.observe.scope import Loop, Names, Placed, placed
from mlops_workbench.notebooks.source import called_name, root_name

#: ``metric``: from a metric function or a score; ``folds``: from a cross-validation; ``own``: returned by a function
#: of the user, of which only floats are used; ``none``: certainly not a measurement.
Kind = Literal["metric", "folds", "own", "none"]

_METRICS = ("sklearn.metrics", "imblearn.metrics", "sksurv.metrics", "torchmetrics", "statsmodels.tools.eval_measures")
_SCORES = {"score", "evaluate"}
_FOLDS = {"cross_val_score", "cross_validate"}
#: Attributes of fitted models with results.
_RESULTS = {"best_score_", "oob_score_", "rsquared", "rsquared_adj", "aic", "bic", "llf", "prsquared", "best_score"}
#: Calls whose result is a measurement if an argument is one.
_WRAPPERS = {
    *("float", "int", "round", "abs", "sqrt", "mean", "item", "log", "exp", "nanmean", "median", "std", "nanstd"),
    *("min", "max", "sum", "array", "asarray", "list", "tuple", "dict", "Series", "DataFrame", "to_dict", "tolist"),
    *("get", "average", "negative", "absolute", "pop", "sorted", "var", "Decimal", "float64", "float32", "astype"),
}
_COMPREHENDED = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)


class Measures:
    """Recognizes measurements in a scope.

    Parameters
    ----------
    names : mapping
        Values of names.
    inside : bool, default=False
        Whether the scope is a function: its arguments are unknown, and objects with ``score`` may be models.

    Attributes
    ----------
    known : dict
        Names of measurements, added statement by statement.
    """

    def __init__(self, names: Names, *, inside: bool = False) -> None:
        self.names = names
        self.known: dict[str, Kind] = {}
        self._inside = inside
        self._returns: dict[FunctionType, list[ast.expr] | None] = {}
        self._scopes: dict[FunctionType, Measures] = {}

    def kind(self, node: ast.expr, loops: Iterable[Loop] = (), place: int | None = None) -> Kind | None:
        """Return the kind of measurement of an expression, or None.

        Parameters
        ----------
        node : ast.expr
            The expression.
        loops : iterable of Loop
            Loops around it.
        place : int, optional
            Index of a part of the value, when it is unpacked.
        """
        loops = tuple(loops)
        if isinstance(node, ast.Name):
            return self.known.get(node.id)
        if isinstance(node, ast.Subscript):
            return self.known.get(root_name(node)) or self.kind(node.value, loops)
        if isinstance(node, ast.Attribute):
            if node.attr in _RESULTS and self._model(node.value, loops):
                return "metric"
            return self.known.get(root_name(node)) if node.attr in ("values", "T") else None
        if isinstance(node, (ast.UnaryOp, ast.Await, ast.Starred)):
            inner = node.operand if isinstance(node, ast.UnaryOp) else node.value
            return None if isinstance(getattr(node, "op", None), ast.Not) else self.kind(inner, loops)
        if isinstance(node, ast.BinOp):
            return self.kind(node.left, loops) or self.kind(node.right, loops)
        if isinstance(node, ast.IfExp):
            return self.kind(node.body, loops) or self.kind(node.orelse, loops)
        if isinstance(node, ast.NamedExpr):
            return self.kind(node.value, loops)
        if isinstance(node, _COMPREHENDED):
            element = node.value if isinstance(node, ast.DictComp) else node.elt
            return self.kind(element, (*loops, *((part.target, part.iter) for part in node.generators)))
        if isinstance(node, (ast.List, ast.Tuple)):
            return next((kind for part in node.elts if (kind := self.kind(part, loops))), None)
        if isinstance(node, ast.Dict):
            return next((kind for part in node.values if (kind := self.kind(part, loops))), None)
        return self._call(node, loops, place) if isinstance(node, ast.Call) else None

    def learn(self, target: ast.expr, kind: Kind | None) -> None:
        """Record that a measurement was assigned to a target or put into a container."""
        if isinstance(target, ast.Name):
            if kind is None:
                self.known.pop(target.id, None)
            else:
                self.known[target.id] = kind
        elif kind is not None and (root := root_name(target)):
            self.known.setdefault(root, kind)

    def _call(self, node: ast.Call, loops: tuple[Loop, ...], place: int | None) -> Kind | None:
        kind = self._function(node, loops, place)
        if kind is not None:
            return None if kind == "none" else kind
        if called_name(node) not in _WRAPPERS:
            return None
        receiver = [node.func.value] if isinstance(node.func, ast.Attribute) else []
        parts = [*receiver, *node.args, *(word.value for word in node.keywords)]
        return next((kind for part in parts if (kind := self.kind(part, loops))), None)

    def _function(self, call: ast.Call, loops: tuple[Loop, ...], place: int | None) -> Kind | None:
        function = call.func
        if isinstance(function, ast.Call):
            # ``get_scorer("f1")(model, X, y)``
            return "metric" if self._function(function, loops, None) == "metric" else None
        for value in candidates(function, self.names, loops):
            while isinstance(value, functools.partial):
                value = value.func
            if kind := _library_kind(value):
                return kind
            if (own := own_function(value)) is not None:
                return self._own(own, place)
        scored = function.value if isinstance(function, ast.Attribute) and function.attr in _SCORES else None
        # The score of a model is a metric, also if its class is the user's.
        if scored is not None and self._model(scored, loops):
            return "metric"
        if (method := own_method(function, self.names)) is not None:
            return self._own(method, place)
        if scored is not None:
            unknown = self._inside and not candidates(scored, self.names, loops)
            return "metric" if unknown and len(call.args) + len(call.keywords) >= 2 else None
        return None

    def _model(self, node: ast.expr, loops: tuple[Loop, ...]) -> bool:
        """Whether an expression is a model, or ends in ``.fit(...)``."""
        if any(is_model(value) for value in candidates(node, self.names, loops)):
            return True
        return isinstance(node, ast.Call) and called_name(node) == "fit"

    def _own(self, function: FunctionType, place: int | None) -> Kind:
        if function not in self._returns:
            self._returns[function] = self._returned(function)
        returns = self._returns[function]
        if returns is None:
            return "own" if measures_something(function) else "none"
        scope = self._scopes.get(function, self)
        for value in returns:
            part = (
                value.elts[place]
                if place is not None and isinstance(value, (ast.Tuple, ast.List)) and place < len(value.elts)
                else value
            )
            if scope.kind(part):
                return "own"
        return "none"

    def _returned(self, function: FunctionType) -> list[ast.expr] | None:
        """Return the expressions that a function returns, and learn its measurements; None without its source."""
        self._returns[function] = []  # for recursive functions
        if not measures_something(function):
            return []
        tree = definition(function)
        if tree is None:
            return None
        scope = Measures({**named_globals(function), **imported_within(tree)}, inside=True)
        scope._returns = self._returns
        self._scopes[function] = scope
        found = []
        for here in placed(tree.body):
            scope.follow(here)
            if isinstance(here.statement, ast.Return) and here.statement.value is not None:
                found.append(here.statement.value)
        return found

    def follow(self, here: Placed) -> None:
        """Record the measurements of a statement."""
        statement, loops = here.statement, here.loops
        for target, value in here.assigned:
            if isinstance(target, (ast.Tuple, ast.List)):
                for i, part in enumerate(target.elts):
                    self.learn(part, self.kind(value, loops, i))
            else:
                self.learn(target, self.kind(value, loops))
        if isinstance(statement, ast.AugAssign) and (kind := self.kind(statement.value, loops)):
            self.learn(statement.target, kind)
        for target, value in put_into(statement):
            if kind := self.kind(value, loops):
                self.known.setdefault(root_name(target), kind)


def put_into(statement: ast.stmt) -> list[tuple[ast.expr, ast.expr]]:
    """Return container and value of ``scores.append(value)`` or ``results.update(value)``, in a list."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("append", "extend", "update")
        and len(call.args) == 1
    ):
        return [(call.func.value, call.args[0])]
    return []


def measures_something(function: FunctionType) -> bool:
    """Whether the code of a function, or of user functions that it calls, uses a metric or a score."""
    for code, scope in reached_codes(function):
        loaded, within = used_objects(code, scope)
        if any(_library_kind(value) in ("metric", "folds") for value in (*loaded, *within)):
            return True
        # Imported in the function, or a method of a model.
        if any(name.startswith(_METRICS) or name in _SCORES for name in code.co_names):
            return True
    return False


def _library_kind(value: Any) -> Kind | None:
    module = getattr(value, "__module__", None)
    if not isinstance(module, str):
        return None
    if module.startswith(_METRICS):
        # Distances between rows are usually features, not results.
        return "none" if module.startswith("sklearn.metrics.pairwise") or isinstance(value, type) else "metric"
    if module.startswith("sklearn.model_selection") and getattr(value, "__name__", "") in _FOLDS:
        return "folds"
    return None
