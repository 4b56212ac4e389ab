"""Names that a notebook uses without assigning them, and names that it gives to ``load`` and ``save``."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from mlops_workbench.notebooks.names.cell_names import cell_names
from mlops_workbench.notebooks.names.free_names import free_names
from mlops_workbench.notebooks.source import called_name, parse_cell

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def used_names(trees: Iterable[ast.Module | None]) -> frozenset[str]:
    """Return the names whose value has to come from outside of a notebook.

    Parameters
    ----------
    trees : iterable of ast.Module or None
        Syntax trees of its code cells in order, with magics turned into calls; None for a cell that is not Python.

    Returns
    -------
    frozenset of str
        Names that a cell reads although no cell before has assigned them, names that a function reads and no cell
        assigns, and texts that are given to ``load`` or ``save``. Built-in names are included.
    """
    bound: set[str] = set()
    free: set[str] = set()
    of_functions: set[str] = set()
    for tree in trees:
        if tree is None:
            continue
        names = cell_names(tree, parse_cell)
        free |= names.exposed - bound
        bound |= set(names.straight) & names.writes
        bound -= names.deletes
        for function in _functions(tree):
            of_functions |= free_names(function)
        free |= {name for call in ast.walk(tree) if isinstance(call, ast.Call) for name in [passed_name(call)] if name}
    return frozenset(free | (of_functions - bound))


def passed_name(call: ast.Call) -> str:
    """Return the name in ``load("name")`` and ``save("name", value)``; empty for other calls."""
    if called_name(call.func) not in ("load", "save"):
        return ""
    given = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "name")]
    first = given[0] if given else None
    is_name = isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.isidentifier()
    return str(first.value) if is_name and isinstance(first, ast.Constant) else ""


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions of a cell, and the methods of its classes, without those within others."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _FUNCTIONS):
            yield node
        elif not isinstance(node, ast.Lambda):
            yield from _functions(node)
