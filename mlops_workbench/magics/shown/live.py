"""The live view of a running cell, and the static output that replaces it."""

from __future__ import annotations

import contextvars
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_workbench.capture.cells.output import OWN
from mlops_workbench.capture.kernel.threads import start_daemon
from mlops_workbench.capture.progress import Bar, open_bars
from mlops_workbench.magics.shown.card_parts import SYSTEM
from mlops_workbench.magics.shown.live_drawing import Snapshot, bars_html, bars_text, live_html, live_text
from mlops_workbench.magics.shown.live_resources import ProcessGauge
from mlops_workbench.widgets.live_output import LiveOutput, in_vscode, is_watched

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.capture.cells.execution import Execution
    from mlops_workbench.capture.run.active import ActiveRun

#: Seconds that a cell runs before its live view is shown.
DELAY = 1.0
#: Seconds between two looks whether the cell is done, and between two drawings.
_SAMPLE, _DRAW = 0.1, 0.4
_MAX_BARS = 12


class LiveView:
    """The output of one execution, which may be a `run`."""

    def __init__(self, shell: InteractiveShell, execution: Execution, run: ActiveRun | None) -> None:
        self.run = run
        self.execution = execution
        self.done = threading.Event()
        # The publisher is bound now: magics such as `%%capture` replace it while the cell runs.
        self._output = LiveOutput(
            shell.display_pub, f"mlops-{execution.uid}", {}, widget=not in_vscode(shell, execution.cell_id)
        )
        self._watched = is_watched(shell, execution.cell_id)
        # The kernel assigns messages to cells by a variable of this context.
        self._context = contextvars.copy_context()
        self._began = time.perf_counter()
        self._bars: dict[tuple[int, int, str], Bar] = {}
        self._lock = threading.Lock()
        self._resources = ProcessGauge()

    @property
    def curves(self) -> dict[str, list[float]]:
        """Points of the run's metrics in the order of recording."""
        found = self.run.curves.points() if self.run is not None and self.run.curves is not None else {}
        return {name: points for name, points in found.items() if not name.startswith(SYSTEM)}

    @property
    def bars(self) -> list[Bar]:
        """Progress bars of the cell, in the order they started."""
        return list(self._bars.values())

    def add(self, bar: Bar) -> None:
        """Draw another progress bar; it replaces the previous bar of the same loop."""
        depth = sum(other.thread == bar.thread for other in open_bars())
        key = (bar.thread, depth, bar.desc)
        self._bars.pop(key, None)
        if len(self._bars) >= _MAX_BARS:
            self._bars.pop(next(iter(self._bars)), None)
        self._bars[key] = bar

    def draw_until_done(self) -> None:
        """Draw the cell until it is done; called in a thread."""
        if self._watched:
            self._context.run(self._draw_until_done)

    def end(self, bundle: Mapping[str, str] | None) -> None:
        """Replace the live output by a MIME bundle, by default the progress bars; show it if nothing was shown."""
        self.done.set()
        with self._lock:
            if bundle is None and self._output.shown:
                bundle = {"text/plain": bars_text(self.bars), "text/html": bars_html(self.bars)}
            if bundle is not None:
                self._replace(bundle)
            self._output.close_widget()

    def refresh(self, bundle: Mapping[str, str]) -> None:
        """Replace the output that :meth:`end` showed."""
        with self._lock:
            self._replace(bundle)

    def _replace(self, bundle: Mapping[str, str]) -> None:
        self._output.metadata = self._marks()
        self._output.replace(bundle)

    def _draw_until_done(self) -> None:
        # Outside of the lock, so that the cell need not wait for it.
        self._output.prepare(live_html(self._snapshot()))
        drawn, pause = float("-inf"), _DRAW
        while not self.done.wait(_SAMPLE if self._output.shown else 0):
            if self.run is not None and self.run.curves is not None:
                self.run.curves.fold()
            now = time.perf_counter()
            if now - drawn < pause:
                continue
            with self._lock:
                if self.done.is_set():
                    break
                snapshot = self._snapshot()
                self._output.metadata = self._marks()
                self._output.draw(live_html(snapshot), live_text(snapshot))
            drawn = time.perf_counter()
            # Drawing takes at most a twentieth of the time, even on a busy machine.
            pause = max(_DRAW, 20 * (drawn - now))
        with self._lock:
            self._output.close_widget()

    def _marks(self) -> dict[str, Any]:
        """Marks of the output, so that tools and observers can distinguish it from the user's outputs."""
        return {OWN: {"run": self.run.uid if self.run is not None else ""}}

    def _snapshot(self) -> Snapshot:
        run = self.run
        return Snapshot(
            run.name if run is not None else "",
            run.experiment if run is not None else "",
            time.perf_counter() - self._began,
            _metrics(run) if run is not None else {},
            self.curves,
            self.bars,
            self._resources.text(),
        )


class LiveViews:
    """The live views of a session: one for each running cell, drawn by one thread."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._waiting: queue.SimpleQueue[LiveView] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        # Subshells of a kernel execute cells in threads of their own, and a cell may run another one.
        self._open: dict[int, list[LiveView]] = {}

    def begin(self, execution: Execution, run: ActiveRun | None) -> LiveView:
        """Open the view of an execution that has just started."""
        views = self._open.setdefault(threading.get_ident(), [])
        for known in views:
            if known.execution is execution:
                # A progress bar opened the view before the cell became a run.
                known.run = run
                return known
        view = LiveView(self._shell, execution, run)
        views.append(view)
        if self._pid == os.getpid() and self._drawing():
            self._waiting.put(view)
        return view

    def take(self, execution: Execution | None) -> LiveView | None:
        """Remove and return the view of an execution of this thread; views of cells nested in it are closed."""
        views = self._open.get(threading.get_ident(), [])
        place = next((i for i, view in enumerate(views) if view.execution is execution), None)
        if place is None:
            return None
        found, *inner = views[place:]
        del views[place:]
        if not views:
            self._open.pop(threading.get_ident(), None)
        for view in inner:
            view.end(None)
        return found

    def forget(self) -> None:
        """Close the views of this thread, which runs no cell: an interrupt left them open."""
        for view in self._open.pop(threading.get_ident(), []):
            view.end(None)

    def paint(self, bar: Bar, execution: Execution | None) -> bool:
        """Show a progress bar; False outside a kernel, where the caller draws it in the terminal."""
        if not hasattr(self._shell, "kernel"):
            return False
        if self._pid != os.getpid():
            return True
        # A thread that the cell started has no view: its bars belong to the cell.
        views = self._open.get(threading.get_ident()) or next(iter(list(self._open.values())), None)
        view = views[-1] if views else None
        if view is None and execution is not None:
            view = self.begin(execution, None)
        if view is not None:
            view.add(bar)
        return True

    def _drawing(self) -> bool:
        """Whether the drawing thread runs; it is started if need be."""
        if self._thread is None:
            self._thread = start_daemon("mlops-live", self._draw)
        return self._thread is not None

    def _draw(self) -> None:
        while True:
            view = self._waiting.get()
            try:
                if not view.done.wait(DELAY):
                    view.draw_until_done()
            except Exception as error:  # noqa: BLE001 a view must not fail the user's cell
                if os.environ.get("MLOPS_DEBUG"):
                    sys.__stderr__ and sys.__stderr__.write(f"mlops: the live view failed: {error!r}\n")
            # Otherwise the variable keeps the objects of the last cell alive while the thread waits.
            del view


def _metrics(run: ActiveRun) -> dict[str, float | int]:
    # A copy, because the cell may log while this iterates.
    return {name: value for name, value in dict(run.metrics).items() if not name.startswith(SYSTEM)}
