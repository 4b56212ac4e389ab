"""Hooks before and after every cell."""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Protocol

from mlops_workbench.capture.cells.block_run import BlockRun, CallRun, block_run, call_run
from mlops_workbench.capture.cells.cell_run import CellRun
from mlops_workbench.capture.cells.execution import Execution
from mlops_workbench.capture.cells.output import OutputTail
from mlops_workbench.capture.kernel.cell_start import CellStart
from mlops_workbench.capture.kernel.deferred import DeferredWork, attempt, quietly
from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.kernel.place import cell_source
from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.session.session import Session


class CellObserver(Protocol):
    """Observer of every execution, whose errors are reported and not raised."""

    #: What it observes, for the error message.
    what: str

    def before(self, execution: Execution) -> None:
        """Called before a cell runs."""

    def after(self, execution: Execution) -> None:
        """Called after a cell has run and its run, if it has one, has ended."""


@dataclass(frozen=True)
class CellOptions:
    """Options for tracking a cell.

    Attributes
    ----------
    name : str
        Name of the run, empty for one made from its id.
    tags, params : mapping
        Initial tags and parameters.
    nested : bool
        Whether it is a child of the active run.
    numbered : bool
        Whether the end of its id is added to a name that another run of this session has.
    """

    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    nested: bool = False
    numbered: bool = False


class CellWatch:
    """Tracks cells of an IPython session and calls the observers.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    session : Session
        Recorder.
    show : callable
        Shows the run of a cell that has just ended.

    Attributes
    ----------
    observers : list of CellObserver
        Called in this order, before a cell and after it.
    deferred : DeferredWork
        Queue of work after the reply.
    """

    def __init__(self, shell: Any, session: Session, show: Callable[[CellRun], None]) -> None:
        self.session = session
        self.observers: list[CellObserver] = []
        self.deferred = DeferredWork(shell)
        # A kernel may end before it was idle.
        session.closing.append(self.deferred.flush)
        session.observer = self
        session.defer = self.deferred.add
        self._shell = shell
        self._show = show
        # Subshells of a kernel execute cells in their own threads.
        self._local = threading.local()
        self._cells: dict[str, CellRun] = {}

    def before(self, info: Any, start: CellStart | None = None) -> None:
        """Handle the start of a cell; `start` is given when it has started already."""
        self.deferred.begin_cell()
        execution = Execution(self._shell, info, getattr(info, "raw_cell", "") or "", start)
        self._executions().append(execution)
        for observer in self.observers:
            quietly(observer.what, lambda observer=observer: observer.before(execution))

    def after(self, result: Any = None) -> Execution | None:
        """Handle the end of a cell and return its execution, None when its start was not observed."""
        execution = self._take(result)
        if execution is None:
            return None
        execution.ended(_error(result))
        if (cell := self._cells.pop(execution.uid, None)) is not None:
            self._end(cell, execution.error)
        for observer in self.observers:
            quietly(observer.what, lambda observer=observer: observer.after(execution))
        # Its traceback refers to the variables of all functions in it.
        execution.error = None
        return execution

    def under_way(self) -> bool:
        """Whether a cell is running in this thread."""
        return bool(self._executions())

    def current(self) -> Execution:
        """Return the running execution of this thread."""
        executions = self._executions()
        if not executions:
            # This cell loaded the extension, after the event of its start.
            executions.append(Execution(self._shell, None, cell_source()))
        return executions[-1]

    def track(self, options: CellOptions, execution: Execution | None = None) -> None:
        """Start a run for an execution, by default the running one, unless it has a run."""
        execution = execution or self.current()
        if execution.run is not None:
            return
        try:
            cell = self._cells[execution.uid] = self._begin(execution, options)
            execution.run = cell.run
        except Exception as error:  # noqa: BLE001 the user's cell must run in any case
            notify(f"this cell could not be tracked ({type(error).__name__}: {error})")

    def block(self, run: ActiveRun, frame: FrameType) -> BlockRun | None:
        """Begin to observe the block of ``with track(...)`` that a frame enters."""
        cell, loop = self._place()
        return attempt("its block", lambda: block_run(self.session, run, frame, cell, loop, self.deferred), None)

    def call(self, run: ActiveRun, function: Callable[..., Any], arguments: Mapping[str, Any]) -> CallRun | None:
        """Begin to observe a call of a function with ``@track``."""
        loop = self._place()[1]
        return attempt("its call", lambda: call_run(self.session, run, function, arguments, loop, self.deferred), None)

    def _place(self) -> tuple[ast.Module | None, str]:
        """Return the running cell and its id."""
        executions = self._executions()
        # A thread of the user has no execution of its own.
        return (executions[-1].tree, executions[-1].uid) if executions else (None, str(threading.get_ident()))

    def _begin(self, execution: Execution, options: CellOptions) -> CellRun:
        active = self.session.current_run()
        # In the stage of a pipeline, every run is a child of the stage.
        parent = active if active is not None and (options.nested or active.joined) else None
        if options.nested and parent is None:
            notify("%%track --nested: no run is active, so this run has no parent")
        run = self.session.start_run(
            options.name,
            numbered=options.numbered,
            experiment=parent.experiment if parent is not None else "",
            parent_uid=parent.uid if parent is not None else "",
            cell_id=execution.cell_id,
            tags=options.tags,
            source=execution.source,
            wait=False,
        )
        try:
            if options.params:
                run.log_params(options.params)
            cell = CellRun(self.session, run, execution, OutputTail(self._shell), self.deferred)
            cell.begin()
        except BaseException as error:
            # An interrupt: the cell will not run, and the caller cannot end its run.
            run.end("KILLED", error=error)
            raise
        return cell

    def _end(self, cell: CellRun, error: BaseException | None) -> None:
        try:
            cell.end(error)
            if cell.run.ended:
                self._show(cell)
        except BaseException as problem:
            if not cell.run.ended:
                quietly("its end", lambda error=problem: cell.run.end("KILLED", error=error))
            if not isinstance(problem, Exception):
                raise
            notify(f"the end of this run could not be recorded ({type(problem).__name__}: {problem})")

    def _executions(self) -> list[Execution]:
        if not hasattr(self._local, "executions"):
            self._local.executions = []
        return self._local.executions  # type: ignore[no-any-return]

    def _take(self, result: Any) -> Execution | None:
        executions = self._executions()
        info = getattr(result, "info", None)
        for i in range(len(executions) - 1, -1, -1):
            if executions[i].info is info:
                found = executions[i]
                for dropped in executions[i + 1 :]:
                    self._cells.pop(dropped.uid, None)
                del executions[i:]
                return found
        if not executions:
            return None
        top = executions[-1].info
        # An interrupted cell has no result, or a new one without info.
        if info is None or top is None or info.raw_cell == top.raw_cell:
            return executions.pop()
        return None


def _error(result: Any) -> BaseException | None:
    if result is not None:
        return result.error_before_exec or result.error_in_exec  # type: ignore[no-any-return]
    # IPython has no result for an interrupted `await`; its exception is being handled.
    return sys.exc_info()[1] or KeyboardInterrupt()
