"""Weak references to fitted models."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from mlops_workbench.capture.observe.estimators import lacks_model
from mlops_workbench.capture.observe.networks import is_network
from mlops_workbench.data.reference import FitData

_MAX_RUNS = 200


class Fit:
    """A fitted model and its training data.

    Parameters
    ----------
    name : str
        Variable of the model.
    model : object
        The estimator; only a weak reference is kept.
    data : FitData or None
        Columns and a sample of its training data, dropped with the model.
    """

    def __init__(self, name: str, model: object, data: FitData | None) -> None:
        self.name = name
        self.data = data
        #: Why it cannot be registered, empty if it can.
        self.lacks = "" if is_network(model) else lacks_model(model)
        self._model: Callable[[], Any]
        try:
            self._model = weakref.ref(model, self._drop_data)
        except TypeError:
            # A class with __slots__ may not allow weak references; a strong one would keep its memory.
            self._model = lambda: None

    def model(self) -> Any:
        """Return the model, None when it was deleted."""
        return self._model()

    def _drop_data(self, _: object) -> None:
        self.data = None


class Fits:
    """Fits of the latest runs."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, tuple[str, list[Fit]]] = OrderedDict()
        self._saved: set[str] = set()

    def add(self, run_uid: str, run_name: str, fits: Iterable[Fit]) -> None:
        """Add fits of a run, after those that are still in memory."""
        earlier = self._runs.pop(run_uid, (run_name, []))[1]
        # As the latest run: only the fits of the last runs are kept.
        self._runs[run_uid] = (run_name, [*(fit for fit in earlier if fit.model() is not None), *fits])
        while len(self._runs) > _MAX_RUNS:
            self._runs.popitem(last=False)

    def find(self, run: str) -> tuple[str, Fit] | None:
        """Return uid and last fit in memory of a run that can predict; see `uid_of` for what names the run."""
        uid = self.uid_of(run)
        if uid is None:
            return None
        living = [fit for fit in self._runs[uid][1] if fit.model() is not None and not fit.lacks]
        return (uid, living[-1]) if living else None

    def uid_of(self, run: str) -> str | None:
        """Return the uid of the latest run with this uid, name, or start or end of the uid; None when unknown."""
        for uid, (name, _) in reversed(self._runs.items()):
            if run in (uid, name) or (len(run) >= 6 and (uid.startswith(run) or uid.endswith(run))):
                return uid
        return None

    def lacks(self, run: str) -> str:
        """Return why what a run fitted cannot be registered; empty if it can, was saved, or if nothing was fitted."""
        uid = self.uid_of(run)
        fits = self._runs[uid][1] if uid is not None and uid not in self._saved else []
        if fits and all(fit.lacks for fit in fits):
            return fits[-1].lacks
        return ""

    def data_of(self, model: object) -> FitData | None:
        """Return the training data of a model that a tracked cell fitted, or None."""
        for _, fits in reversed(self._runs.values()):
            for fit in fits:
                if fit.model() is model:
                    return fit.data
        return None

    def mark_saved(self, run_uid: str) -> None:
        """Record that a model of this run was saved."""
        self._saved.add(run_uid)

    def saved(self, run_uid: str) -> bool:
        """Whether a model of this run was saved."""
        return run_uid in self._saved
