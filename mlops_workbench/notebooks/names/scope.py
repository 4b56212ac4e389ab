"""Scope of the visitor of a cell: the names bound so far, and the recorded uses."""

from __future__ import annotations

import ast
from collections.abc import Callable

from mlops_workbench.notebooks.names.effects import dotted
from mlops_workbench.notebooks.names.free_names import expression_names
from mlops_workbench.notebooks.names.nouns import CellNames
from mlops_workbench.notebooks.source import parse_cell, root_name

_ENVIRON = ("os.environ", "environ")


class Scope(ast.NodeVisitor):
    """Fills a `CellNames` and keeps the names that are certainly bound at the visited node.

    Parameters
    ----------
    parse : callable, optional
        Parses the code in a magic.
    value_of : callable, optional
        Returns the known text value of a name.
    """

    def __init__(
        self,
        parse: Callable[[str], ast.Module | None] | None = None,
        value_of: Callable[[str], str] | None = None,
    ) -> None:
        self.names = CellNames()
        self._parse = parse or parse_cell
        self._value_of = value_of or (lambda name: "")
        self._paths: dict[str, str] = {}
        self._bound: set[str] = set()
        # Names local to comprehensions, lambdas, class bodies and handlers.
        self._local: set[str] = set()
        self._globals: set[str] = set()
        self._in_class = False
        self._straight = True
        self._discarded: ast.expr | None = None
        self._lazy_annotations = False

    def _reads(self, name: str) -> None:
        if name in self._local:
            return
        self.names.reads.setdefault(name, len(self.names.straight))
        if name not in self._bound:
            self.names.exposed.add(name)

    def _binds(self, name: str) -> None:
        if self._in_class and name not in self._globals:
            self._local.add(name)
            return
        if name in self._local:
            return
        self.names.writes.add(name)
        self.names.deletes.discard(name)
        self._paths.pop(name, None)
        if self._straight and name not in self._bound:
            self.names.straight.append(name)
        self._bound.add(name)

    def _updates(self, name: str) -> None:
        if name not in self._local:
            self.names.writes.add(name)
            self.names.updates.add(name)
            self.names.slots[name] = set()

    def _sets(self, name: str, key: object) -> None:
        """Record the assignment of an item or attribute."""
        if name in self._local:
            return
        if name not in self.names.updates:
            self.names.writes.add(name)
            self.names.updates.add(name)
            self.names.slots[name] = {key}
        elif self.names.slots[name]:
            self.names.slots[name].add(key)

    def _store(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._binds(target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._store(element)
        elif isinstance(target, ast.Starred):
            self._store(target.value)
        elif isinstance(target, ast.Attribute | ast.Subscript):
            if isinstance(target, ast.Subscript):
                self.visit(target.slice)
                if dotted(target.value) in _ENVIRON:
                    self.names.effects.append("@environ")
            self.visit(target.value)
            if root := root_name(target):
                slot = slot_of(target)
                if slot is None or not self._straight or isinstance(target.ctx, ast.Del):
                    self._updates(root)
                else:
                    self._sets(root, slot[1])

    def _delete(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            if target.id in self._local:
                return
            self.names.writes.discard(target.id)
            self.names.deletes.add(target.id)
            self._bound.discard(target.id)
        elif isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._delete(element)
        else:
            self._store(target)

    def _builds_on(self, target: ast.expr, value: ast.expr) -> None:
        """Record names whose new value is derived from the old one."""
        if isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._builds_on(element.value if isinstance(element, ast.Starred) else element, value)
        elif isinstance(target, ast.Name):
            if target.id not in self._bound | self._local and target.id in expression_names(value):
                self.names.repeats.add(target.id)
        elif (root := root_name(target)) and root not in self._bound | self._local:
            slot = slot_of(target)
            if slot is not None and any(slot_of(part) == slot for part in ast.walk(value)):
                self.names.repeats.add(root)


def slot_of(node: ast.AST) -> tuple[str, object] | None:
    """Return name and key of ``x["key"]`` or ``x.key``, or None for other nodes."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id, node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and isinstance(node.slice, ast.Constant):
        return node.value.id, node.slice.value
    return None
