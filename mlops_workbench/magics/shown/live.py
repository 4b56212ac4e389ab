"""The live view of a cell that takes longer than a moment, and the static output that takes its place."""

from __future__ import annotations

import contextvars
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_workbench.capture.cells.output import OWN
from mlops_workbench.capture.kernel.threads import start_daemon
from mlops_workbench.capture.progress import Bar, open_bars
from mlops_workbench.magics.shown.card_parts import SYSTEM
from mlops_workbench.magics.shown.live_drawing import Snapshot, bars_html, bars_text, live_html, live_text
from mlops_workbench.magics.shown.live_resources import ProcessGauge

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from mlops_workbench.capture.cells.execution import Execution
    from mlops_workbench.capture.run.active import ActiveRun

#: Seconds that a cell runs before anything is shown of it.
DELAY = 1.0
#: Seconds between two looks at its metrics, and between two drawings.
_LOOK, _DRAW = 0.1, 0.4
_MAX_POINTS, _MAX_BARS = 240, 12
_VIEW = "application/vnd.jupyter.widget-view+json"


class LiveView:
    """The output of one execution, from its first second to its end.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    execution : Execution
        The cell that runs.
    run : ActiveRun or None
        The run it is, if it is one.

    Attributes
    ----------
    curves : dict
        Values of metrics over time, as far as they were seen.
    """

    def __init__(self, shell: InteractiveShell, execution: Execution, run: ActiveRun | None) -> None:
        self.run = run
        self.execution = execution
        self.curves: dict[str, list[float]] = {}
        self.done = threading.Event()
        # Bound now: `%%capture` and its kin put another one in its place while the cell runs.
        self._publisher = shell.display_pub
        self._watched = is_watched(shell, execution)
        self._may_have_widget = not _in_vscode(shell, execution)
        # In this context the kernel knows which cell a message belongs to.
        self._context = contextvars.copy_context()
        self._display_id = f"mlops-{execution.uid}"
        self._began = time.perf_counter()
        self._bars: dict[tuple[int, int, str], Bar] = {}
        self._lock = threading.Lock()
        self._shown = False
        self._widget: Any = None
        self._resources = ProcessGauge()

    @property
    def bars(self) -> list[Bar]:
        """Loops of the cell, in the order they began."""
        return list(self._bars.values())

    def add(self, bar: Bar) -> None:
        """Draw a loop too; the next one in the same place takes its place."""
        depth = sum(other.thread == bar.thread for other in open_bars())
        key = (bar.thread, depth, bar.desc)
        self._bars.pop(key, None)
        if len(self._bars) >= _MAX_BARS:
            self._bars.pop(next(iter(self._bars)), None)
        self._bars[key] = bar

    def draw_until_done(self) -> None:
        """Show the cell until it is done; runs in a thread."""
        if self._watched:
            self._context.run(self._draw_until_done)

    def end(self, bundle: Mapping[str, str] | None) -> None:
        """Put the static output in the place of the live one, or show it where nothing was shown.

        Parameters
        ----------
        bundle : mapping or None
            MIME bundle; None when there is none to show.
        """
        self.done.set()
        with self._lock:
            if bundle is None and self._shown:
                bundle = {"text/plain": bars_text(self.bars), "text/html": bars_html(self.bars)}
            if bundle is not None:
                self._publish(bundle, update=self._shown)
                self._shown = True
            self._close_widget()

    def refresh(self, bundle: Mapping[str, str]) -> None:
        """Show another static output in the place of the one that :meth:`end` showed."""
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
        while not self.done.wait(_LOOK):
            self._look()
            now = time.perf_counter()
            if now - drawn < pause:
                continue
            with self._lock:
                if self.done.is_set():
                    return
                if self._widget is not None:
                    self._widget.value = live_html(self._snapshot())
                else:
                    self._publish(self._still(), update=True)
            drawn = time.perf_counter()
            # Drawing may take a twentieth of the time, on a machine that is busy too.
            pause = max(_DRAW, 20 * (drawn - now))

    def _still(self) -> dict[str, Any]:
        now = self._snapshot()
        return {"text/plain": live_text(now), "text/html": live_html(now)}

    def _close_widget(self) -> None:
        # The view is gone from the page by now; its models would stay in the kernel and in the notebook.
        widget, self._widget = self._widget, None
        if widget is not None:
            for part in (widget, widget.layout, widget.style):
                part.close()

    def _publish(self, bundle: Mapping[str, Any], *, update: bool) -> None:
        # So that a tool, and what observes the cell, can tell it from what the user shows.
        metadata = {OWN: {"run": self.run.uid if self.run is not None else ""}}
        self._publisher.publish(dict(bundle), metadata, transient={"display_id": self._display_id}, update=update)

    def _look(self) -> None:
        if self.run is None:
            return
        for name, value in _metrics(self.run).items():
            curve = self.curves.setdefault(name, [])
            if not curve or curve[-1] != value:
                curve.append(value)
                if len(curve) > _MAX_POINTS:
                    del curve[1::2]

    def _snapshot(self) -> Snapshot:
        self._look()
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
    """The live views of a session: one for each cell that runs, drawn by one thread.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._waiting: queue.SimpleQueue[LiveView] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        # Subshells of a kernel execute cells in threads of their own, and a cell may run another one.
        self._open: dict[int, list[LiveView]] = {}

    def begin(self, execution: Execution, run: ActiveRun | None) -> LiveView:
        """Watch an execution that has just begun."""
        views = self._open.setdefault(threading.get_ident(), [])
        for known in views:
            if known.execution is execution:
                # A loop was shown before the cell became a run.
                known.run = run
                return known
        view = LiveView(self._shell, execution, run)
        views.append(view)
        if self._pid == os.getpid() and self._drawing():
            self._waiting.put(view)
        return view

    def take(self, execution: Execution | None) -> LiveView | None:
        """The view of an execution of this thread that is over; those of cells in it end without a word."""
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
        """No cell is under way in this thread: what is still drawn was left by an interrupt."""
        for view in self._open.pop(threading.get_ident(), []):
            view.end(None)

    def paint(self, bar: Bar, execution: Execution | None) -> bool:
        """Take a loop that begins; False when there is no place but the terminal's line to show it."""
        if not hasattr(self._shell, "kernel"):
            return False
        if self._pid != os.getpid():
            return True
        # A loop in a thread of the cell belongs to the cell.
        views = self._open.get(threading.get_ident()) or next(iter(list(self._open.values())), None)
        view = views[-1] if views else None
        if view is None and execution is not None:
            view = self.begin(execution, None)
        if view is not None:
            view.add(bar)
        return True

    def _drawing(self) -> bool:
        """Whether there is a thread that draws."""
        if self._thread is None:
            # Without a thread the card is shown all the same.
            self._thread = start_daemon("mlops-live", self._draw)
        return self._thread is not None

    def _draw(self) -> None:
        while True:
            view = self._waiting.get()
            try:
                if not view.done.wait(DELAY):
                    view.draw_until_done()
            except Exception as error:  # noqa: BLE001 a view must never be what a user's cell fails from
                if os.environ.get("MLOPS_DEBUG"):
                    sys.__stderr__ and sys.__stderr__.write(f"mlops: the live view failed: {error!r}\n")
            # While it waits for the next one it must not hold what the last one's cell left.
            del view


def is_watched(shell: Any, execution: Execution) -> bool:
    """Whether somebody looks at the outputs of this execution as they come.

    Notebook applications name the cell in their request, and show widgets; nbclient and papermill, which run a
    notebook for the file that it becomes, do not.
    """
    return hasattr(shell, "kernel") and bool(execution.cell_id or _in_vscode(shell, execution))


def _in_vscode(shell: Any, execution: Execution) -> bool:
    """Whether the cell runs in VS Code.

    It draws an output anew in its place as well as a widget. The widget it lays on white in dark themes too; and
    where its extension for widgets is missing, the first one is not seen and no cell after it runs.
    """
    return "__vsc_ipynb_file__" in shell.user_ns or execution.cell_id.startswith("vscode-notebook-cell:")


def _html_widget(value: str) -> Any:
    try:
        # Imported here, in a thread and a second after the cell began: it takes longer than most cells.
        from ipywidgets import HTML

        return HTML(value=value)
    except Exception:  # noqa: BLE001 without widgets the output itself is drawn anew
        return None


def _metrics(run: ActiveRun) -> dict[str, float | int]:
    # A copy first: the cell goes on logging.
    return {name: value for name, value in dict(run.metrics).items() if not name.startswith(SYSTEM)}


def curves_of(view: LiveView | None) -> Mapping[str, Sequence[float]]:
    """Metrics over time, as far as the live view saw them."""
    return view.curves if view is not None else {}
