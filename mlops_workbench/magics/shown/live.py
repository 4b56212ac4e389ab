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
from mlops_workbench.core.shown.plain_text import visible
from mlops_workbench.magics.shown.card_parts import SYSTEM
from mlops_workbench.magics.shown.live_drawing import Snapshot, bars_html, bars_text, live_html, live_text
from mlops_workbench.magics.shown.live_resources import ProcessGauge

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.capture.cells.execution import Execution
    from mlops_workbench.capture.run.active import ActiveRun

#: Seconds that a cell runs before its live view is shown.
DELAY = 1.0
#: Seconds between two looks whether the cell is done, and between two drawings.
_SAMPLE, _DRAW = 0.1, 0.4
_MAX_BARS = 12
_VIEW = "application/vnd.jupyter.widget-view+json"


class LiveView:
    """The output of one execution, which may be a `run`."""

    def __init__(self, shell: InteractiveShell, execution: Execution, run: ActiveRun | None) -> None:
        self.run = run
        self.execution = execution
        self.done = threading.Event()
        # Bound now: magics such as `%%capture` replace it while the cell runs.
        self._publisher = shell.display_pub
        self._watched = is_watched(shell, execution)
        self._may_have_widget = not _in_vscode(shell, execution)
        # The kernel assigns messages to cells by a variable of this context.
        self._context = contextvars.copy_context()
        self._display_id = f"mlops-{execution.uid}"
        self._began = time.perf_counter()
        self._bars: dict[tuple[int, int, str], Bar] = {}
        self._lock = threading.Lock()
        self._shown = False
        self._widget: Any = None
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
            if bundle is None and self._shown:
                bundle = {"text/plain": bars_text(self.bars), "text/html": bars_html(self.bars)}
            if bundle is not None:
                self._publish(bundle, update=self._shown)
                self._shown = True
            self._close_widget()

    def refresh(self, bundle: Mapping[str, str]) -> None:
        """Replace the output that :meth:`end` showed."""
        with self._lock:
            self._publish(bundle, update=True)

    def _draw_until_done(self) -> None:
        self._widget = _html_widget(live_html(self._snapshot())) if self._may_have_widget else None
        with self._lock:
            if self.done.is_set():
                self._close_widget()
                return
            bundle: dict[str, Any] = self._still()
            if self._widget is not None:
                bundle[_VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}
            self._publish(bundle, update=False)
            self._shown = True
        drawn, pause = time.perf_counter(), _DRAW
        while not self.done.wait(_SAMPLE):
            if self.run is not None and self.run.curves is not None:
                self.run.curves.fold()
            now = time.perf_counter()
            if now - drawn < pause:
                continue
            with self._lock:
                if self.done.is_set():
                    return
                if self._widget is not None:
                    self._widget.value = visible(live_html(self._snapshot()))
                else:
                    self._publish(self._still(), update=True)
            drawn = time.perf_counter()
            # Drawing takes at most a twentieth of the time, even on a busy machine.
            pause = max(_DRAW, 20 * (drawn - now))

    def _still(self) -> dict[str, Any]:
        now = self._snapshot()
        return {"text/plain": live_text(now), "text/html": live_html(now)}

    def _close_widget(self) -> None:
        # The page no longer shows the view, but its models would stay in the kernel and in the notebook.
        widget, self._widget = self._widget, None
        if widget is not None:
            for part in (widget, widget.layout, widget.style):
                part.close()

    def _publish(self, bundle: Mapping[str, Any], *, update: bool) -> None:
        # Marked, so that tools and observers can distinguish it from the user's outputs.
        metadata = {OWN: {"run": self.run.uid if self.run is not None else ""}}
        shown = {kind: visible(part) if isinstance(part, str) else part for kind, part in bundle.items()}
        self._publisher.publish(shown, metadata, transient={"display_id": self._display_id}, update=update)

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


def is_watched(shell: Any, execution: Execution) -> bool:
    """Whether a notebook application shows the outputs of this execution as they arrive.

    Such applications send the id of the cell and show widgets. nbclient and papermill, which write the executed
    notebook to a file, do not.
    """
    return hasattr(shell, "kernel") and bool(execution.cell_id or _in_vscode(shell, execution))


def _in_vscode(shell: Any, execution: Execution) -> bool:
    """Whether the cell runs in VS Code, where an output is updated instead of a widget.

    VS Code draws widgets on white even in dark themes. Without its extension for widgets, the first widget is not
    shown and no later cell runs.
    """
    return "__vsc_ipynb_file__" in shell.user_ns or execution.cell_id.startswith("vscode-notebook-cell:")


def _html_widget(value: str) -> Any:
    try:
        # Imported here, in a thread and a second after the cell started: the import takes longer than most cells.
        from ipywidgets import HTML

        return HTML(value=visible(value))
    except Exception:  # noqa: BLE001 without widgets the output itself is updated
        return None


def _metrics(run: ActiveRun) -> dict[str, float | int]:
    # A copy, because the cell may log while this iterates.
    return {name: value for name, value in dict(run.metrics).items() if not name.startswith(SYSTEM)}
