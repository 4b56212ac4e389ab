"""Live views of running cells and cards of ended runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.capture.progress import Bar, paint_with
from mlops_workbench.core.run_ranking import RunRanking
from mlops_workbench.magics.shown.card import card
from mlops_workbench.magics.shown.card_parts import dataset_text
from mlops_workbench.magics.shown.live import LiveView, LiveViews
from mlops_workbench.widgets.live_output import is_watched

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.capture.cells.cell_run import CellRun
    from mlops_workbench.capture.cells.execution import Execution
    from mlops_workbench.capture.kernel.deferred import DeferredWork
    from mlops_workbench.capture.session.session import Session


class CellDisplay:
    """Shows the runs of an IPython session; `current` returns the running execution."""

    def __init__(self, shell: InteractiveShell, session: Session, current: Callable[[], Execution]) -> None:
        self._shell = shell
        self._session = session
        self._current = current
        self._live = LiveViews(shell)
        # Per thread, because subshells of a kernel execute cells in threads of their own.
        self._local = threading.local()
        paint_with(self._paint)
        session.run_id_of = _find_run_id

    def cell_started(self) -> None:
        """Close the views that an interrupted cell left open in this thread."""
        self._live.forget()

    def run_started(self, execution: Execution) -> None:
        """Open the live view of a cell that has become a run."""
        if execution.run is not None:
            self._live.begin(execution, execution.run)

    def collect_cards(self) -> None:
        """Hold the cards of this thread back until every observer has run, that is until :meth:`show_cards`."""
        self._local.cells = []

    def run_ended(self, cell: CellRun) -> None:
        """Show the card of a run, or hold it back."""
        cells = getattr(self._local, "cells", None)
        if cells is None:
            self._show(cell, None)
        else:
            cells.append(cell)

    def show_cards(self, execution: Execution | None, deferred: DeferredWork) -> None:
        """Show the cards of a cell that has ended, and update them after deferred work has changed their runs."""
        cells: list[CellRun] = getattr(self._local, "cells", None) or []
        self._local.cells = None
        view = self._live.take(execution)
        try:
            for cell in cells:
                update = self._show(cell, view if view is not None and view.execution is cell.execution else None)
                # nbclient and papermill accept outputs of a cell only while it runs: update in the next cell.
                unseen = hasattr(self._shell, "kernel") and not is_watched(self._shell, cell.execution.cell_id)
                (deferred.add_to_next if unseen else deferred.add)("its card", update)
        finally:
            if view is not None and not view.done.is_set():
                view.end(None)

    def _show(self, cell: CellRun, view: LiveView | None) -> Callable[[], None]:
        """Show a card, and return a function that shows it again if it has changed."""
        shown = view or LiveView(self._shell, cell.execution, cell.run)
        before, bundle = _state(cell), self._card(cell, shown)
        shown.end(bundle)

        def update() -> None:
            if _state(cell) != before and (later := self._card(cell, shown)) != bundle:
                shown.refresh(later)

        return update

    def _card(self, cell: CellRun, view: LiveView) -> dict[str, str]:
        return card(cell.run, self._ranking(cell), view.curves)

    def _ranking(self, cell: CellRun) -> RunRanking | None:
        if cell.run.status != "FINISHED":
            return None
        from mlops_workbench.magics.shown.ranking import ranking

        return ranking(self._session, cell.run)

    def _paint(self, bar: Bar) -> bool:
        return self._live.paint(bar, self._current() if hasattr(self._shell, "kernel") else None)


def _state(cell: CellRun) -> tuple[object, ...]:
    """The values of a card that deferred work may change."""
    run = cell.run
    return (
        run.status,
        run.error,
        [*run.notes],
        run.has_model,
        dict(run.metrics),
        dict(run.params),
        set(run.defaults),
        [dataset_text(data) for data in run.datasets],
    )


def _find_run_id(index: Path, uid: str) -> str:
    from mlops_workbench.tracking.index.past import read_run_id

    return read_run_id(index, uid)
