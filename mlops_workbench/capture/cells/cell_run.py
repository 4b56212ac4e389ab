"""The run of a cell: started before the cell runs, observed and ended after it."""

from __future__ import annotations

import os
import traceback as tracebacks
from functools import partial
from types import TracebackType

from mlops_workbench.capture.cells.execution import Execution
from mlops_workbench.capture.cells.output import OutputTail
from mlops_workbench.capture.cells.searches import Search, record_candidates
from mlops_workbench.capture.kernel.deferred import DeferredWork, attempt, quietly
from mlops_workbench.capture.observe.data import NamedData
from mlops_workbench.capture.observe.estimators import built_estimators, is_estimator, is_search, outermost
from mlops_workbench.capture.observe.fit import CellFit, CellUse, cell_use, fitted_elsewhere
from mlops_workbench.capture.observe.learning import last_metrics, learning_curves
from mlops_workbench.capture.observe.metrics import observed_metrics
from mlops_workbench.capture.observe.networks import is_network, network_structure, part_params
from mlops_workbench.capture.observe.params import attribute_params, literal_params, logged_names
from mlops_workbench.capture.observe.scope import Before, read_before
from mlops_workbench.capture.observe.settings import estimator_params, structure
from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.run.curves import MetricCurves
from mlops_workbench.capture.run.fits import Fit
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.tags import STRUCTURE, UNKNOWN_DATA, WARNINGS

_UNKNOWN = object()


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
        self._tree = execution.tree
        self._names = execution.names
        self._output = output
        self._deferred = deferred
        self._before = Before()

    def begin(self) -> None:
        """Record the parameters in the source, so that they exist even if the kernel dies."""
        self.run.curves = MetricCurves()
        quietly("its parameters", self._literals)
        quietly("its output", self._output.start)

    def end(self, error: BaseException | None) -> None:
        """Observe the results of the cell and end the run."""
        quietly("its output", self._output.stop)
        quietly("its warnings", self._warnings)
        use = CellUse()
        # After an error, it is unknown which of the calls were made.
        if error is None:
            use = attempt("its models", lambda: cell_use(self._tree, self._names), use)
            quietly("its models", lambda: use.fits.extend(self._fitted_elsewhere(use.fits)))
        quietly("its parameters", lambda: self._settings(use.fits))
        quietly("its metrics", lambda: self._metrics(use.fits, complete=error is None))
        quietly("its data", lambda: self._data(use))
        self.run.finish(error, traceback="" if error is None else _trace(error), output=self._output.text())
        if self._output.figures or self._output.tables:
            self._deferred.add("its figures", lambda: self.run.put_shown_figures(self._output.figures))
            self._deferred.add("its tables", self._tables)
            self._deferred.add("its output", self._output.clear_displays)

    def _fitted_elsewhere(self, fits: list[CellFit]) -> list[CellFit]:
        return fitted_elsewhere(self._tree, self._names, self._before, fits)

    def _literals(self) -> None:
        self._before = read_before(self._tree, self._names)
        literals = literal_params(self._tree)
        if literals:
            logged = logged_names(self._tree)
            self.run.observe_params({name: value for name, value in literals.items() if name not in logged})

    def _settings(self, fits: list[CellFit]) -> None:
        self.run.observe_params(attribute_params(self._tree, self._names))
        built = built_estimators(self._tree, self._names, self._before)
        fitted = [(fit.name, fit.model) for fit in fits]
        # A model that was built and fitted here keeps the name of its variable.
        estimators = outermost(built + fitted)
        settings = estimator_params(estimators, self.run.params)
        self.run.observe_params(settings.chosen)
        for fit in fits:
            if not is_estimator(fit.model):
                self.run.observe_params({"estimator": type(fit.model).__name__, **fit.settings})
        parts = [part for fit in fits for part in (fit.model, fit.trainer) if part is not None]
        arguments = part_params(self._tree, self._names, self._before, parts)
        # ``lr = 0.1; Adam(weights, lr=lr)`` gives one parameter.
        known = self.run.params
        self.run.observe_params({n: v for n, v in arguments.items() if known.get(n.rpartition(".")[2], _UNKNOWN) != v})
        self.run.observe_params(settings.defaults, "default")
        structures = [(name, text) for name, part in estimators if is_estimator(part) and (text := structure(part))]
        structures += [(name, network_structure(model)) for name, model in fitted if is_network(model)]
        if structures:
            texts = [text if len(structures) == 1 else f"{name} = {text}" for name, text in structures]
            self.run.tag({STRUCTURE: "\n\n".join(texts)})

    def _metrics(self, fits: list[CellFit], *, complete: bool) -> None:
        found = observed_metrics(self._tree, self._names, self._before, complete=complete)
        for fit in fits:
            found.learning_curves(learning_curves(fit, self._names), fit.name)
            for name, value in last_metrics(fit.trainer).items():
                found.values.setdefault(name, value)
        searches = [Search(fit.name, fit.model) for fit in fits if is_search(fit.model)]
        self.run.observe_metrics(found.values)
        self.run.observe_histories(found.histories)
        for search in searches:
            self.run.observe_params(search.best_params())
            self.run.observe_metrics(search.best_metrics())
            self._deferred.add(
                f"the candidates of '{search.name}'",
                partial(record_candidates, self._session, self.run, search, alone=len(searches) == 1),
            )
        for name, value in found.tables.items():
            self._deferred.add(f"the table '{name}'", partial(self.run.log_table, value, name.replace("/", "_")))

    def _tables(self) -> None:
        for table in self._output.tables:
            self.run.put_table(table.read(), "table", renumber=True)

    def _warnings(self) -> None:
        if self._output.warnings:
            lines = [f"{count} x {warning}" for warning, count in self._output.warnings.items()]
            self.run.tag({WARNINGS: "\n".join(lines)})

    def _data(self, use: CellUse) -> None:
        if not use.fits and not use.data:
            return
        from mlops_workbench.capture.cells.observed_data import ObservedData, observe_data

        unknown = [data for data in use.data if not data.known]

        def observe(some: list[NamedData]) -> None:
            known = [ObservedData(data.name, data.value, data.context) for data in some if data.value is not None]
            observe_data(self._session, self.run, known, self._deferred)
            unknown.extend(data for data in some if data.value is None)
            if unknown:
                names = dict.fromkeys(f"{data.name} ({data.context})" for data in unknown)
                self.run.tag({UNKNOWN_DATA: "; ".join(names)})

        observe([data for data in use.data if data.known and data.quick])
        if slow := [data for data in use.data if data.known and not data.quick]:
            self._deferred.add("its data", lambda: observe(slow))
        self._keep_fits(use.fits)

    def _keep_fits(self, fits: list[CellFit]) -> None:
        from mlops_workbench.capture.cells.observed_data import BEFORE_REPLY
        from mlops_workbench.data.describe import description_seconds
        from mlops_workbench.data.reference import FitData, sample_seen

        def keep() -> None:
            found = []
            # Models of a cell are usually fitted to the same data, which is sampled once.
            samples: dict[tuple[int, int], FitData | None] = {}
            columns = {data.name: data.columns for data in self.run.datasets if data.context == "training"}
            for fit in fits:
                X, y = (None if data is None else data.value for data in (fit.X, fit.y))
                # The recorded column of an unnamed Series has the name of the variable.
                known = columns.get(fit.X.name) if fit.X is not None and getattr(X, "ndim", 0) == 2 else None
                if (key := (id(X), id(y))) not in samples:
                    samples[key] = None if X is None else sample_seen(X, y, known)
                found.append(Fit(fit.name, fit.model, samples[key]))
            self._session.keep_fits(found, self.run)

        if sum(description_seconds(fit.X.value) for fit in fits if fit.X is not None) < BEFORE_REPLY:
            keep()
        else:
            self._deferred.add("its models", keep)


def _trace(error: BaseException) -> str:
    """Return the traceback without the frames of IPython."""
    return "".join(tracebacks.format_exception(type(error), error, _own_frames(error.__traceback__)))


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    found = trace
    while found is not None and f"{os.sep}IPython{os.sep}" in found.tb_frame.f_code.co_filename:
        found = found.tb_next
    return found or trace
