"""Whether the first cell of a session may be observed after its reply, which comes before our modules are imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

#: The cell uses the workbench by name.
_USES_WORKBENCH = re.compile(r"mlops|\btrack\b|\bprogress\b")
#: Built-in functions that return at once.
_QUICK = (
    *("abs", "all", "any", "bool", "dict", "enumerate", "float", "format", "frozenset", "getattr", "hasattr", "id"),
    *("int", "isinstance", "len", "list", "max", "min", "print", "range", "repr", "reversed", "round", "set", "sorted"),
    *("str", "sum", "tuple", "type", "vars", "zip"),
)
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.comprehension, ast.Await)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def can_wait(source: str) -> bool:
    """Whether nothing of a cell must be observed before or while it runs.

    Such a cell imports, assigns and defines, and calls only some built-in functions: it fits no model, and does not run
    for long or end the kernel, which the journal must tell.
    """
    if _USES_WORKBENCH.search(source):
        return False
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Magics, or not Python.
        return False
    return not any(
        isinstance(node, _LOOPS)
        or (isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in _QUICK))
        for node in _run_now(tree)
    )


def _run_now(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree, without the bodies of functions."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        inside = node.body if isinstance(node, _FUNCTIONS) else ()
        skipped = set(map(id, inside if isinstance(inside, list) else [inside]))
        stack += [child for child in ast.iter_child_nodes(node) if id(child) not in skipped]
