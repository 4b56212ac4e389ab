"""Statements and calls of a cell, without those inside functions and classes."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import ModuleType
from typing import Any

from mlops_workbench.notebooks.source import root_name

# Tuples, which isinstance checks faster than unions: every node of every cell is checked.
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_FORS = (ast.For, ast.AsyncFor)
_WITHS = (ast.With, ast.AsyncWith)
_TRIES = (ast.Try, ast.TryStar)
_PARTS = (ast.Subscript, ast.Attribute)
_STORED = (ast.Store, ast.Del)
_SEQUENCES = (ast.Tuple, ast.List)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_OPERATORS = (ast.expr_context, ast.operator, ast.cmpop, ast.unaryop, ast.boolop)
_BLOCKS = (ast.stmt, ast.excepthandler, ast.match_case, ast.Lambda, *_OPERATORS)

_MAX_ITEMS = 1000
_CHANGING = ("append", "extend", "update", "insert", "pop", "sort", "remove", "clear")

#: A namespace.
Names = Mapping[str, Any]
#: Target and iterable of a ``for`` in a statement or a comprehension.
Loop = tuple[ast.expr, ast.expr]


class Placed:
    """A statement with its loops and the parts of its expressions.

    Blocks, functions and comprehensions within the statement are not parts of its expressions. The parts are cached
    for several readers.

    Parameters
    ----------
    statement : ast.stmt
        The statement.
    loops : tuple of Loop
        The loops around it, the innermost last.
    certain : bool
        Whether it certainly runs if the cell ends without an error.
    """

    def __init__(self, statement: ast.stmt, loops: tuple[Loop, ...] = (), certain: bool = True) -> None:
        self.statement = statement
        self.loops = loops
        self.certain = certain
        self._comprehends = False

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Nodes of its expressions."""
        found: list[ast.AST] = []
        stack: list[ast.AST] = [self.statement]
        while stack:
            node = stack.pop()
            found.append(node)
            for name in node._fields:
                value = getattr(node, name, None)
                for child in value if isinstance(value, list) else (value,):
                    if not isinstance(child, ast.AST) or isinstance(child, _BLOCKS):
                        continue
                    if isinstance(child, _COMPREHENSIONS):
                        self._comprehends = True
                    else:
                        stack.append(child)
        return found

    @cached_property
    def assigned(self) -> list[tuple[ast.expr, ast.expr]]:
        """Pairs of target and value of its assignments; ``a, b = x, y`` gives two."""
        found: list[tuple[ast.expr, ast.expr]] = []
        statement = self.statement
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                found += _pairs(target, statement.value)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            found.append((statement.target, statement.value))
        return found + [(node.target, node.value) for node in self.nodes if isinstance(node, ast.NamedExpr)]

    @cached_property
    def bound(self) -> frozenset[str]:
        """Names that it binds or deletes in the cell's scope."""
        statement = self.statement
        if isinstance(statement, _DEFINITIONS):
            return frozenset((statement.name,))
        if isinstance(statement, _IMPORTS):
            return frozenset((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
        bound = {node.id for node in self.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, _STORED)}
        if isinstance(statement, _TRIES):
            bound |= {handler.name for handler in statement.handlers if handler.name}
        return frozenset(bound)

    @cached_property
    def changed(self) -> frozenset[str]:
        """Names whose values it changes without binding them: ``scores["a"] = 1``, ``scores.append(1)``."""
        changed: set[str] = set()
        for node in self.nodes:
            if isinstance(node, _PARTS):
                if isinstance(node.ctx, _STORED):
                    changed.add(root_name(node))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                inplace = any(word.arg == "inplace" and _is_true(word.value) for word in node.keywords)
                if inplace or node.func.attr in _CHANGING:
                    changed.add(root_name(node.func))
        return frozenset(changed - {""})

    @cached_property
    def calls(self) -> list[tuple[ast.Call, tuple[Loop, ...]]]:
        """Its calls with the loops around them, inner ones first, including those in comprehensions."""
        outer = [(node, self.loops) for node in reversed(self.nodes) if isinstance(node, ast.Call)]
        if not self._comprehends:
            return outer
        found: list[tuple[ast.Call, tuple[Loop, ...]]] = []
        _find_calls(self.statement, self.loops, found)
        return found


def placed(body: list[ast.stmt]) -> list[Placed]:
    """Return the statements of a scope in source order, including those in blocks."""
    found: list[Placed] = []
    stack = [Placed(statement) for statement in reversed(body)]
    while stack:
        here = stack.pop()
        found.append(here)
        statement, loops = here.statement, here.loops
        if isinstance(statement, _DEFINITIONS):
            continue
        inside = loops
        if isinstance(statement, _FORS):
            inside = (*loops, (statement.target, statement.iter))
        certain = here.certain and isinstance(statement, _WITHS)
        inner = [Placed(part, inside, certain) for part in getattr(statement, "body", ())]
        for name in ("orelse", "finalbody"):
            inner += [Placed(part, loops, False) for part in getattr(statement, name, ())]
        for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            inner += [Placed(one, loops, False) for one in part.body]
        stack.extend(reversed(inner))
    return found


@lru_cache(maxsize=8)
def code_of(tree: ast.Module | None) -> tuple[Placed, ...]:
    """Return the statements of a cell's scope, cached by tree."""
    return tuple(placed(tree.body)) if tree is not None else ()


@dataclass(frozen=True)
class Before:
    """Identities of the values of names before a cell.

    Ids are used because references would keep old tables in memory. A new value is created before its name releases
    the old one, so the two have different ids.

    Attributes
    ----------
    ids : mapping
        ``id`` of the value of each name that the cell binds.
    lengths : mapping
        Length of each list that the cell may extend.
    items : mapping
        For each dict that the cell may change, key to ``id`` of its value.
    """

    ids: Mapping[str, int] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    items: Mapping[str, Mapping[Any, int]] = field(default_factory=dict)


def read_before(tree: ast.Module | None, names: Names) -> Before:
    """Return the identities of the values of names that a cell may change, before it runs."""
    ids: dict[str, int] = {}
    lengths: dict[str, int] = {}
    items: dict[str, Mapping[Any, int]] = {}
    for here in code_of(tree):
        ids.update({name: id(names[name]) for name in here.bound | here.changed if name in names})
        for name in here.changed:
            value = names.get(name)
            if type(value) is list:
                lengths[name] = len(value)
            elif type(value) is dict and len(value) <= _MAX_ITEMS:
                items[name] = {key: id(item) for key, item in value.items()}
    return Before(ids, lengths, items)


def is_new(name: str, names: Names, before: Before) -> bool:
    """Whether the cell gave a name another value."""
    return name in names and id(names[name]) != before.ids.get(name)


def resolve(node: ast.expr, names: Names) -> Any:
    """Return the value of an expression, found without side effects, or None when it is unknown.

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
                # ``models[name]``, where the name is text.
                key = names.get(node.slice.id) if isinstance(node.slice, ast.Name) else None
                return owner.get(key) if isinstance(owner, dict) and isinstance(key, str) else None
    return None


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    if (
        isinstance(target, _SEQUENCES)
        and isinstance(value, _SEQUENCES)
        and len(target.elts) == len(value.elts)
        and not any(isinstance(element, ast.Starred) for element in (*target.elts, *value.elts))
    ):
        parts = zip(target.elts, value.elts, strict=True)
        return [pair for one, other in parts for pair in _pairs(one, other)]
    return [(target, value)]


def _find_calls(node: ast.AST, loops: tuple[Loop, ...], found: list[tuple[ast.Call, tuple[Loop, ...]]]) -> None:
    if isinstance(node, _COMPREHENSIONS):
        for part in node.generators:
            _find_calls(part.iter, loops, found)
        inner = (*loops, *((part.target, part.iter) for part in node.generators))
        for element in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            _find_calls(element, inner, found)
        return
    for name in node._fields:
        value = getattr(node, name, None)
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, ast.AST) and not isinstance(child, _BLOCKS):
                _find_calls(child, loops, found)
    if isinstance(node, ast.Call):
        found.append((node, loops))


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
