"""The run of a block of ``with track(...)``, or of a call of a function with ``@track``, in a notebook."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

from mlops_workbench.capture.cells.observation import Observation
from mlops_workbench.capture.kernel.deferred import DeferredWork, quietly
from mlops_workbench.capture.observe.blocks import block_of
from mlops_workbench.capture.observe.own_functions import definition, own_function
from mlops_workbench.capture.observe.scope import Names, code_of
from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.session.session import Session


class BlockRun:
    """Observes a block, when it is left, in the namespace of its cell or function.

    Parameters
    ----------
    session : Session
        Recorder.
    run : ActiveRun
        The started run.
    tree : ast.Module
        The code of the block.
    loop : str
        Id of the execution: its blocks are the turns of one loop, of which the best model is kept.
    deferred : DeferredWork
        Queue of work after the reply.
    """

    def __init__(self, session: Session, run: ActiveRun, tree: ast.Module, loop: str, deferred: DeferredWork) -> None:
        self._session = session
        self._run = run
        self._loop = loop
        self._observation = Observation(session, run, tree, deferred, block=True)
        self._began = time.perf_counter()

    def begin(self, names: Names) -> None:
        """Record the parameters in the source."""
        self._observation.begin(names)

    def end(self, left: FrameType, error: BaseException | None) -> None:
        """Observe the results of the block in its frame; the caller ends the run and then calls `keep`."""
        quietly("its block", lambda: self._end(_names(left), complete=error is None))

    def _end(self, names: Names, *, complete: bool) -> None:
        self._observation.end(names, complete=complete, seconds=time.perf_counter() - self._began)

    def keep(self) -> None:
        """Keep the model of the ended run if it is the best of its loop."""
        if self._observation.fits:
            quietly("its best model", lambda: self._session.models.keep_best(self._loop, self._run))
        self._observation.forget()


class CallRun(BlockRun):
    """Observes a call of a function with ``@track`` by its arguments and by what it returns.

    Its other variables do not exist any more.

    Parameters
    ----------
    names : mapping
        Globals of the function and the arguments of the call.
    """

    def __init__(
        self,
        session: Session,
        run: ActiveRun,
        tree: ast.Module,
        loop: str,
        deferred: DeferredWork,
        names: Names,
    ) -> None:
        super().__init__(session, run, tree, loop, deferred)
        self._returns = [
            here.statement.value
            for here in code_of(tree)
            if isinstance(here.statement, ast.Return) and here.statement.value is not None
        ]
        self._call_names = names

    def end(self, left: Any, error: BaseException | None) -> None:
        """Observe what the function returned; the caller ends the run and then calls `keep`."""
        returned = _returned(self._returns[0], left) if error is None and len(self._returns) == 1 else {}
        names = {**self._call_names, **returned}
        self._call_names = {}
        quietly("its call", lambda: self._end(names, complete=error is None))


def block_run(
    session: Session, run: ActiveRun, frame: FrameType, cell: ast.Module | None, loop: str, deferred: DeferredWork
) -> BlockRun | None:
    """Begin the observation of the block that a frame enters; None when its source is unknown."""
    tree = block_of(frame, cell)
    if tree is None:
        return None
    block = BlockRun(session, run, tree, loop, deferred)
    block.begin(_names(frame))
    return block


def call_run(
    session: Session,
    run: ActiveRun,
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    loop: str,
    deferred: DeferredWork,
) -> CallRun | None:
    """Begin the observation of a call; None when the source of the function is unknown."""
    own = own_function(function)
    tree = _module(own.__code__) if own is not None else None
    if own is None or tree is None:
        return None
    local = {*own.__code__.co_varnames, *own.__code__.co_cellvars}
    names = {name: value for name, value in own.__globals__.items() if name not in local}
    call = CallRun(session, run, tree, loop, deferred, {**names, **arguments})
    call.begin(names)
    return call


@lru_cache(maxsize=32)
def _module(code: CodeType) -> ast.Module | None:
    # The same tree each time, because what is read from it is cached.
    tree = definition(code)
    return ast.Module(body=tree.body, type_ignores=[]) if tree is not None else None


def _returned(node: ast.expr, value: Any) -> dict[str, Any]:
    """Return the variables in ``return model, mae`` or ``return {"mae": mae}`` with their values."""
    if isinstance(node, ast.Name):
        return {node.id: value}
    if isinstance(node, ast.Tuple) and type(value) is tuple and len(node.elts) == len(value):
        pairs = list(zip(node.elts, value, strict=True))
    elif isinstance(node, ast.Dict) and type(value) is dict:
        keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
        pairs = [(part, value[key]) for key, part in zip(keys, node.values, strict=True) if key in value]
    else:
        pairs = []
    return {part.id: item for part, item in pairs if isinstance(part, ast.Name)}


def _names(frame: FrameType) -> Names:
    scope, inner = frame.f_globals, frame.f_locals
    return scope if inner is scope else {**scope, **inner}
