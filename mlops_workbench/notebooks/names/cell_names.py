"""Which names a cell reads, binds, changes and deletes, as its syntax tree tells."""

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
    """Read what a cell does with names from its syntax tree.

    Parameters
    ----------
    tree : ast.Module or None
        The cell, with magics turned into calls as IPython does; None gives an empty result.
    parse : callable, optional
        Turns the code in a magic such as ``%time`` into a tree; by default `ast.parse`.
    value_of : callable, optional
        Text that a name holds when it is known, for paths of files in variables.

    Returns
    -------
    CellNames
        Names inside function bodies are not read where the function is defined; what a function uses when it is
        called is added with `CellNames.use`. Built-in names are among `reads`.
    """
    visitor = NamesVisitor(parse, value_of)
    if tree is not None:
        visitor.block(tree.body)
    return visitor.finish()
