"""The run of a cell: started before the cell runs, observed and ended after it."""

from __future__ import annotations

import os
import traceback as tracebacks
from collections.abc import Callable
from types import TracebackType
from typing import Any

from mlops_workbench.capture.cells.execution import Execution
from mlops_workbench.capture.cells.observation import Observation
from mlops_workbench.capture.cells.output import OutputTail
from mlops_workbench.capture.kernel.deferred import DeferredWork, quietly
from mlops_workbench.capture.observe.estimators import is_search
from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.run.curves import MetricCurves
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.tags import WARNINGS


class ObservedCell:
    """One execution of a cell, whose code and output are observed into a run.

    Parameters
    ----------
    session : Session
        Recorder.
    run : ActiveRun
        The started run.
    execution : Execution
        The execution of the cell.
    output : OutputTail
        Recorder of the cell's output.
    deferred : DeferredWork
        Queue of work after the reply.
    settled : callable, optional
        See `Observation`.
    """

    def __init__(
        self,
        session: Session,
        run: ActiveRun,
        execution: Execution,
        output: OutputTail,
        deferred: DeferredWork,
        settled: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        self.run = run
        self.execution = execution
        self.output = output
        self._session = session
        self._deferred = deferred
        self._observation = Observation(session, run, execution.tree, deferred, settled=settled)

    def begin(self) -> None:
        """Record the parameters in the source, so that they exist even if the kernel dies."""
        self._observation.begin(self.execution.names)
        quietly("its output", self.output.start)

    def observe(self, *, complete: bool) -> None:
        """Record what the cell did; `complete` tells that it ended without an error."""
        quietly("its output", self.output.stop)
        self._observation.end(self.execution.names, complete=complete)

    def keep_displays(self) -> None:
        """Keep the displayed figures and tables with the run, and release what was observed."""
        self._observation.forget()
        if self.output.figures or self.output.tables:
            self._deferred.add("its figures", lambda: self.run.put_shown_figures(self.output.figures))
            self._deferred.add("its tables", self._tables)
            self._deferred.add("its output", self.output.clear_displays)

    def _tables(self) -> None:
        for table in self.output.tables:
            self.run.put_table(table.read(), "table", renumber=True)


class CellRun(ObservedCell):
    """The run of one execution of a cell."""

    def begin(self) -> None:
        """Record the parameters in the source, so that they exist even if the kernel dies."""
        self.run.curves = MetricCurves()
        super().begin()

    def end(self, error: BaseException | None) -> None:
        """Observe the results of the cell and end the run."""
        self.observe(complete=error is None)
        if self.output.warnings:
            quietly("its warnings", lambda: self.run.tag({WARNINGS: warnings_text(self.output.warnings)}))
        self.run.finish(error, traceback="" if error is None else _trace(error), output=self.output.text())
        if any(is_search(fit.model) for fit in self._observation.fits):
            quietly("its best model", lambda: self._session.models.keep_best(self.execution.uid, self.run))
        self.keep_displays()


def warnings_text(warnings: dict[str, int]) -> str:
    """Return the text of the tag for warnings and how often each occurred."""
    return "\n".join(f"{count} x {warning}" for warning, count in warnings.items())


def _trace(error: BaseException) -> str:
    """Return the traceback without the frames of IPython."""
    return "".join(tracebacks.format_exception(type(error), error, _own_frames(error.__traceback__)))


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    found = trace
    while found is not None and f"{os.sep}IPython{os.sep}" in found.tb_frame.f_code.co_filename:
        found = found.tb_next
    return found or trace
