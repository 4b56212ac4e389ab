"""Names of the notebook that objects use, found in the code of its functions."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any

from mlops_workbench.capture.observe.own_functions import global_names
from mlops_workbench.core.members import is_a, own

#: Number of objects read for a name, and depth to which objects are searched for functions of the notebook.
_MAX_OBJECTS = 400
_MAX_DEPTH = 4
_MAX_ITEMS = 40

_PLAIN = (int, float, complex, bool, str, bytes, bytearray, type(None), types.ModuleType, types.BuiltinFunctionType)
#: Libraries whose objects contain data, or references to everything, and are not searched.
_CLOSED = frozenset(
    (
        "numpy", "pandas", "polars", "pyarrow", "scipy", "torch", "tensorflow", "jax", "datetime", "PIL", "matplotlib",
        "IPython", "ipykernel", "traitlets", "zmq", "tornado", "asyncio", "threading", "logging", "mlops_workbench",
        "mlflow", "sqlalchemy", "sqlite3", "pathlib", "re", "io", "_io",
    )
)  # fmt: skip


def used_names(value: Any, names: Mapping[str, Any], known: Set[str]) -> set[str]:
    """Return the names of the notebook that calls of an object or its parts use.

    Parameters
    ----------
    value : object
        A function, class or instance, or a container of them. Code outside of the notebook uses no names.
    names : mapping
        The notebook's namespace, the globals of its functions.
    known : set of str
        Names that exist, or existed before the cell; others are built-in.

    Returns
    -------
    set of str
        Globals in the bytecode of its functions and methods, and of functions in these globals, in defaults and
        closures.
    """
    if type(value) in _PLAIN:
        return set()
    found: set[str] = set()
    seen: set[int] = set()
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack and len(seen) < _MAX_OBJECTS:
        item, depth = stack.pop()
        if id(item) in seen or type(item) in _PLAIN:
            continue
        seen.add(id(item))
        if type(item) is types.FunctionType and item.__globals__ is names:
            for name in global_names(item.__code__):
                if name in known and name not in found:
                    found.add(name)
                    stack.append((names.get(name), 0))
        if depth < _MAX_DEPTH and item is not names:
            stack.extend((part, depth + 1) for part in _parts(item))
    return found


def is_defined_in_notebook(kind: type) -> bool:
    """Whether a class was defined in the notebook."""
    return kind.__module__ == "__main__"


def _parts(item: Any) -> Iterable[Any]:
    """Return objects within one that may be, or contain, functions."""
    kind = type(item)
    if (parts := _PARTS_BY_TYPE.get(kind)) is not None:
        return parts(item)
    for base, parts in _PARTS_BY_BASE:
        if is_a(item, base):
            return parts(item)
    if kind.__module__.partition(".")[0] in _CLOSED:
        return ()
    classes = (kind,) if is_defined_in_notebook(kind) else ()
    return (*classes, *_first(own(item).values()))


def _of_function(function: types.FunctionType) -> Iterator[Any]:
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    if "__wrapped__" in function.__dict__:
        yield function.__dict__["__wrapped__"]
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # The variable is not bound yet.


def _of_class(kind: type) -> Iterable[Any]:
    return (*vars(kind).values(), *kind.__bases__) if is_defined_in_notebook(kind) else ()


def _first(items: Iterable[Any]) -> list[Any]:
    # A copy, since another thread may change the container.
    return list(items)[:_MAX_ITEMS]


_PARTS_BY_TYPE: dict[type, Callable[[Any], Iterable[Any]]] = {
    types.FunctionType: _of_function,
    types.MethodType: lambda method: (method.__func__, method.__self__),
    **dict.fromkeys((list, tuple, set, frozenset), _first),
    dict: lambda mapping: _first(mapping.values()),
}
_PARTS_BY_BASE: tuple[tuple[type | tuple[type, ...], Callable[[Any], Iterable[Any]]], ...] = (
    (type, _of_class),
    (functools.partial, lambda partial: (partial.func, *partial.args, *partial.keywords.values())),
    ((staticmethod, classmethod), lambda holder: (holder.__func__,)),
    (property, lambda item: (item.fget, item.fset, item.fdel)),
)
