"""Functions of the notebook and of the user's modules: their code and the names that it uses."""

from __future__ import annotations

import ast
import dis
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from mlops_workbench.capture.observe.scope import Names
from mlops_workbench.notebooks.source import parse_cell

_LIBRARIES = tuple({sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")})
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME")
_MAX_FUNCTIONS = 100
_MAX_WRAPPED = 20
_MAX_SOURCE = 50_000


def own_function(value: Any) -> FunctionType | None:
    """Return the Python function behind a value if it is defined in the notebook or a user's module, else None."""
    for _ in range(_MAX_WRAPPED):
        inner = value.__func__ if isinstance(value, MethodType) else _wrapped(value)
        if inner is None:
            break
        value = inner
    if not isinstance(value, FunctionType):
        return None
    file = value.__code__.co_filename
    if value.__module__ == "__main__":
        return value
    return None if file.startswith((*_LIBRARIES, "<")) else value


def own_method(node: ast.expr, names: Names) -> FunctionType | None:
    """Return the method in ``trainer.evaluate`` if the class of ``trainer`` is the user's, else None."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
        return None
    owner = names.get(node.value.id)
    kind = owner if isinstance(owner, type) else type(owner)
    if owner is None or isinstance(owner, ModuleType) or _library_class(kind):
        return None
    found = inspect.getattr_static(kind, node.attr, None)
    return own_function(found.__func__ if isinstance(found, classmethod | staticmethod) else found)


def reached_codes(function: FunctionType) -> Iterator[tuple[CodeType, Names]]:
    """Yield the code of a function, of nested functions and of user functions that it calls, with their globals."""
    waiting: list[tuple[CodeType, dict[str, Any]]] = [(function.__code__, function.__globals__)]
    seen: set[CodeType] = set()
    while waiting and len(seen) < _MAX_FUNCTIONS:
        code, scope = waiting.pop()
        if code in seen:
            continue
        seen.add(code)
        yield code, scope
        waiting += [(part, scope) for part in code.co_consts if isinstance(part, CodeType)]
        for name in _own_globals(code):
            inner = own_function(scope.get(name))
            if inner is not None:
                waiting.append((inner.__code__, inner.__globals__))


def definition(function: FunctionType | CodeType) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the syntax tree of a function, None when its source is unknown."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError, IndexError, SyntaxError):
        return None
    tree = parse_cell(source) if len(source) <= _MAX_SOURCE else None
    first = tree.body[0] if tree is not None and tree.body else None
    return first if isinstance(first, ast.FunctionDef | ast.AsyncFunctionDef) else None


def used_objects(code: CodeType, scope: Names) -> tuple[list[Any], list[Any]]:
    """Return the values of the globals of a code object, and the attributes of modules that it names."""
    loaded = [scope[name] for name in _own_globals(code) if name in scope]
    spaces = [vars(value) for value in loaded if isinstance(value, ModuleType)]
    return loaded, [space[name] for name in code.co_names for space in spaces if name in space]


def named_globals(function: FunctionType) -> Names:
    """Return the globals that a function, or one nested in it, uses."""
    scope = function.__globals__
    return {name: scope[name] for name in global_names(function.__code__) if name in scope}


def imported_within(tree: ast.AST) -> Names:
    """Return the loaded objects that the import statements in a function bind."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            space = vars(sys.modules.get(node.module or "") or object)
            found.update({part.asname or part.name: space[part.name] for part in node.names if part.name in space})
        elif isinstance(node, ast.Import):
            for part in node.names:
                name = part.name if part.asname else part.name.partition(".")[0]
                if name in sys.modules:
                    found[part.asname or name] = sys.modules[name]
    return found


@lru_cache(maxsize=5000)
def global_names(code: CodeType) -> tuple[str, ...]:
    """Return the globals of a code object and nested ones; unlike ``co_names``, without attributes."""
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in global_names(part)]
    return tuple(dict.fromkeys([*_own_globals(code), *inner]))


@lru_cache(maxsize=5000)
def _own_globals(code: CodeType) -> tuple[str, ...]:
    """Return the globals of a code object, without those of nested ones."""
    loads = (str(step.argval) for step in dis.get_instructions(code) if step.opname in _LOADS)
    return tuple(dict.fromkeys(loads))


def _wrapped(value: Any) -> Any:
    """Return ``__wrapped__`` of a decorated function, without running ``__getattr__``."""
    try:
        return object.__getattribute__(value, "__dict__").get("__wrapped__")
    except (AttributeError, TypeError):
        return None


def _library_class(kind: type) -> bool:
    if kind.__module__ == "__main__":
        return False
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return file is None or file.startswith(_LIBRARIES)
