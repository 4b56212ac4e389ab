"""Modules that the code of a notebook imports; pure functions."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from mlops_workbench.notebooks.source import parse_cell

#: A module, and the names that are taken from it, which may be modules.
Import = tuple[str, tuple[str, ...]]

_TRANSPARENT = ("%%time", "%%capture", "%%prun", "%%track")


def imports_of(cells: Iterable[str]) -> list[Import]:
    """Return what the top-level statements of cells import, in order of their first use.

    Imports in functions, branches and ``try`` are left out, since the code may not reach them; so are relative ones.
    """
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        tree = parse_cell(_plain(cell))
        for statement in tree.body if tree else ():
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    found.setdefault(alias.name, {})
            elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
                names = found.setdefault(statement.module, {})
                names.update((alias.name, None) for alias in statement.names if alias.name != "*")
    return [(module, tuple(names)) for module, names in found.items()]


def _plain(cell: str) -> str:
    """The cell without the lines of IPython; empty if another language or process runs it."""
    first = cell.lstrip().split(None, 1)[:1]
    if first and first[0].startswith("%%") and first[0] not in _TRANSPARENT:
        return ""
    return "\n".join("" if line.lstrip().startswith(("%", "!", "?")) else line for line in cell.splitlines())
