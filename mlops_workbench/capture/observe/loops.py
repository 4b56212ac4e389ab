"""Values of the variables of a loop."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from itertools import islice
from typing import Any

from mlops_workbench.capture.observe.scope import Loop, Names, resolve

_MAX_ELEMENTS = 200


def candidates(node: ast.expr, names: Names, loops: Iterable[Loop] = ()) -> list[Any]:
    """Return the possible values of an expression: one, or one for each iteration of a loop.

    ``model`` in ``for name, model in models.items()`` is every value of ``models``. Nothing is called, and only
    plain lists, tuples and dicts are iterated.
    """
    loops = tuple(loops)
    if isinstance(node, ast.Name):
        for i in range(len(loops) - 1, -1, -1):
            target, iterable = loops[i]
            path = _path(target, node.id)
            if path is not None:
                found = [_follow(element, path) for element in _elements(iterable, names, loops[:i])]
                return [value for value in found if value is not None] or _one(names.get(node.id))
    return _one(resolve(node, names))


def _one(value: Any) -> list[Any]:
    return [] if value is None else [value]


def _elements(iterable: ast.expr, names: Names, loops: tuple[Loop, ...]) -> list[Any]:
    """Return the elements of an iterable expression, if it is a plain container."""
    if isinstance(iterable, (ast.List, ast.Tuple)):
        return [_element(part, names, loops) for part in iterable.elts[:_MAX_ELEMENTS]]
    if isinstance(iterable, ast.Call):
        function = iterable.func
        if isinstance(function, ast.Attribute) and function.attr in ("items", "values", "keys"):
            owner = next(iter(candidates(function.value, names, loops)), None)
            return list(islice(getattr(owner, function.attr)(), _MAX_ELEMENTS)) if type(owner) is dict else []
        if isinstance(function, ast.Name) and function.id not in names and iterable.args:
            parts = [_elements(part, names, loops) for part in iterable.args]
            if function.id == "zip":
                return list(zip(*parts, strict=False))
            if function.id == "enumerate":
                return list(enumerate(parts[0]))
            if function.id in ("list", "tuple", "sorted", "reversed", "tqdm"):
                return parts[0]
        return _elements(iterable.args[0], names, loops) if _is_progress(function) and iterable.args else []
    value = next(iter(candidates(iterable, names, loops)), None)
    return list(islice(value, _MAX_ELEMENTS)) if type(value) in (list, tuple, dict) else []


def _element(node: ast.expr, names: Names, loops: tuple[Loop, ...]) -> Any:
    if isinstance(node, ast.Tuple):
        return tuple(_element(part, names, loops) for part in node.elts)
    return node.value if isinstance(node, ast.Constant) else next(iter(candidates(node, names, loops)), None)


def _is_progress(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("tqdm", "trange", "track", "progress")


def _path(target: ast.expr, name: str) -> tuple[int, ...] | None:
    """Return the position of a name in the target of a loop: ``(1, 0)`` for ``x`` in ``for i, (x, y) in ...``."""
    if isinstance(target, ast.Name):
        return () if target.id == name else None
    if isinstance(target, (ast.Tuple, ast.List)):
        for i, part in enumerate(target.elts):
            if isinstance(part, ast.Starred):
                return None
            path = _path(part, name)
            if path is not None:
                return (i, *path)
    return None


def _follow(element: Any, path: tuple[int, ...]) -> Any:
    for place in path:
        if type(element) not in (list, tuple) or place >= len(element):
            return None
        element = element[place]
    return element
