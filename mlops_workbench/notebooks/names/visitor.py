"""Visitor of a cell's syntax tree in execution order, for `names.cell_names`."""

from __future__ import annotations

import ast

from mlops_workbench.notebooks.names.calls import Calls
from mlops_workbench.notebooks.names.free_names import arguments, free_names, named
from mlops_workbench.notebooks.names.nouns import FunctionNames
from mlops_workbench.notebooks.source import called_name, root_name

#: Decorators that do not call the decorated function.
_INERT = frozenset(
    (
        "property", "setter", "getter", "deleter", "staticmethod", "classmethod", "dataclass", "wraps", "cache",
        "lru_cache", "cached_property", "singledispatch", "register", "contextmanager", "asynccontextmanager",
        "abstractmethod", "overload", "override", "final", "total_ordering", "no_grad", "inference_mode", "njit", "jit",
        "vectorize", "guvectorize", "function", "compile", "track", "fixture", "runtime_checkable", "define", "frozen",
        "delayed", "remote", "task", "flow", "retry", "singleton", "autocast",
    )
)  # fmt: skip

#: Context managers that suppress errors of their block.
_SUPPRESSING = ("suppress", "raises", "assertRaises")


class NamesVisitor(Calls):
    """Fills a `CellNames` from statements and expressions in execution order."""

    def visit_If(self, node: ast.If) -> None:
        """A name is certainly bound if both branches bind it."""
        self.visit(node.test)
        self._join([self._branch(node.body), self._branch(node.orelse)])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        """The body may not run at all."""
        self.visit(node.iter)
        before, straight = set(self._bound), self._straight
        self._straight = False
        self._store(node.target)
        self.block(node.body)
        self._bound, self._straight = before, straight
        self._branch(node.orelse)

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> None:
        """The body may not run at all."""
        self.visit(node.test)
        self._branch(node.body)
        self._branch(node.orelse)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        """A name is certainly bound if the body and all handlers bind it."""
        paths = [self._branch([*node.body, *node.orelse])]
        for handler in node.handlers:
            if handler.type is not None:
                self.visit(handler.type)
            local = set(self._local)
            if handler.name:
                self._local.add(handler.name)
            paths.append(self._branch(handler.body))
            self._local = local
        self._join(paths)
        self.block(node.finalbody)

    visit_TryStar = visit_Try

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        """The block runs once, completely unless errors are suppressed."""
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self._store(item.optional_vars)
        if any(called_name(item.context_expr) in _SUPPRESSING for item in node.items):
            self._branch(node.body)
        else:
            self.block(node.body)

    visit_AsyncWith = visit_With

    def visit_Match(self, node: ast.Match) -> None:
        """One of the cases may run, or none."""
        self.visit(node.subject)
        for case in node.cases:
            before, straight = set(self._bound), self._straight
            self._straight = False
            for part in ast.walk(case.pattern):
                for name in named(part):
                    self._binds(name)
                if isinstance(part, ast.MatchValue):
                    self.visit(part.value)
                elif isinstance(part, ast.MatchClass):
                    self.visit(part.cls)
            if case.guard is not None:
                self.visit(case.guard)
            self.block(case.body)
            self._bound, self._straight = before, straight

    # Definitions

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Decorators, defaults and annotations run now, the body when the function is called."""
        for decorator in node.decorator_list:
            self.visit(decorator)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        if not self._lazy_annotations:
            for argument in arguments(node.args):
                if argument.annotation is not None:
                    self.visit(argument.annotation)
            if node.returns is not None:
                self.visit(node.returns)
        if not all(called_name(decorator) in _INERT for decorator in node.decorator_list):
            # A decorator may call it.
            for name in sorted(free_names(node)):
                self._reads(name)
        if not self._in_class:
            inner = NamesVisitor(self._parse)
            inner.block(node.body)
            positional = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            keywords = [argument.arg for argument in node.args.kwonlyargs]
            self.names.functions[node.name] = FunctionNames((*positional, *keywords), inner.finish())
        self._binds(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """The body runs now, in a scope of its own."""
        for part in (*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)):
            self.visit(part)
        local, in_class = set(self._local), self._in_class
        self._in_class = True
        self.block(node.body)
        self._local, self._in_class = local, in_class
        self._binds(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """The function that gets it may call it at once."""
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        for name in sorted(free_names(node)):
            self._reads(name)

    def visit_Global(self, node: ast.Global) -> None:
        """In a class body, the names belong to the notebook."""
        self._globals.update(node.names)

    # Statements that bind

    def visit_Assign(self, node: ast.Assign) -> None:
        """``a = b = value``."""
        if isinstance(node.value, ast.Lambda) and all(isinstance(target, ast.Name) for target in node.targets):
            for default in (*node.value.args.defaults, *node.value.args.kw_defaults):
                if default is not None:
                    self.visit(default)
        else:
            self.visit(node.value)
        for target in node.targets:
            self._builds_on(target, node.value)
            self._store(target)
        first = node.targets[0]
        if isinstance(first, ast.Name) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            self._paths[first.id] = node.value.value

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """``a: int = value``; without a value nothing is bound."""
        if not self._lazy_annotations:
            self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self._builds_on(node.target, node.value)
            self._store(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """``a += value`` reads and binds ``a``, and may change its value in place."""
        self.visit(node.value)
        root = root_name(node.target)
        if isinstance(node.target, ast.Name):
            self._reads(node.target.id)
        if root and root not in self._local and root not in self._bound:
            self.names.repeats.add(root)
        self._store(node.target)
        if root:
            self._updates(root)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """``(a := value)`` binds in the cell, also from inside a comprehension."""
        self.visit(node.value)
        self._builds_on(node.target, node.value)
        self._local.discard(node.target.id)
        self._store(node.target)

    def visit_Import(self, node: ast.Import) -> None:
        """Binds the first part of a dotted name."""
        for name in sorted(named(node)):
            self._binds(name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """A star import binds names that are not in the source."""
        if any(alias.name == "*" for alias in node.names):
            self.names.opaque = True
        if node.module == "sklearn.experimental":
            # The import itself makes other imports possible.
            self.names.effects.append("@settings")
        if node.module == "__future__" and any(alias.name == "annotations" for alias in node.names):
            self._lazy_annotations = True
        for name in sorted(named(node)):
            self._binds(name)

    def visit_Delete(self, node: ast.Delete) -> None:
        """``del a`` deletes the name, ``del a[0]`` changes its value."""
        for target in node.targets:
            self._delete(target)

    def visit_Expr(self, node: ast.Expr) -> None:
        """The value of the expression is discarded."""
        value = node.value.value if isinstance(node.value, ast.Await) else node.value
        self._discarded = value
        self.visit(node.value)

    # Expressions

    def visit_Name(self, node: ast.Name) -> None:
        """A name is read or stored."""
        if isinstance(node.ctx, ast.Load):
            self._reads(node.id)
        else:
            self._store(node)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        """All but the first iterable has its own scope."""
        local = set(self._local)
        bound, straight = set(self._bound), self._straight
        for position, generator in enumerate(node.generators):
            self.visit(generator.iter)
            if position == 0:
                self._straight = False
            self._local |= {part.id for part in ast.walk(generator.target) if isinstance(part, ast.Name)}
            for condition in generator.ifs:
                self.visit(condition)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        self._local, self._bound, self._straight = local, bound, straight

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Operands after the first may not be evaluated."""
        self.visit(node.values[0])
        for value in node.values[1:]:
            self._maybe(value)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """One of the two is evaluated."""
        self.visit(node.test)
        self._maybe(node.body)
        self._maybe(node.orelse)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """``Out[3]`` is the same output as ``_3``."""
        if (
            isinstance(node.value, ast.Name)
            and node.value.id == "Out"
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, int)
        ):
            self._reads(f"_{node.slice.value}")
        self.generic_visit(node)

    def _maybe(self, node: ast.expr) -> None:
        before, straight = set(self._bound), self._straight
        self._straight = False
        self.visit(node)
        self._bound, self._straight = before, straight
