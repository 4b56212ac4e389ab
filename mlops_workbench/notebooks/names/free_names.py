"""Names that the body of a function reads from the module."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def free_names(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    """Return the names that a function and those nested in it read from outside.

    Parameters
    ----------
    node : ast.FunctionDef, ast.AsyncFunctionDef or ast.Lambda
        The function. Its decorators, defaults and annotations are excluded: they run where it is defined.
    """
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    return _free(body, {argument.arg for argument in arguments(node.args)})


def arguments(args: ast.arguments) -> Iterator[ast.arg]:
    """Yield all arguments of a function."""
    yield from args.posonlyargs
    yield from args.args
    yield from args.kwonlyargs
    for argument in (args.vararg, args.kwarg):
        if argument is not None:
            yield argument


def _free(body: list[ast.stmt] | list[ast.expr], bound: set[str]) -> set[str]:
    loads: set[str] = set()
    own = set(bound)
    outer: set[str] = set()
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name):
            (loads if isinstance(node.ctx, ast.Load) else own).add(node.id)
        elif isinstance(node, ast.Global):
            outer.update(node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            loads |= free_names(node)
            if not isinstance(node, ast.Lambda):
                own.add(node.name)
                stack.extend(node.decorator_list)
            stack.extend(default for default in (*node.args.defaults, *node.args.kw_defaults) if default is not None)
        elif isinstance(node, ast.ClassDef):
            own.add(node.name)
            stack.extend((*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)))
            loads |= _free(node.body, set())
        elif isinstance(node, _COMPREHENSIONS):
            inner, walrus = _comprehension(node)
            loads |= inner
            own |= walrus
        else:
            own |= named(node)
            stack.extend(ast.iter_child_nodes(node))
    return (loads - own) | (loads & outer)


def _comprehension(node: ast.AST) -> tuple[set[str], set[str]]:
    """Return the names that a comprehension reads from its scope, and those that it binds in it."""
    targets: set[str] = set()
    walrus: set[str] = set()
    parts: list[ast.expr] = []
    for generator in getattr(node, "generators", []):
        targets |= {name.id for name in ast.walk(generator.target) if isinstance(name, ast.Name)}
        parts += [generator.iter, *generator.ifs]
    parts += [getattr(node, field) for field in ("elt", "key", "value") if hasattr(node, field)]
    for part in parts:
        walrus |= {inner.target.id for inner in ast.walk(part) if isinstance(inner, ast.NamedExpr)}
    return _free(parts, targets), walrus


def named(node: ast.AST) -> set[str]:
    """Return the names that an import, exception handler or pattern binds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names if alias.name != "*"}
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return {node.name} if node.name else set()
    if isinstance(node, ast.MatchMapping):
        return {node.rest} if node.rest else set()
    return set()


def expression_names(node: ast.expr) -> set[str]:
    """Return the names that an expression reads from its scope, also in lambdas and comprehensions."""
    return _free([node], set())
