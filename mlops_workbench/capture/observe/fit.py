"""Calls in a cell that fit and use models, with their data."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Any

from mlops_workbench.capture.observe.data import NamedData, is_data
from mlops_workbench.capture.observe.estimators import (
    built_estimators,
    is_estimator,
    is_fitted,
    is_fitted_result,
    is_model,
    outermost,
)
from mlops_workbench.capture.observe.literals import bounded, literal
from mlops_workbench.capture.observe.loops import candidates
from mlops_workbench.capture.observe.networks import fed_from, trained_networks, trainer_of
from mlops_workbench.capture.observe.scope import Before, Loop, Names, Placed, code_of, resolve
from mlops_workbench.notebooks.source import called_name

_FITS = {"fit", "fit_transform", "fit_predict", "partial_fit"}
_USES = {"score", "predict", "predict_proba", "predict_log_proba", "decision_function", "evaluate"}
_PREDICTIONS = {"predict", "predict_proba", "decision_function"}
_CROSS = {"cross_val_score", "cross_validate", "cross_val_predict", "learning_curve", "validation_curve"}
_LATER = {"eval_set", "validation_data", "valid_sets", "evals"}
_WRAPPED = {"Dataset", "DMatrix", "QuantileDMatrix", "Pool"}
_NO_DATA = (ast.Constant, ast.List, ast.Starred)
_TRAINING = re.compile(r"(^|_|\b)train(ing)?(_|\b|$|[A-Z])", re.IGNORECASE)
_VALIDATION = re.compile(r"(^|_|\b)(val|valid|validation|dev|eval)(_|\b|$|[A-Z])", re.IGNORECASE)


@dataclass(frozen=True)
class CellFit:
    """A fitted model.

    Attributes
    ----------
    name : str
        Its variable or expression.
    model : object
        The model.
    X, y : NamedData or None
        Training data, if it is in the source.
    settings : dict
        Literal keyword arguments of ``fit``.
    result : str
        Variable of the result of ``fit``, if that is not the model (the history of a network).
    trainer : object
        Object whose ``fit`` was called, if that is not the model.
    """

    name: str
    model: Any
    X: NamedData | None = None
    y: NamedData | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    result: str = ""
    trainer: Any = None


@dataclass
class CellUse:
    """Fitted models and used data of a cell.

    Attributes
    ----------
    fits : list of CellFit
        The last fit of each model in source order; transformers before models.
    data : list of NamedData
        Data in source order, training data first; each expression once.
    tests : list of (NamedData, NamedData)
        Inputs and true values that predictions were compared with, in source order: ``score(X, y)`` or
        ``metric(y, model.predict(X))``.
    """

    fits: list[CellFit] = field(default_factory=list)
    data: list[NamedData] = field(default_factory=list)
    tests: list[tuple[NamedData, NamedData]] = field(default_factory=list)

    def test(self) -> tuple[NamedData, NamedData] | None:
        """The last comparison with test data, else with validation data, whose values are known.

        One with data that a model of the cell was fitted on is none.
        """
        trained = [fit.X for fit in self.fits if fit.X is not None]
        known = [
            (X, y)
            for X, y in self.tests
            if X.known and y.known and not _TRAINING.search(X.name) and not any(_is_same(X, one) for one in trained)
        ]
        best = [pair for pair in known if pair[0].context == "test"] or known
        return best[-1] if best else None


def cell_fits(tree: ast.Module | None, names: Names) -> list[CellFit]:
    """Return the fits of estimators in a cell; see `cell_use`."""
    return cell_use(tree, names).fits


def fitted_elsewhere(tree: ast.Module | None, names: Names, before: Before, fits: list[CellFit]) -> list[CellFit]:
    """Return models that a cell assigned and that were fitted in a function or in another process."""
    built = [(name, value) for name, value in built_estimators(tree, names, before) if is_fitted(value)]
    if not built:
        return []
    known = {id(fit.model) for fit in fits}
    # Another name for a model of an earlier cell is not a new model.
    bound = {name for here in code_of(tree) for name in here.bound}
    known |= {id(value) for name, value in names.items() if name not in bound and not name.startswith("_")}
    return [CellFit(name, value) for name, value in outermost(built) if id(value) not in known and is_model(value)]


def cell_use(tree: ast.Module | None, names: Names) -> CellUse:
    """Return the fits of models in a cell's scope, and the data of fitting, scoring and predicting.

    The model is the receiver of the call (``model.fit(X, y)``), each value of the receiver in a loop, or the
    variable of the result (``model = LinearRegression().fit(X, y)``).
    """
    if tree is None:
        return CellUse()
    here = code_of(tree)
    reader = _Reader(names)
    later: set[str] = set()
    changed = []
    for one in reversed(here):
        # A statement binds its names after its calls.
        looped = _loop_names(one.statement)
        later |= (one.bound - looped) | one.changed
        changed.append(frozenset(later))
        later |= looped
    for one, names_changed in zip(here, reversed(changed), strict=True):
        reader.read(one, names_changed)
    fits = sorted(reader.fits.values(), key=lambda fit: is_model(fit.model))
    data: dict[str, NamedData] = {}
    # Of several uses of an expression, prefer those whose value is known, and training.
    for used in sorted(reader.data, key=lambda used: (not used.known, used.context != "training")):
        data.setdefault(used.name, used)
    return CellUse(fits, list(data.values()), reader.tests)


class _Reader:
    """Reads the calls of a cell."""

    def __init__(self, names: Names) -> None:
        self.fits: dict[int, CellFit] = {}
        self.data: list[NamedData] = []
        self.tests: list[tuple[NamedData, NamedData]] = []
        self._names = names
        #: Variables with predictions, and the inputs that were predicted.
        self._predicted: dict[str, ast.expr] = {}

    def read(self, here: Placed, changed: frozenset[str]) -> None:
        self._looped(here, changed)
        for target, value in here.assigned:
            asked = self._asked(value, ())
            if isinstance(target, ast.Name):
                self._predicted.pop(target.id, None)
                if asked is not None:
                    self._predicted[target.id] = asked
        for call, loops in here.calls:
            name = called_name(call)
            if isinstance(call.func, ast.Attribute) and name in _FITS | {"train"}:
                self._fit(call, call.func.value, loops, here.assigned, changed)
            elif isinstance(call.func, ast.Attribute) and name in _USES:
                if self._is_model(call.func.value, loops):
                    X, y = self._used(call, 0, self._context(call, 0), changed)
                    if name == "score" and X is not None and y is not None:
                        self.tests.append((X, y))
            elif name in _CROSS:
                self._used(call, 1, "cross-validation", changed)
            elif name == "train_test_split":
                for part in call.args:
                    self._given(part, "split", "X", changed)
            elif len(call.args) + len(call.keywords) >= 2:
                self._compared(call, loops, changed)

    def _compared(self, call: ast.Call, loops: tuple[Loop, ...], changed: frozenset[str]) -> None:
        """Read ``metric(y, model.predict(X))``, also with the predictions in a variable."""
        given = [*call.args[:3], *(word.value for word in call.keywords)]
        asked = [self._asked(part, loops) for part in given]
        X = next((node for node in asked if node is not None), None)
        truth = next((part for part, node in zip(given, asked, strict=True) if node is None), None)
        if X is None or truth is None or isinstance(truth, _NO_DATA):
            return
        inputs, values = (
            NamedData(ast.unparse(node), node, self._names, self._named(X), role, bool(_used_names(node) & changed))
            for node, role in ((X, "X"), (truth, "y"))
        )
        # A slow selection is repeated after the reply only.
        if not values.quick or is_data(values.value):
            self.tests.append((inputs, values))

    def _asked(self, node: ast.expr, loops: tuple[Loop, ...]) -> ast.expr | None:
        """The inputs of a prediction in an expression, None without one."""
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and part.id in self._predicted:
                return self._predicted[part.id]
            if not (isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute)):
                continue
            if part.func.attr in _PREDICTIONS and self._is_model(part.func.value, loops):
                return _argument(part, 0, ("X", "x"))
        return None

    def _fit(
        self,
        call: ast.Call,
        receiver: ast.expr,
        loops: tuple[Loop, ...],
        targets: list[tuple[ast.expr, ast.expr]],
        changed: frozenset[str],
    ) -> None:
        name = ast.unparse(receiver)
        assigned = [target for target, value in targets if value is call]
        if called_name(call) == "fit" and (given := trainer_of(call, self._names, loops)) is not None:
            self._trained(call, receiver, *given, changed)
            return
        models = [(name, value) for value in candidates(receiver, self._names, loops) if _can_fit(value, call)]
        if not models and called_name(call) in ("fit", "partial_fit", "train"):
            for target in assigned:
                value = resolve(target, self._names)
                if is_estimator(value) or is_model(value) or is_fitted_result(value):
                    models.append((ast.unparse(target), value))
        if not models:
            if isinstance(receiver, ast.Call) and called_name(call) in _FITS:
                # ``Ridge().fit(X, y).score(X, y)``: the model was deleted, its data was not.
                self._used(call, 0, "training", changed)
            return
        settings = {word.arg: word.value.value for word in call.keywords if word.arg and _setting(word.value)}
        if called_name(call) == "train":
            X, y = self._wrapped(call, changed)
            settings = _written_settings(call) | settings
        else:
            X, y = self._used(call, 0, "training", changed)
            if X is None and isinstance(receiver, ast.Call):
                settings = self._built_with(receiver, changed) | settings
        for word in call.keywords:
            if word.arg in _LATER:
                self._later(word.value, changed)
        result = assigned[0].id if assigned and isinstance(assigned[0], ast.Name) else ""
        for variable, model in models:
            self.fits.pop(id(model), None)
            self.fits[id(model)] = CellFit(variable, model, X, y, settings, result if result != variable else "")

    def _built_with(self, built: ast.Call, changed: frozenset[str]) -> dict[str, Any]:
        """Add the data of a model's constructor and return its formula: ``OLS(y, X)``, ``ols("y ~ x", data=df)``."""
        given = [*built.args, *(word.value for word in built.keywords)]
        for node in given:
            if is_data(resolve(node, self._names)):
                self._given(node, "training", "X", changed)
        texts = [node.value for node in given if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        return {"formula": texts[0]} if texts and "~" in texts[0] else {}

    def _looped(self, here: Placed, changed: frozenset[str]) -> None:
        """Read ``for x, y in loader: ... loss.backward(); optimizer.step()``."""
        feed = fed_from(here, self._names)
        data = None
        if feed is not None:
            node, context = feed
            data = self._given(node, context or self._named(node), "X", changed)
        for name, network in trained_networks(here, self._names):
            known = self.fits.pop(id(network), None)
            # The loop over epochs contains the loop over batches.
            X = data if data is not None and data.context == "training" else known.X if known else None
            self.fits[id(network)] = CellFit(name, network, X)

    def _trained(
        self, call: ast.Call, receiver: ast.expr, node: ast.expr, network: Any, changed: frozenset[str]
    ) -> None:
        """Read ``trainer.fit(network, train, validation)``."""
        settings = {word.arg: word.value.value for word in call.keywords if word.arg and _setting(word.value)}
        places = [part for part in call.args if part is not node]
        words = {word.arg or "": word.value for word in call.keywords if word.value is not node}
        given = [(part, "validation" if i else "training") for i, part in enumerate(places)]
        given += [(part, "validation" if _VALIDATION.search(word) else "training") for word, part in words.items()]
        data = [
            self._given(part, context, "X", changed)
            for part, context in given
            if is_data(resolve(part, self._names)) or isinstance(part, ast.Call)
        ]
        X = next((one for one in data if one is not None and one.context == "training"), None)
        trainer = next(iter(candidates(receiver, self._names)), None)
        self.fits.pop(id(network), None)
        self.fits[id(network)] = CellFit(ast.unparse(node), network, X, None, settings, "", trainer)

    def _used(
        self, call: ast.Call, first: int, context: str, changed: frozenset[str]
    ) -> tuple[NamedData | None, NamedData | None]:
        nodes = (_argument(call, first, ("X", "x", "data", "X_train")), _argument(call, first + 1, ("y", "Y")))
        X, y = (
            None if node is None else self._given(node, context, role, changed)
            for node, role in zip(nodes, ("X", "y"), strict=True)
        )
        if X is None and any(isinstance(part, ast.Starred) for part in call.args):
            starred = next(part for part in call.args if isinstance(part, ast.Starred))
            self.data.append(NamedData(ast.unparse(starred), starred, self._names, context, "X", changed=True))
        return X, y

    def _wrapped(self, call: ast.Call, changed: frozenset[str]) -> tuple[NamedData | None, NamedData | None]:
        """Add the data of ``lgb.train(params, lgb.Dataset(X, y))``."""
        for part in call.args:
            if isinstance(part, ast.Call) and called_name(part) in _WRAPPED:
                nodes = (_argument(part, 0, ("data",)), _argument(part, 1, ("label",)))
                X, y = (
                    None if node is None else self._given(node, "training", role, changed)
                    for node, role in zip(nodes, ("X", "y"), strict=True)
                )
                return X, y
        return None, None

    def _given(self, node: ast.expr, context: str, role: str, changed: frozenset[str]) -> NamedData | None:
        if isinstance(node, _NO_DATA):
            return None
        used = _used_names(node)
        if isinstance(node, ast.Name) and resolve(node, self._names) is None and node.id not in changed:
            return None
        data = NamedData(ast.unparse(node), node, self._names, context, role, bool(used & changed))
        self.data.append(data)
        return data

    def _later(self, node: ast.expr, changed: frozenset[str]) -> None:
        """Add the data of ``eval_set=[(X_val, y_val)]`` or ``validation_data=(X_val, y_val)``."""
        pairs = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
        if pairs and not isinstance(pairs[0], ast.Tuple):
            pairs = [node] if isinstance(node, ast.Tuple) else pairs
        for pair in pairs:
            parts = pair.elts if isinstance(pair, ast.Tuple) else [pair]
            for part, role in zip(parts, ("X", "y"), strict=False):
                self._given(part, "validation", role, changed)

    def _is_model(self, node: ast.expr, loops: tuple[Loop, ...]) -> bool:
        if any(is_model(value) for value in candidates(node, self._names, loops)):
            return True
        return isinstance(node, ast.Call) and called_name(node) == "fit"

    def _context(self, call: ast.Call, place: int) -> str:
        node = _argument(call, place, ("X",))
        return "test" if node is None else self._named(node)

    def _named(self, node: ast.expr) -> str:
        return "validation" if _VALIDATION.search(ast.unparse(node)) else "test"


def _is_same(one: NamedData, other: NamedData) -> bool:
    if one.name == other.name:
        return True
    # Only a name is the same object as another one; a selection makes a new one.
    return one.is_name and other.is_name and other.known and one.value is not None and one.value is other.value


def _used_names(node: ast.expr) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _argument(call: ast.Call, place: int, words: tuple[str, ...]) -> ast.expr | None:
    found = next((word.value for word in call.keywords if word.arg in words), None)
    if found is None and len(call.args) > place:
        starred = any(isinstance(part, ast.Starred) for part in call.args[: place + 1])
        found = None if starred else call.args[place]
    return found


def _can_fit(value: Any, call: ast.Call) -> bool:
    if called_name(call) == "train":
        # ``train`` of a network only switches its mode; of other models it fits.
        return is_model(value) or (not isinstance(value, type) and hasattr(type(value), "predict"))
    return is_estimator(value) or is_model(value)


def _written_settings(call: ast.Call) -> dict[str, Any]:
    """Return the settings in ``xgb.train({"max_depth": 3}, data)``."""
    try:
        found = literal(call.args[0]) if call.args else {}
    except ValueError:
        return {}
    return {str(name): bounded(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _setting(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str)


def _loop_names(statement: ast.stmt) -> set[str]:
    if not isinstance(statement, (ast.For, ast.AsyncFor)):
        return set()
    return {node.id for node in ast.walk(statement.target) if isinstance(node, ast.Name)}
