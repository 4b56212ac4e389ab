"""What the cells of a session show of themselves: a live view while they run, a card when they are done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.capture.progress import Bar, paint_with
from mlops_workbench.core.run_ranking import RunRanking
from mlops_workbench.magics.shown.card import card
from mlops_workbench.magics.shown.card_parts import dataset_text
from mlops_workbench.magics.shown.live import LiveView, LiveViews, is_watched

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.capture.cells.cell_run import CellRun
    from mlops_workbench.capture.cells.execution import Execution
    from mlops_workbench.capture.kernel.deferred import DeferredWork
    from mlops_workbench.capture.session.session import Session


class CellDisplay:
    """Shows the runs of an IPython session.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    session : Session
        Where its runs are recorded.
    current : callable
        Gives the execution under way.
    """

    def __init__(self, shell: InteractiveShell, session: Session, current: Callable[[], Execution]) -> None:
        self._shell = shell
        self._session = session
        self._current = current
        self._live = LiveViews(shell)
        # Subshells of a kernel execute cells in threads of their own.
        self._local = threading.local()
        paint_with(self._paint)
        session.run_id_of = _find_run_id

    def begun(self, execution: Execution) -> None:
        """A cell has become a run."""
        if execution.run is not None:
            self._live.begin(execution, execution.run)

    def ending(self) -> None:
        """A cell is done; what is to be shown of it waits until all observers have had their say."""
        self._local.cells = []

    def show(self, cell: CellRun) -> None:
        """The run of a cell has ended."""
        cells = getattr(self._local, "cells", None)
        if cells is None:
            self._put(cell, None)
        else:
            cells.append(cell)

    def beginning(self) -> None:
        """A cell begins in a thread in which none is under way."""
        self._live.forget()

    def ended(self, execution: Execution | None, deferred: DeferredWork) -> None:
        """Show the card of the cell that is done, and once more when what was deferred has changed it."""
        cells: list[CellRun] = getattr(self._local, "cells", None) or []
        self._local.cells = None
        view = self._live.take(execution)
        try:
            for cell in cells:
                again = self._put(cell, view if view is not None and view.execution is cell.execution else None)
                # Who runs a notebook for the file that it becomes listens to one cell at a time.
                unseen = hasattr(self._shell, "kernel") and not is_watched(self._shell, cell.execution)
                (deferred.add_to_next if unseen else deferred.add)("its card", again)
        finally:
            if view is not None and not view.done.is_set():
                view.end(None)

    def _put(self, cell: CellRun, view: LiveView | None) -> Callable[[], None]:
        """Show a card; gives what shows it again if it has changed."""
        shown = view or LiveView(self._shell, cell.execution, cell.run)
        before, bundle = _state(cell), self._card(cell, shown)
        shown.end(bundle)

        def again() -> None:
            if _state(cell) != before and (later := self._card(cell, shown)) != bundle:
                shown.refresh(later)

        return again

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
    """What observation may still change of a card."""
    run = cell.run
    said = (run.status, run.error, [*run.notes], run.has_model)
    return (
        *said,
        dict(run.metrics),
        dict(run.params),
        set(run.defaults),
        [dataset_text(data) for data in run.datasets],
    )


def _find_run_id(index: Path, uid: str) -> str:
    from mlops_workbench.tracking.index.past import read_run_id

    return read_run_id(index, uid)
