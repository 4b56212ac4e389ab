"""The run of a block of ``with track(...)`` in the code of a notebook."""

from __future__ import annotations

import ast
import time
from types import FrameType

from mlops_workbench.capture.cells.observation import Observation
from mlops_workbench.capture.kernel.deferred import DeferredWork, quietly
from mlops_workbench.capture.observe.blocks import block_of
from mlops_workbench.capture.observe.scope import Names
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

    def begin(self, frame: FrameType) -> None:
        """Record the parameters in the source."""
        self._observation.begin(_names(frame))

    def end(self, frame: FrameType, error: BaseException | None) -> None:
        """Observe the results of the block; the caller ends the run and then calls `keep`."""
        seconds = time.perf_counter() - self._began
        self._observation.end(_names(frame), complete=error is None, seconds=seconds)

    def keep(self) -> None:
        """Keep the model of the ended run if it is the best of its loop."""
        if self._observation.fits:
            quietly("its best model", lambda: self._session.models.keep_best(self._loop, self._run))
        self._observation.forget()


def block_run(
    session: Session, run: ActiveRun, frame: FrameType, cell: ast.Module | None, loop: str, deferred: DeferredWork
) -> BlockRun | None:
    """Begin the observation of the block that a frame enters; None when its source is unknown."""
    tree = block_of(frame, cell)
    if tree is None:
        return None
    block = BlockRun(session, run, tree, loop, deferred)
    block.begin(frame)
    return block


def _names(frame: FrameType) -> Names:
    scope, inner = frame.f_globals, frame.f_locals
    return scope if inner is scope else {**scope, **inner}
