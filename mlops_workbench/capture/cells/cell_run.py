"""The run of a cell: started before the cell runs, observed and ended after it."""

from __future__ import annotations

import os
import traceback as tracebacks
from types import TracebackType

from mlops_workbench.capture.cells.execution import Execution
from mlops_workbench.capture.cells.observation import Observation
from mlops_workbench.capture.cells.output import OutputTail
from mlops_workbench.capture.kernel.deferred import DeferredWork, quietly
from mlops_workbench.capture.observe.estimators import is_search
from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.run.curves import MetricCurves
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.tags import WARNINGS


class CellRun:
    """The run of one execution of a cell.

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
    """

    def __init__(
        self, session: Session, run: ActiveRun, execution: Execution, output: OutputTail, deferred: DeferredWork
    ) -> None:
        self.run = run
        self.execution = execution
        self._session = session
        self._output = output
        self._deferred = deferred
        self._observation = Observation(session, run, execution.tree, deferred)

    def begin(self) -> None:
        """Record the parameters in the source, so that they exist even if the kernel dies."""
        self.run.curves = MetricCurves()
        self._observation.begin(self.execution.names)
        quietly("its output", self._output.start)

    def end(self, error: BaseException | None) -> None:
        """Observe the results of the cell and end the run."""
        quietly("its output", self._output.stop)
        quietly("its warnings", self._warnings)
        self._observation.end(self.execution.names, complete=error is None)
        self.run.finish(error, traceback="" if error is None else _trace(error), output=self._output.text())
        if any(is_search(fit.model) for fit in self._observation.fits):
            quietly("its best model", lambda: self._session.models.keep_best(self.execution.uid, self.run))
        self._observation.forget()
        if self._output.figures or self._output.tables:
            self._deferred.add("its figures", lambda: self.run.put_shown_figures(self._output.figures))
            self._deferred.add("its tables", self._tables)
            self._deferred.add("its output", self._output.clear_displays)

    def _tables(self) -> None:
        for table in self._output.tables:
            self.run.put_table(table.read(), "table", renumber=True)

    def _warnings(self) -> None:
        if self._output.warnings:
            lines = [f"{count} x {warning}" for warning, count in self._output.warnings.items()]
            self.run.tag({WARNINGS: "\n".join(lines)})


def _trace(error: BaseException) -> str:
    """Return the traceback without the frames of IPython."""
    return "".join(tracebacks.format_exception(type(error), error, _own_frames(error.__traceback__)))


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    found = trace
    while found is not None and f"{os.sep}IPython{os.sep}" in found.tb_frame.f_code.co_filename:
        found = found.tb_next
    return found or trace
