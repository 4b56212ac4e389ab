"""What live objects of the notebook's namespace use: the globals of its functions, by their code."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from mlops_workbench.capture.observe.own_functions import global_names
from mlops_workbench.core.members import is_a, own

#: Objects looked at for one name, and how deep objects of libraries are looked into for functions of the notebook.
_MAX_OBJECTS = 400
_MAX_DEPTH = 4
_MAX_ITEMS = 40

_PLAIN = (int, float, complex, bool, str, bytes, bytearray, type(None), types.ModuleType, types.BuiltinFunctionType)
#: Libraries whose objects hold data, or lead everywhere, and need not be looked into for functions of the notebook.
_CLOSED = frozenset(
    (
        "numpy", "pandas", "polars", "pyarrow", "scipy", "torch", "tensorflow", "jax", "datetime", "PIL", "matplotlib",
        "IPython", "ipykernel", "traitlets", "zmq", "tornado", "asyncio", "threading", "logging", "mlops_workbench",
        "mlflow", "sqlalchemy", "sqlite3", "pathlib", "re", "io", "_io",
    )
)  # fmt: skip
_FUNCTION_HOLDERS = (staticmethod, classmethod)


def used_names(value: Any, names: Mapping[str, Any], known: Set[str]) -> set[str]:
    """Names of the notebook that come into play when what is in `value` is called.

    Parameters
    ----------
    value : object
        A function, class or instance, or a container of such. Whatever is no code of the notebook's own uses none.
    names : mapping
        The notebook's namespace, which is the functions' globals.
    known : set of str
        Names that there are, or were before the cell; others are built in.

    Returns
    -------
    set of str
        Globals in the bytecode of its functions and methods, of functions that these use in turn, of defaults and
        closures. The objects are looked at as they are now, as a call would find them.
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


def _parts(item: Any) -> Iterator[Any]:
    """Objects within one that may be, or hold, functions."""
    kind = type(item)
    if kind is types.FunctionType:
        yield from _of_function(item)
    elif kind is types.MethodType:
        yield item.__func__
        yield item.__self__
    elif is_a(item, type):
        if is_defined_in_notebook(item):
            yield from vars(item).values()
            yield from item.__bases__
    elif is_a(item, functools.partial):
        yield from (item.func, *item.args, *item.keywords.values())
    elif is_a(item, _FUNCTION_HOLDERS):
        yield item.__func__
    elif is_a(item, property):
        yield from (part for part in (item.fget, item.fset, item.fdel) if part is not None)
    elif kind in (list, tuple, set, frozenset):
        yield from _first(item)
    elif kind is dict:
        yield from _first(item.values())
    elif kind.__module__.partition(".")[0] not in _CLOSED:
        if is_defined_in_notebook(kind):
            yield kind
        yield from _first(own(item).values())


def _of_function(function: types.FunctionType) -> Iterator[Any]:
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    if "__wrapped__" in function.__dict__:
        yield function.__dict__["__wrapped__"]
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            # Not bound yet: a function that refers to itself while it is made.
            continue


def _first(items: Iterable[Any]) -> Iterator[Any]:
    # A copy: another thread may change it meanwhile.
    for position, item in enumerate(list(items)):
        if position >= _MAX_ITEMS:
            return
        yield item
