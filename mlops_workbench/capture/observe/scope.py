"""Statements and calls of a cell, those inside functions and classes left out."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

_NESTED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

#: Cell magics that run their cell in the notebook's own namespace.
_TRANSPARENT = ("time", "capture", "prun")

#: Names a value is looked up in.
Names = Mapping[str, Any]


def parse_cell(source: str) -> ast.Module | None:
    """Syntax tree of Python source, None when it is not Python."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


def unwrap_magics(tree: ast.Module | None, transform: Callable[[str], str]) -> ast.Module | None:
    """Put the code of ``%%time``, ``%%capture`` and ``%%prun`` in the place of the call it was turned into.

    Parameters
    ----------
    tree : ast.Module or None
        A cell after IPython's transformation.
    transform : callable
        That transformation.
    """
    if tree is None:
        return None
    body: list[ast.stmt] = []
    for statement in tree.body:
        code = _magic_body(statement)
        inner = unwrap_magics(parse_cell(transform(code)), transform) if code is not None else None
        body += inner.body if inner is not None else [statement]
    return ast.Module(body=body, type_ignores=[])


def statements(tree: ast.Module | None) -> Iterator[ast.stmt]:
    """Statements that run in the cell's own scope, in order of the source; bodies of blocks included."""
    stack = list(reversed(tree.body)) if tree is not None else []
    while stack:
        statement = stack.pop()
        yield statement
        if isinstance(statement, _NESTED):
            continue
        inner: list[ast.stmt] = []
        for field in ("body", "orelse", "finalbody"):
            inner += getattr(statement, field, [])
        for part in (*getattr(statement, "handlers", []), *getattr(statement, "cases", [])):
            inner += part.body
        stack.extend(reversed(inner))


def expressions(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a statement's own expressions, without blocks, functions and comprehensions in it."""
    stack: list[ast.AST] = [node]
    while stack:
        found = stack.pop()
        yield found
        stack.extend(
            child
            for child in ast.iter_child_nodes(found)
            if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case | _NESTED | _COMPREHENSIONS)
        )


def assignments(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Pairs of target and value of an assignment; ``a, b = x, y`` gives two."""
    if isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from _pairs(target, statement.value)
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        yield statement.target, statement.value


def bound_names(statement: ast.stmt) -> set[str]:
    """Names that a statement itself binds, changes or deletes in the cell's scope."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    bound = {
        node.id
        for node in expressions(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del)
    }
    if isinstance(statement, ast.Try | ast.TryStar):
        bound |= {handler.name for handler in statement.handlers if handler.name}
    return bound


def identities(tree: ast.Module | None, names: Names) -> dict[str, int]:
    """``id`` of the values that the names a cell binds have now.

    Ids and not values: a reference would keep the old table in memory while the new one is made. As a new value
    is made before its name lets go of the old one, the two never share an id.
    """
    bound = {name for statement in statements(tree) for name in bound_names(statement)}
    return {name: id(names[name]) for name in bound if name in names}


def is_new(name: str, names: Names, before: Mapping[str, int]) -> bool:
    """Whether a name has a value that it did not have before."""
    return name in names and id(names[name]) != before.get(name)


def resolve(node: ast.expr, names: Names) -> Any:
    """Value that an expression stood for, as far as looking it up has no effect; None when unknown.

    Names, attributes of modules, and items of plain lists, tuples and dicts are looked up; nothing is called.
    """
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolve(node.value, names)
        return vars(owner).get(node.attr) if isinstance(owner, ModuleType) else None
    if isinstance(node, ast.Subscript):
        owner = resolve(node.value, names)
        if type(owner) in (dict, list, tuple):
            try:
                return owner[ast.literal_eval(node.slice)]
            except (ValueError, TypeError, LookupError, SyntaxError):
                # ``models[name]``, with a name that is plain text.
                key = names.get(node.slice.id) if isinstance(node.slice, ast.Name) else None
                return owner.get(key) if isinstance(owner, dict) and isinstance(key, str) else None
    return None


def _magic_body(statement: ast.stmt) -> str | None:
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "run_cell_magic"):
        return None
    values = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    return values[2] if len(values) == 3 and values[0] in _TRANSPARENT and isinstance(values[2], str) else None


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    sequences = ast.Tuple | ast.List
    if (
        isinstance(target, sequences)
        and isinstance(value, sequences)
        and len(target.elts) == len(value.elts)
        and not any(isinstance(element, ast.Starred) for element in (*target.elts, *value.elts))
    ):
        for one, other in zip(target.elts, value.elts, strict=True):
            yield from _pairs(one, other)
    else:
        yield target, value
