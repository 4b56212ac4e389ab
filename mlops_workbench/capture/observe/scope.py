"""Statements and calls of a cell, those inside functions and classes left out."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

_NESTED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

#: Cell magics that run their cell in the notebook's own namespace.
_TRANSPARENT = ("time", "capture", "prun")

_MAX_ITEMS = 1000
_CHANGING = ("append", "extend", "update", "insert", "pop", "sort", "remove", "clear")

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


#: Target and iterable of a ``for``, of a statement or of a comprehension.
Loop = tuple[ast.expr, ast.expr]


@dataclass(frozen=True)
class Placed:
    """A statement and where it stands.

    Attributes
    ----------
    statement : ast.stmt
        The statement.
    loops : tuple of Loop
        The loops around it, the innermost last.
    certain : bool
        Whether it was reached if the cell ended without an error.
    """

    statement: ast.stmt
    loops: tuple[Loop, ...] = ()
    certain: bool = True


def placed(body: list[ast.stmt]) -> Iterator[Placed]:
    """Statements that run in one scope, in order of the source; bodies of blocks included."""
    stack = [Placed(statement) for statement in reversed(body)]
    while stack:
        here = stack.pop()
        yield here
        statement, loops = here.statement, here.loops
        if isinstance(statement, _NESTED):
            continue
        inside = loops
        if isinstance(statement, ast.For | ast.AsyncFor):
            inside = (*loops, (statement.target, statement.iter))
        certain = here.certain and isinstance(statement, ast.With | ast.AsyncWith)
        inner = [Placed(part, inside, certain) for part in getattr(statement, "body", [])]
        for field_name in ("orelse", "finalbody"):
            inner += [Placed(part, loops, False) for part in getattr(statement, field_name, [])]
        for part in (*getattr(statement, "handlers", []), *getattr(statement, "cases", [])):
            inner += [Placed(one, loops, False) for one in part.body]
        stack.extend(reversed(inner))


def statements(tree: ast.Module | None) -> Iterator[ast.stmt]:
    """Statements that run in the cell's own scope, in order of the source; bodies of blocks included."""
    for here in placed(tree.body) if tree is not None else ():
        yield here.statement


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
    for node in expressions(statement):
        if isinstance(node, ast.NamedExpr):
            yield node.target, node.value


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


@dataclass(frozen=True)
class Before:
    """What the names of a cell stood for before it ran.

    Ids and not values: a reference would keep the old table in memory while the new one is made. As a new value
    is made before its name lets go of the old one, the two never share an id.

    Attributes
    ----------
    ids : mapping
        ``id`` of the value of each name that the cell binds.
    lengths : mapping
        Length of each list that the cell may add to.
    items : mapping
        For each dict that the cell may change: key to ``id`` of its value.
    """

    ids: Mapping[str, int] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    items: Mapping[str, Mapping[Any, int]] = field(default_factory=dict)


def look_before(tree: ast.Module | None, names: Names) -> Before:
    """Note what the names of a cell stand for before it runs."""
    ids: dict[str, int] = {}
    lengths: dict[str, int] = {}
    items: dict[str, Mapping[Any, int]] = {}
    for statement in statements(tree):
        changed = changed_in_place(statement)
        ids.update({name: id(names[name]) for name in bound_names(statement) | changed if name in names})
        for name in changed:
            value = names.get(name)
            if type(value) is list:
                lengths[name] = len(value)
            elif type(value) is dict and len(value) <= _MAX_ITEMS:
                items[name] = {key: id(item) for key, item in value.items()}
    return Before(ids, lengths, items)


def is_new(name: str, names: Names, before: Before) -> bool:
    """Whether a name has a value that it did not have before."""
    return name in names and id(names[name]) != before.ids.get(name)


def changed_in_place(statement: ast.stmt) -> set[str]:
    """Names whose values a statement changes without binding the name: ``scores["a"] = 1``, ``scores.append(1)``."""
    changed: set[str] = set()
    for node in expressions(statement):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            changed.add(root_name(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            inplace = any(
                word.arg == "inplace" and isinstance(word.value, ast.Constant) and word.value.value is True
                for word in node.keywords
            )
            if inplace or node.func.attr in _CHANGING:
                changed.add(root_name(node.func))
    return changed - {""}


def root_name(node: ast.expr) -> str:
    """The name that an expression begins with: ``scores`` of ``scores["a"].append``; empty when with none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def called_name(call: ast.Call) -> str:
    """Last part of the name of what is called: ``fit`` of ``model.fit(X)``."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


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
