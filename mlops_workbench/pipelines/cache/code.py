"""The code of a notebook in a form that only changes with what it does; pure functions."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable

from mlops_workbench.notebooks.source import parse_cell

#: From IPython syntax to Python.
Transform = Callable[[str], str]


def normal_code(cells: Iterable[str], transform: Transform) -> list[str]:
    """Return the code cells without comments and layout, as dumps of their syntax trees; blank ones are left out.

    Parameters
    ----------
    cells : iterable of str
        Sources of the code cells.
    transform : callable
        IPython's transformation, called for a cell that is not plain Python.
    """
    found = []
    for source in cells:
        tree = parse_cell(source)
        if tree is None:
            tree = parse_cell(transform(source))
        if tree is None:
            # Not Python: another language's cell magic has become a call above, so this cell fails when it runs.
            found.append("\n".join(line.rstrip() for line in source.strip().splitlines()))
        elif tree.body:
            found.append(ast.dump(tree))
    return found


def environment_names(cells: Iterable[str]) -> list[str]:
    """Return the environment variables whose names are written in the code.

    ``os.environ["A"]``, ``os.environ.get("A")`` and ``os.getenv("A")``, sorted.
    """
    found = set()
    for source in cells:
        tree = parse_cell(source)
        for node in ast.walk(tree) if tree else ():
            name: ast.expr | None = None
            if isinstance(node, ast.Subscript) and _last(node.value) == "environ":
                name = node.slice
            elif isinstance(node, ast.Call) and node.args:
                called = node.func
                of_environ = isinstance(called, ast.Attribute) and _last(called.value) == "environ"
                if _last(called) == "getenv" or of_environ:
                    name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                found.add(name.value)
    return sorted(found)


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
