"""Models that were fitted, remembered without keeping them alive."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from mlops_workbench.data.reference import FitData

_MAX_RUNS = 200


class Fit:
    """A fitted model and what it was fitted on.

    Parameters
    ----------
    name : str
        Variable that holds the model.
    model : object
        The estimator; only a weak reference is kept.
    data : FitData or None
        Columns and a sample of its training data, dropped when the model goes.
    """

    def __init__(self, name: str, model: object, data: FitData | None) -> None:
        self.name = name
        self.data = data
        self._model: Callable[[], Any]
        try:
            self._model = weakref.ref(model, self._gone)
        except TypeError:
            # A class with __slots__ may not allow weak references; keeping it would hold its memory.
            self._model = lambda: None

    def model(self) -> Any:
        """The model, None when nothing else holds it any more."""
        return self._model()

    def _gone(self, _: object) -> None:
        self.data = None


class Fits:
    """Fits by run, the latest runs only."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, tuple[str, list[Fit]]] = OrderedDict()
        self._saved: set[str] = set()

    def add(self, run_uid: str, run_name: str, fits: Iterable[Fit]) -> None:
        """Remember what a run fitted."""
        self._runs[run_uid] = (run_name, list(fits))
        while len(self._runs) > _MAX_RUNS:
            self._runs.popitem(last=False)

    def find(self, run: str) -> tuple[str, Fit] | None:
        """Uid and last living fit of a run, named by its uid, the beginning of it, or the run's name."""
        for uid, (name, fits) in reversed(self._runs.items()):
            if uid == run or name == run or (len(run) >= 6 and uid.startswith(run)):
                living = [fit for fit in fits if fit.model() is not None]
                return (uid, living[-1]) if living else None
        return None

    def data_of(self, model: object) -> FitData | None:
        """What a model was fitted on, as far as a tracked cell saw it."""
        for _, fits in reversed(self._runs.values()):
            for fit in fits:
                if fit.model() is model:
                    return fit.data
        return None

    def mark_saved(self, run_uid: str) -> None:
        """A model of this run is in the journal."""
        self._saved.add(run_uid)

    def saved(self, run_uid: str) -> bool:
        """Whether a model of this run is in the journal."""
        return run_uid in self._saved
