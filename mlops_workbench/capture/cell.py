"""A cell that is a run: begun before it executes, observed and ended after it."""

from __future__ import annotations

import os
import traceback as tracebacks
from types import TracebackType

from mlops_workbench.capture.api import finish
from mlops_workbench.capture.deferred import Deferred, quietly
from mlops_workbench.capture.execution import Execution
from mlops_workbench.capture.fits import Fit
from mlops_workbench.capture.observe.estimators import built_estimators, outermost
from mlops_workbench.capture.observe.fit import CellFit, cell_fits
from mlops_workbench.capture.observe.metrics import observed_metrics
from mlops_workbench.capture.observe.params import estimator_params, literal_params, logged_names
from mlops_workbench.capture.observe.scope import identities
from mlops_workbench.capture.output import OutputTail
from mlops_workbench.capture.run import ActiveRun
from mlops_workbench.capture.session import Session


class CellRun:
    """The run of one execution of a cell.

    Parameters
    ----------
    session : Session
        Where it is recorded.
    run : ActiveRun
        The run, begun.
    execution : Execution
        The cell that runs.
    output : OutputTail
        Listens to the cell.
    deferred : Deferred
        Takes what may wait for the reply.
    """

    def __init__(
        self, session: Session, run: ActiveRun, execution: Execution, output: OutputTail, deferred: Deferred
    ) -> None:
        self.run = run
        self.execution = execution
        self._session = session
        self._tree = execution.tree
        self._names = execution.names
        self._output = output
        self._deferred = deferred
        self._before: dict[str, int] = {}

    def begin(self) -> None:
        """Record what the source alone tells, so that it is kept even if the kernel dies."""
        quietly("its parameters", self._literals)
        quietly("its output", self._output.start)

    def end(self, error: BaseException | None) -> None:
        """Observe what the cell left and end the run."""
        quietly("its output", self._output.stop)
        quietly("its figures", lambda: self.run.put_figures(self._output.figures, renumber=True))
        fits: list[CellFit] = []
        if error is None:
            # After an error nobody knows which of the calls were reached.
            quietly("its models", lambda: fits.extend(cell_fits(self._tree, self._names)))
        quietly("its parameters", lambda: self._estimators(fits))
        quietly("its metrics", lambda: self.run.observe_metrics(self._metrics()))
        quietly("its data", lambda: self._data(fits))
        if error is not None:
            self.run.end(
                "FAILED" if isinstance(error, Exception) else "KILLED",
                error=error,
                traceback=_trace(error),
                output=self._output.text(),
            )
        else:
            finish(self.run, None, self._output.text())

    def _literals(self) -> None:
        self._before = identities(self._tree, self._names)
        logged = logged_names(self._tree)
        literals = literal_params(self._tree)
        self.run.observe_params({name: value for name, value in literals.items() if name not in logged})

    def _metrics(self) -> dict[str, float | int]:
        return observed_metrics(self._tree, self._names, self._before)

    def _estimators(self, fits: list[CellFit]) -> None:
        built = built_estimators(self._tree, self._names, self._before)
        fitted = [(fit.name, fit.model) for fit in fits]
        # The variable's own name is the better one for a model that was built here and fitted.
        self.run.observe_params(estimator_params(outermost(built + fitted), self.run.params))

    def _data(self, fits: list[CellFit]) -> None:
        if not fits:
            return
        from mlops_workbench.capture.datasets import describe_dataset
        from mlops_workbench.capture.reference import sample_fit_data
        from mlops_workbench.capture.schema import is_table

        described: set[int] = set()
        remembered = []
        for fit in fits:
            for given in (fit.X, fit.y):
                if given is not None and id(given.value) not in described and is_table(given.value):
                    described.add(id(given.value))
                    self.run.observe_dataset(describe_dataset(self.run.uid, given.value, given.name))
            X, y = (None if given is None else given.value for given in (fit.X, fit.y))
            remembered.append(Fit(fit.name, fit.model, None if X is None else sample_fit_data(X, y)))
        self._session.remember(remembered, self.run)


def _trace(error: BaseException) -> str:
    """The traceback without the frames of IPython itself."""
    return "".join(tracebacks.format_exception(type(error), error, _own_frames(error.__traceback__)))


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    found = trace
    while found is not None and f"{os.sep}IPython{os.sep}" in found.tb_frame.f_code.co_filename:
        found = found.tb_next
    return found or trace
