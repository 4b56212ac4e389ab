"""Metrics of a cell: values that it assigns from metrics, scores and cross-validations."""

from __future__ import annotations

import ast
from typing import Any

from mlops_workbench.capture.observe.measures import Kind, Measures, put_into
from mlops_workbench.capture.observe.metric_values import Measurements
from mlops_workbench.capture.observe.scope import Before, Names, Placed, code_of, is_new, resolve
from mlops_workbench.core.members import has
from mlops_workbench.notebooks.source import called_name, root_name

_CONTAINERS = (ast.Dict, ast.DictComp)


def observed_metrics(
    tree: ast.Module | None,
    names: Names,
    before: Before | None = None,
    *,
    complete: bool = False,
    apart: frozenset[int] = frozenset(),
    block: bool = False,
) -> Measurements:
    """Return the measurements that a cell assigned, and values derived from them, in source order.

    ``mae = mean_absolute_error(y, p)`` gives ``mae``; ``rmse = mse ** 0.5`` gives ``rmse`` if ``mse`` is one;
    ``scores["mae"] = ...`` and ``scores = {"mae": ...}`` give ``mae``; ``report = classification_report(...,
    output_dict=True)`` gives ``report/weighted avg/f1-score`` and so on. ``cv = cross_val_score(...)`` gives the
    mean as ``cv``, the standard deviation as ``cv_std`` and the folds as steps of ``cv_fold``; a list that is filled
    in a loop gives steps too. Functions are recognized by their identity, independent of their imported name, and
    user functions by their return values. Numbers that are only printed or displayed are ignored.

    Parameters
    ----------
    tree : ast.Module or None
        The cell.
    names : mapping
        The namespace after it.
    before : Before, optional
        The values of names before it. An unchanged value is ignored: its assignment did not run.
    complete : bool, default=False
        Whether the cell ended without an error, so that all of its top-level statements ran.
    apart : frozenset of int, optional
        ``id`` of the statements of other runs inside it. Only what they put into lists and dicts of this code is a
        measurement of it.
    block : bool, default=False
        Whether the code is one turn of a loop: a value that it adds to an earlier list or dict is a single one.
    """
    bound = frozenset(name for here in code_of(tree) if id(here.statement) in apart for name in here.bound)
    reader = _Reader(names, before or Before(), complete, block)
    for here in code_of(tree):
        if id(here.statement) in apart:
            reader.follow(here, bound)
        else:
            reader.read(here)
    return reader.found


class _Reader:
    """Collects the measurements of the statements of a cell."""

    def __init__(self, names: Names, before: Before, complete: bool, block: bool) -> None:
        self.found = Measurements()
        self._block = block
        self._names = names
        self._before = before
        self._complete = complete
        self._measures = Measures(names)

    def read(self, here: Placed) -> None:
        for target, value in here.assigned:
            self._assigned(target, value, here)
        statement = here.statement
        if isinstance(statement, ast.AugAssign):
            kind = self._measures.kind(statement.value, here.loops)
            if kind is not None:
                self._measures.learn(statement.target, kind)
                self._target(statement.target, kind, here)
        for target, value in put_into(statement):
            kind = self._measures.kind(value, here.loops)
            if kind is not None and isinstance(target, (ast.Name, ast.Subscript)):
                if self._block and self._is_outer(root_name(target)):
                    self._added(target, value, kind)
                else:
                    self._filled(target, kind)

    def follow(self, here: Placed, bound: frozenset[str]) -> None:
        """Read a statement of another run, which binds the names `bound`: what it adds to this one's containers."""
        self._measures.follow(here)
        for target, value in put_into(here.statement):
            kind = self._measures.kind(value, here.loops)
            if kind is not None and isinstance(target, (ast.Name, ast.Subscript)) and root_name(target) not in bound:
                self._filled(target, kind)
        for target, value in here.assigned:
            kind = self._measures.kind(value, here.loops) if isinstance(target, ast.Subscript) else None
            if kind is not None and root_name(target) not in bound:
                self._item(target, kind, value)

    def _assigned(self, target: ast.expr, value: ast.expr, here: Placed) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            self._unpacked(target, value, here)
            return
        kind = self._measures.kind(value, here.loops)
        self._measures.learn(target, kind)
        if kind is None:
            return
        if isinstance(target, ast.Name) and (_is_dict(value) or isinstance(value, ast.DictComp)):
            self._dictionary(target, value, kind, here)
        elif isinstance(target, ast.Subscript):
            self._item(target, kind, value)
        else:
            self._target(target, kind, here)

    def _unpacked(self, target: ast.Tuple | ast.List, value: ast.expr, here: Placed) -> None:
        """Read ``p, r, f, _ = precision_recall_fscore_support(...)``."""
        parts: dict[str, Any] = {}
        for i, part in enumerate(target.elts):
            kind = self._measures.kind(value, here.loops, i)
            self._measures.learn(part, kind)
            if kind is None:
                continue
            if isinstance(part, ast.Name) and kind == "metric" and _is_list(self._value(part, here)):
                parts[part.id] = self._value(part, here)
            else:
                self._target(part, kind, here)
        if parts:
            # The parts of a curve belong together.
            name = called_name(value) if isinstance(value, ast.Call) else ""
            self.found.curve(name or next(iter(parts)), parts)

    def _target(self, target: ast.expr, kind: Kind, here: Placed) -> None:
        if isinstance(target, ast.Name):
            self._put(target.id, self._value(target, here), kind)
        elif isinstance(target, ast.Attribute):
            self._put(target.attr, _attribute(target, self._names), kind, otherwise=ast.unparse(target))
        elif isinstance(target, ast.Subscript):
            self._item(target, kind)

    def _item(self, target: ast.Subscript, kind: Kind, given: ast.expr | None = None) -> None:
        """Read ``scores["mae"] = ...``, and ``scores[name] = ...`` in a loop over the names."""
        root, keys = root_name(target), _keys(target)
        if keys is not None:
            value = resolve(target, self._names)
            self._put("/".join(keys), value, kind, otherwise="/".join([root, *keys]))
            return
        value = self._names.get(root)
        if self._block and self._is_outer(root):
            if given is not None:
                known = self._before.items.get(root, {})
                fresh = (
                    [item for key, item in value.items() if known.get(key) != id(item)] if type(value) is dict else []
                )
                self._single(root, given, fresh[-1] if fresh else None, kind)
            return
        if type(value) is dict:
            known = {} if is_new(root, self._names, self._before) else self._before.items.get(root, {})
            for key, item in value.items():
                if isinstance(key, str | int) and known.get(key) != id(item):
                    self._put(str(key), item, kind, otherwise=f"{root}/{key}")

    def _filled(self, target: ast.expr, kind: Kind) -> None:
        """Read ``scores.append(...)``, which gives a step."""
        root = root_name(target)
        value = resolve(target, self._names)
        self._measures.known.setdefault(root, kind)
        if isinstance(target, ast.Subscript) and _keys(target) is None:
            owner = self._names.get(root)
            for key, item in owner.items() if type(owner) is dict else ():
                if isinstance(key, str | int) and type(item) is list:
                    self.found.history(f"{root}/{key}", item)
        elif type(value) is list:
            fresh = is_new(root, self._names, self._before)
            start = 0 if fresh or not isinstance(target, ast.Name) else self._before.lengths.get(root, 0)
            keys = _keys(target) if isinstance(target, ast.Subscript) else None
            self.found.history("/".join([root, *(keys or [])]), value, start)
        elif type(value) is dict:
            self._put(root, value, kind)

    def _is_outer(self, name: str) -> bool:
        """Whether a container was not made by this code."""
        return name in self._before.ids and not is_new(name, self._names, self._before)

    def _added(self, target: ast.expr, given: ast.expr, kind: Kind) -> None:
        """Read ``scores.append(...)`` and ``rows.append({"mae": ...})`` for a list that later runs extend too."""
        root = root_name(target)
        value = self._names.get(root)
        fresh = value[self._before.lengths.get(root, 0) :] if type(value) is list else []
        if len(fresh) > 1 and isinstance(target, ast.Name):
            self.found.history(root, fresh)
        elif fresh:
            self._single(root, given, fresh[0], kind)

    def _single(self, name: str, given: ast.expr, value: Any, kind: Kind) -> None:
        """Read the only value that was put into a container; a named one is known by its name."""
        if isinstance(given, ast.Dict) and type(value) is dict:
            for key, item in _items(given):
                # Its variable was read before.
                measured = self._measures.kind(item) if key is not None and not isinstance(item, ast.Name) else None
                if key is not None and measured is not None and key in value:
                    self._put(key, value[key], measured, otherwise=f"{name}/{key}")
        elif not isinstance(given, ast.Name):
            self._put(name, value, kind)

    def _dictionary(self, target: ast.Name, value: ast.expr, kind: Kind, here: Placed) -> None:
        """Read ``scores = {"mae": ...}``: items that are measurements, named by their keys."""
        owner = self._value(target, here)
        if type(owner) is not dict:
            return
        if isinstance(value, ast.DictComp):
            chosen = list(owner)
        else:
            chosen = [key for key, item in _items(value) if key is not None and self._measures.kind(item, here.loops)]
        for key in chosen:
            if key in owner and isinstance(key, str | int):
                self._put(str(key), owner[key], kind, otherwise=f"{target.id}/{key}")

    def _value(self, target: ast.Name, here: Placed) -> Any:
        reached = is_new(target.id, self._names, self._before) or (self._complete and here.certain)
        return self._names.get(target.id) if reached else None

    def _put(self, name: str, value: Any, kind: Kind, otherwise: str = "") -> None:
        if value is not None and not name.startswith("_"):
            self.found.put(name, value, kind, otherwise)


def _is_list(value: Any) -> bool:
    """Whether it is a one-dimensional array."""
    return has(value, "ndim", "dtype") and value.ndim == 1


def _is_dict(node: ast.expr) -> bool:
    return isinstance(node, ast.Dict) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args
    )


def _items(node: ast.expr) -> list[tuple[str | None, ast.expr]]:
    if isinstance(node, ast.Dict):
        return [
            (key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else None, value)
            for key, value in zip(node.keys, node.values, strict=True)
        ]
    return [(word.arg, word.value) for word in node.keywords] if isinstance(node, ast.Call) else []


def _keys(node: ast.expr) -> list[str] | None:
    """Return the keys of ``results["train"]["mae"]``, None when one of them is not a literal."""
    keys: list[str] = []
    while isinstance(node, ast.Subscript):
        if not isinstance(node.slice, ast.Constant) or not isinstance(node.slice.value, str | int):
            return None
        keys.append(str(node.slice.value))
        node = node.value
    return keys[::-1] if isinstance(node, ast.Name) else None


def _attribute(node: ast.Attribute, names: Names) -> Any:
    """Return the value of an instance attribute, without running properties."""
    owner = names.get(node.value.id) if isinstance(node.value, ast.Name) else None
    try:
        return vars(owner).get(node.attr) if owner is not None else None
    except TypeError:
        return None
