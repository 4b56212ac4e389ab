"""Effects of the calls in a cell: functions, methods, and magics, which IPython turns into calls."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from mlops_workbench.notebooks.names.effects import (
    call_effects,
    command_effects,
    expanded_names,
    magic_code,
    magic_effects,
    runs_in_own_scope,
)
from mlops_workbench.notebooks.names.nouns import ACCUMULATING, CellNames, FunctionCall, MethodCall
from mlops_workbench.notebooks.names.scope import Scope
from mlops_workbench.notebooks.source import called_name, root_name

#: Functions of any module that derive a new value of their first argument from the old one.
_BUILD_ON_FIRST = frozenset(
    ("shuffle", "heappush", "heappop", "heapreplace", "heappushpop", "insort", "insort_left", "insort_right")
)
#: These, and functions that change their first argument in the same way when called again.
_CHANGE_FIRST = _BUILD_ON_FIRST | frozenset(
    ("heapify", "setattr", "delattr", "fill_diagonal", "copyto", "putmask", "place", "put", "put_along_axis")
)

_OPAQUE_CALLS = ("exec", "eval", "globals", "locals", "vars")
_OPAQUE_MAGICS = ("run", "load", "store", "pylab", "reset", "reset_selective", "sx", "sc")


class Calls(Scope):
    """Records calls; the code that a magic runs is visited as a part of the cell."""

    def finish(self) -> CellNames:
        """Return the result."""
        names = self.names
        names.effects = list(dict.fromkeys(names.effects))
        names.repeats &= names.writes | {call.name for call in names.methods}
        return names

    def block(self, body: Sequence[ast.stmt]) -> None:
        """Visit statements in their order."""
        for statement in body:
            self.visit(statement)

    def _branch(self, body: Sequence[ast.stmt]) -> set[str]:
        """Visit a block that may not run, and return the names that are certainly bound at its end."""
        before, straight = set(self._bound), self._straight
        self._straight = False
        self.block(body)
        after, self._bound, self._straight = self._bound, before, straight
        return after

    def _join(self, branches: Sequence[set[str]]) -> None:
        # Sorted, so that the same cell always gives the same record.
        for name in sorted(set.intersection(*branches) - self._bound):
            self._binds(name)

    def visit_Call(self, node: ast.Call) -> None:
        """Record a method, a function or a magic, which may change values."""
        discarded, self._discarded = node is self._discarded, None
        if self._magic(node):
            return
        self._method(node, discarded)
        self._function(node)
        self.names.effects.extend(call_effects(node, lambda name: self._paths.get(name) or self._value_of(name)))
        self.generic_visit(node)

    def _method(self, node: ast.Call, discarded: bool) -> None:
        if not isinstance(node.func, ast.Attribute):
            return
        owner = node.func.value
        root = root_name(owner)
        if not root or root in self._local:
            return
        inplace = any(
            (keyword.arg == "inplace" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True)
            for keyword in node.keywords
        )
        method = node.func.attr
        self.names.methods.append(MethodCall(root, method, isinstance(owner, ast.Name), discarded, inplace))
        if method in ACCUMULATING and root not in self._bound:
            self.names.repeats.add(root)

    def _function(self, node: ast.Call) -> None:
        name = called_name(node.func)
        for keyword in node.keywords:
            if keyword.arg == "out" and (root := root_name(keyword.value)):
                self._updates(root)
        if name in _CHANGE_FIRST and node.args and (root := root_name(node.args[0])):
            self._updates(root)
            if name in _BUILD_ON_FIRST and root not in self._local and root not in self._bound:
                self.names.repeats.add(root)
        if isinstance(node.func, ast.Name) and node.func.id not in self._local:
            if node.func.id in _OPAQUE_CALLS:
                self.names.opaque = True
            given: dict[int | str, str] = {}
            for position, argument in enumerate(node.args):
                if isinstance(argument, ast.Starred):
                    break
                if root := root_name(argument):
                    given[position] = root
            given |= {
                keyword.arg: root for keyword in node.keywords if keyword.arg and (root := root_name(keyword.value))
            }
            self.names.calls.append(FunctionCall(node.func.id, given))

    def _magic(self, node: ast.Call) -> bool:
        """Record a call that IPython generated for a magic or a command; return whether it is one."""
        function = node.func
        if not (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Call)
            and isinstance(function.value.func, ast.Name)
            and function.value.func.id == "get_ipython"
        ):
            return False
        texts = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        if len(texts) != len(node.args) or not texts:
            return False
        if function.attr in ("system", "getoutput", "getoutputs", "system_raw", "system_piped"):
            self.names.effects.extend(command_effects(texts[0]))
            self._expanded(texts[0])
            return True
        if function.attr not in ("run_line_magic", "run_cell_magic"):
            return False
        name, line, body = texts[0], texts[1] if len(texts) > 1 else "", texts[2] if len(texts) > 2 else None
        effects = list(magic_effects(name, line))
        if "@shell" in effects and body is not None:
            effects += command_effects(body)
        self.names.effects.extend(effects)
        self._expanded(line)
        # An extension may bind names; this one does not.
        loads = name in ("load_ext", "reload_ext") and line.strip() != "mlops_workbench"
        self.names.opaque |= loads or name in _OPAQUE_MAGICS
        code = magic_code(name, line, body)
        tree = self._parse(code) if code else None
        if tree is None:
            return True
        if runs_in_own_scope(name):
            inner = type(self)(self._parse)
            inner.block(tree.body)
            for read in inner.finish().exposed:
                self._reads(read)
        else:
            self.block(tree.body)
        return True

    def _expanded(self, text: str) -> None:
        for name in sorted(expanded_names(text)):
            self._reads(name)
