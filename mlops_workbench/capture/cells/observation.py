"""What the code of a run did: parameters, models, metrics and data, read from its source and the values it left."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops_workbench.capture.cells.searches import Search, record_candidates
from mlops_workbench.capture.kernel.deferred import DeferredWork, attempt, quietly
from mlops_workbench.capture.observe.blocks import without_blocks
from mlops_workbench.capture.observe.estimators import built_estimators, is_estimator, is_search, outermost
from mlops_workbench.capture.observe.fit import CellFit, CellUse, cell_use, fitted_elsewhere
from mlops_workbench.capture.observe.learning import last_metrics, learning_curves
from mlops_workbench.capture.observe.metrics import observed_metrics
from mlops_workbench.capture.observe.networks import is_network, network_structure, part_params
from mlops_workbench.capture.observe.params import attribute_params, literal_params, logged_names
from mlops_workbench.capture.observe.scope import Before, Names, read_before
from mlops_workbench.capture.observe.settings import estimator_params, structure
from mlops_workbench.capture.run.fits import Fit
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.tags import STRUCTURE

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun
    from mlops_workbench.capture.session.session import Session
    from mlops_workbench.data.reference import FitData

_UNKNOWN = object()


class Observation:
    """Observes the code of a run: a cell, or a block of ``with track(...)``.

    Parameters
    ----------
    session : Session
        Recorder.
    run : ActiveRun
        The started run.
    tree : ast.Module or None
        Its code.
    deferred : DeferredWork
        Queue of work after the reply.
    block : bool, default=False
        Whether the code continues after the run, so that its values and data must be read at its end.
    settled : callable, optional
        Returns those of the literals in the source that are parameters of the run; by default all.
    """

    def __init__(
        self,
        session: Session,
        run: ActiveRun,
        tree: ast.Module | None,
        deferred: DeferredWork,
        *,
        block: bool = False,
        settled: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        self.run = run
        self.fits: list[CellFit] = []
        self._session = session
        self._whole = tree
        self._tree = tree
        self._apart: frozenset[int] = frozenset()
        self._deferred = deferred
        self._block = block
        self._settled = settled
        self._before = Before()
        self._names: Names = {}
        self._searches: list[Search] = []
        self._began_ms = now_ms()

    def begin(self, names: Names) -> None:
        """Record the parameters in the source, so that they exist even if the kernel dies."""
        quietly("its parameters", lambda: self._literals(names))

    def end(self, names: Names, *, complete: bool, seconds: float = 0.0) -> None:
        """Record what the code did.

        Parameters
        ----------
        names : mapping
            The namespace after it.
        complete : bool
            Whether it ended without an error.
        seconds : float
            Its duration, of which the observation of a block takes a small part.
        """
        self._names = names
        quietly("its runs", self._separate)
        use = CellUse()
        # After an error, it is unknown which of the calls were made.
        if complete:
            use = attempt("its models", lambda: cell_use(self._tree, names), use)
            quietly("its models", lambda: use.fits.extend(self._fitted_elsewhere(use.fits)))
        self.fits = use.fits
        quietly("its parameters", lambda: self._settings(use.fits))
        quietly("its metrics", lambda: self._metrics(use.fits, complete=complete))
        quietly("its data", lambda: self._data(use, seconds))
        for search in self._searches:
            alone = len(self._searches) == 1
            # A run that another process ends is still running: its candidates ran in this part of it.
            span = (self._began_ms, now_ms()) if self.run.joined else None
            candidates = partial(record_candidates, self._session, self.run, search, alone=alone, span=span)
            self._deferred.add(f"the candidates of '{search.name}'", candidates)

    def forget(self) -> None:
        """Release the values of the namespace."""
        self._names = {}
        self.fits = []

    def _separate(self) -> None:
        if self._whole is not None:
            self._tree, self._apart = without_blocks(self._whole, self._names)

    def _fitted_elsewhere(self, fits: list[CellFit]) -> list[CellFit]:
        return fitted_elsewhere(self._tree, self._names, self._before, fits)

    def _literals(self, names: Names) -> None:
        self._before = read_before(self._whole, names)
        literals = literal_params(self._whole)
        if literals:
            logged = logged_names(self._whole)
            literals = {name: value for name, value in literals.items() if name not in logged}
            self.run.observe_params(literals if self._settled is None else self._settled(literals))

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
            self.run.extend_tag(STRUCTURE, texts, "\n\n")

    def _metrics(self, fits: list[CellFit], *, complete: bool) -> None:
        found = observed_metrics(
            self._whole, self._names, self._before, complete=complete, apart=self._apart, block=self._block
        )
        for fit in fits:
            found.learning_curves(learning_curves(fit, self._names), fit.name)
            for name, value in last_metrics(fit.trainer).items():
                found.values.setdefault(name, value)
        self._searches = [Search(fit.name, fit.model) for fit in fits if is_search(fit.model)]
        self.run.observe_metrics(found.values)
        self.run.observe_histories(found.histories)
        for search in self._searches:
            self.run.observe_params(search.best_params())
            self.run.observe_metrics(search.best_metrics())
        for name, value in found.tables.items():
            self._deferred.add(f"the table '{name}'", partial(self.run.log_table, value, name.replace("/", "_")))

    def _data(self, use: CellUse, seconds: float) -> None:
        if not use.fits and not use.data:
            return
        from mlops_workbench.capture.cells.observed_data import observe_used_data, observe_used_data_now

        if self._block:
            observe_used_data_now(self._session, self.run, use.data, seconds)
        else:
            observe_used_data(self._session, self.run, use.data, self._deferred)
        self._keep_fits(use)

    def _keep_fits(self, use: CellUse) -> None:
        from mlops_workbench.capture.cells.observed_data import BEFORE_REPLY
        from mlops_workbench.data.describe import description_seconds
        from mlops_workbench.data.reference import sample_seen

        test = use.test() if use.fits else None
        if self._block and test is not None and not (test[0].quick and test[1].quick):
            # The code after a block waits for what is done here.
            test = None

        def keep() -> None:
            found = []
            # Models of a cell are usually fitted to the same data, which is sampled once.
            samples: dict[tuple[int, int], FitData | None] = {}
            columns = {data.name: data.columns for data in self.run.datasets if data.context == "training"}
            tested = None
            if test is not None:
                # Columns that were recorded are not read again.
                others = {data.name: data.columns for data in self.run.datasets if data.context == test[0].context}
                is_table = getattr(test[0].value, "ndim", 0) == 2
                tested = sample_seen(test[0].value, test[1].value, others.get(test[0].name) if is_table else None)
            for fit in use.fits:
                X, y = (None if data is None else data.value for data in (fit.X, fit.y))
                # The recorded column of an unnamed Series has the name of the variable.
                known = columns.get(fit.X.name) if fit.X is not None and getattr(X, "ndim", 0) == 2 else None
                if (key := (id(X), id(y))) not in samples:
                    samples[key] = None if X is None else sample_seen(X, y, known)
                data = samples[key]
                found.append(Fit(fit.name, fit.model, data and replace(data, test=tested)))
            self._session.models.fits.add(self.run.uid, self.run.name, found)

        used = [fit.X for fit in use.fits if fit.X is not None] + ([test[0]] if test is not None else [])
        is_quick = test is None or (test[0].quick and test[1].quick)
        if self._block or (is_quick and sum(description_seconds(data.value) for data in used) < BEFORE_REPLY):
            keep()
        else:
            self._deferred.add("its models", keep)
