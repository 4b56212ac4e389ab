"""Blocks of ``with track(...)``: code of a run inside a cell or a function."""

from __future__ import annotations

import ast
import copy
import linecache
from functools import lru_cache
from itertools import islice
from types import FrameType
from typing import TypeVar

from mlops_workbench.capture.observe.scope import Names, resolve
from mlops_workbench.notebooks.source import called_name, parse_cell

_Node = TypeVar("_Node", bound=ast.AST)

_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")


def starts_run(node: ast.expr, names: Names) -> bool:
    """Whether an expression is a call of ``track``, or a variable with its result."""
    if isinstance(node, ast.Call):
        value = resolve(node.func, names)
        module = str(getattr(value, "__module__", ""))
        # None: a name that the code itself imports.
        return called_name(node) == "track" and (value is None or module.startswith("mlops_workbench"))
    kind = type(resolve(node, names))
    return kind.__name__ == "track" and kind.__module__.startswith("mlops_workbench")


def without_blocks(tree: ast.Module, names: Names) -> tuple[ast.Module, frozenset[int]]:
    """Separate the code of a run from that of the runs inside it.

    Returns
    -------
    own : ast.Module
        The tree with empty blocks of ``with track(...)``; the same one if it has none.
    apart : frozenset of int
        ``id`` of the statements in those blocks.
    """
    blocks = [node for node in _withs(tree) if _starts_run(node, names)]
    if not blocks:
        return tree, frozenset()
    apart = frozenset(
        id(part) for block in blocks for inner in block.body for part in ast.walk(inner) if isinstance(part, ast.stmt)
    )
    return _pruned(tree, {id(block) for block in blocks}), apart


def block_of(frame: FrameType, cell: ast.Module | None) -> ast.Module | None:
    """Return the code of the ``with`` block that a frame is entering or leaving, None when it is unknown.

    Parameters
    ----------
    frame : frame
        The frame that called ``__enter__`` or ``__exit__``.
    cell : ast.Module or None
        The running cell, for code that a magic compiled without a file name.
    """
    code = frame.f_code
    place = next(islice(code.co_positions(), frame.f_lasti // 2, None), None)
    if place is None or None in place:
        return None
    lines = linecache.getlines(code.co_filename)
    tree = _parsed("".join(lines)) if lines else cell if code.co_name == "<module>" else None
    for node in _withs(tree) if tree is not None else ():
        # The statement, or an expression in it: versions of Python differ.
        if place in [_place(part) for part in (node, *(item.context_expr for item in node.items))]:
            return _body(node)
    return None


@lru_cache(maxsize=8)
def _parsed(source: str) -> ast.Module | None:
    return parse_cell(source)


@lru_cache(maxsize=8)
def _withs(tree: ast.Module) -> list[ast.With]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.With)]


@lru_cache(maxsize=32)
def _body(block: ast.With) -> ast.Module:
    # The same tree each time, because what is read from it is cached.
    return ast.Module(body=block.body, type_ignores=[])


def _starts_run(block: ast.With, names: Names) -> bool:
    return any(starts_run(item.context_expr, names) for item in block.items)


def _pruned(node: _Node, blocks: set[int]) -> _Node:
    """Return a copy of a node in which the bodies of `blocks` are empty."""
    changed = copy.copy(node)
    for name in _BODIES:
        parts = getattr(node, name, None)
        if isinstance(parts, list):
            setattr(changed, name, [_pruned(part, blocks) for part in parts])
    if id(node) in blocks:
        changed.body = [ast.Pass()]  # type: ignore[attr-defined]
    return changed


def _place(node: ast.With | ast.expr) -> tuple[int | None, ...]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset
