"""Syntax tree of a cell's source."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from mlops_workbench.core.errors import UNREADABLE

#: Cell magics that run their cell in the notebook's namespace.
_TRANSPARENT = ("time", "capture", "prun")
_MAGIC = re.compile(r"\s*(?:[%!?]|[\w, ]+=\s*[%!])")
# A tuple, which isinstance checks faster than a union: every node of every cell is checked.
_PARTS = (ast.Subscript, ast.Attribute)


def unwrap_magics(tree: ast.Module | None, transform: Callable[[str], str]) -> ast.Module | None:
    """Replace the calls of ``%%time``, ``%%capture`` and ``%%prun`` by the code that they run.

    Parameters
    ----------
    tree : ast.Module or None
        A cell transformed by IPython.
    transform : callable
        IPython's transformation.
    """
    if tree is None:
        return None
    body: list[ast.stmt] = []
    for statement in tree.body:
        code = _magic_body(statement)
        inner = unwrap_magics(parse_cell(transform(code)), transform) if code is not None else None
        body += inner.body if inner is not None else [statement]
    return ast.Module(body=body, type_ignores=[])


def _magic_body(statement: ast.stmt) -> str | None:
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "run_cell_magic"):
        return None
    values = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    return values[2] if len(values) == 3 and values[0] in _TRANSPARENT and isinstance(values[2], str) else None


def parse_cell(source: str) -> ast.Module | None:
    """Return the syntax tree of Python source, or None when it is not valid Python."""
    try:
        return ast.parse(source)
    except UNREADABLE:
        return None


def without_magics(source: str) -> str:
    """Return the source of a cell with blank lines for magics and shell commands, so that line numbers stay.

    A cell of another language, such as ``%%bash``, gives blank lines only.
    """
    lines = source.splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%") and first[2:].split(" ", 1)[0] not in (*_TRANSPARENT, "track"):
        return "\n" * (len(lines) - 1)
    if parse_cell(source) is not None:
        return source
    return "\n".join("" if _MAGIC.match(line) else line for line in lines)


def cell_tree(source: str, transform: Callable[[str], str]) -> ast.Module | None:
    """Return the syntax tree of a cell with magics, or None when it is not valid Python.

    Parameters
    ----------
    source : str
        Source of the cell.
    transform : callable
        IPython's transformation, called for a cell that is not plain Python.
    """
    first, _, rest = source.lstrip().partition("\n")
    source = rest if first.split()[:1] == ["%%track"] else source
    tree = parse_cell(source)
    if tree is not None:
        return tree
    try:
        return unwrap_magics(parse_cell(transform(source)), transform)
    except UNREADABLE:
        return None


def root_name(node: ast.expr) -> str:
    """Return the first name of an expression: ``scores`` of ``scores["a"].append``; empty without one."""
    while isinstance(node, _PARTS):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def called_name(node: ast.expr) -> str:
    """Return the last part of the name of a function or of a called function: ``fit`` of ``model.fit(X)``."""
    function = node.func if isinstance(node, ast.Call) else node
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
