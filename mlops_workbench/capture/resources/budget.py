"""The budget of a session for its tracked work."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.resources.cost import Meter
from mlops_workbench.core.budgets import Budget, BudgetState
from mlops_workbench.core.shown.formats import share

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun

#: Share of a budget at which a warning is shown.
WARN_AT = 0.8


class SessionBudget:
    """Counts the time with at least one active run, and its cost, since a budget was set.

    Parameters
    ----------
    meter : callable
        Returns a meter that starts now.
    """

    def __init__(self, meter: Callable[[], Meter]) -> None:
        self._start_meter = meter
        self._lock = threading.RLock()
        self._budget: Budget | None = None
        self._meter: Meter | None = None
        self._seconds = 0.0
        self._money = 0.0
        self._priced = False
        self._warned = 0.0

    def set(self, budget: Budget | None, *, active: bool) -> None:
        """Set a budget, or remove it with None; `active` is whether a run is active."""
        with self._lock:
            self._budget = budget
            self._seconds = self._money = self._warned = 0.0
            self._priced = False
            self._meter = self._start_meter() if budget is not None and active else None

    def set_active(self, active: bool) -> None:
        """Start counting when the first run starts, and stop after the last one."""
        with self._lock:
            if self._budget is None:
                return
            if active and self._meter is None:
                self._meter = self._start_meter()
            elif not active and self._meter is not None:
                meter, self._meter = self._meter, None
                cost = meter.read()
                self._seconds += cost.seconds
                self._money += cost.money or 0.0
                self._priced = self._priced or cost.money is not None

    def state(self) -> BudgetState | None:
        """Return the budget and its usage; None without one."""
        with self._lock:
            if self._budget is None:
                return None
            seconds, money, priced = self._seconds, self._money, self._priced
            if self._meter is not None:
                cost = self._meter.read()
                seconds += cost.seconds
                money += cost.money or 0.0
                priced = priced or cost.money is not None
            return BudgetState(self._budget, seconds, money if priced else None)

    def check(self, active: Sequence[ActiveRun]) -> None:
        """Show a warning when the budget is nearly or fully used; interrupt the active runs if it is set to."""
        state = self.state()
        if state is None or state.used < WARN_AT:
            return
        if state.used < 1:
            if self._warned < WARN_AT:
                self._warned = WARN_AT
                notify(f"{share(state.used)} of the budget is used: {state.text()}")
            return
        stops = state.budget.stop and any(not run.stopped for run in active)
        if self._warned < 1 or stops:
            self._warned = 1.0
            what = "; the cell is interrupted" if stops else ""
            notify(f"the budget is used up: {state.text()}{what}\n  %mlops budget off removes the budget")
        if stops:
            for run in active:
                run.stopped = f"stopped by the budget: {state.text()}"
            _interrupt()

    def after_fork(self) -> None:
        """Reset in a forked child, which has no budget."""
        self._lock = threading.RLock()
        self._budget = self._meter = None


def _interrupt() -> None:
    # Sent to the main thread: a signal to another thread would not interrupt its system call.
    main = threading.main_thread().ident
    with contextlib.suppress(OSError, ValueError):
        if main is not None:
            signal.pthread_kill(main, signal.SIGINT)
        else:
            os.kill(os.getpid(), signal.SIGINT)
