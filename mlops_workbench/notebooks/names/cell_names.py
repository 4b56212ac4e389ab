"""The names that a cell reads, binds, changes and deletes, found in its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Callable

from mlops_workbench.notebooks.names.nouns import CellNames
from mlops_workbench.notebooks.names.visitor import NamesVisitor


def cell_names(
    tree: ast.Module | None,
    parse: Callable[[str], ast.Module | None] | None = None,
    value_of: Callable[[str], str] | None = None,
) -> CellNames:
    """Find the names that a cell uses in its syntax tree.

    Parameters
    ----------
    tree : ast.Module or None
        The cell with magics transformed into calls by IPython; None gives an empty result.
    parse : callable, optional
        Parses the code in a magic such as ``%time``; by default `ast.parse`.
    value_of : callable, optional
        Returns the known text value of a name, for paths of files in variables.

    Returns
    -------
    CellNames
        Built-in names are included in `reads`, names used in function bodies are not: add those of called functions
        with `CellNames.use`.
    """
    visitor = NamesVisitor(parse, value_of)
    if tree is not None:
        visitor.block(tree.body)
    return visitor.finish()
