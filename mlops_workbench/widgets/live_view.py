"""A view in the output of a cell that is made anew while the notebook is open."""

from __future__ import annotations

import threading
from typing import Any

from mlops_workbench.commands.view import MARK, View
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import new_id
from mlops_workbench.widgets.live_output import LiveOutput

#: Seconds between two looks, and until the last one.
SECONDS, LONGEST = 2.0, 600.0


class LiveView:
    """Shows a view, and in a thread what it becomes.

    The output itself is updated, not a widget: what is saved is then a static table at any moment. It ends when another
    live view begins, or after ten minutes.

    Parameters
    ----------
    publisher : DisplayPublisher
        Publishes outputs of the cell.
    view : View
        The view, which has a `refresh`.
    bundle : dict
        Its MIME bundle.
    seconds, longest : float
        Seconds between two looks, and until the last one.
    """

    _running: LiveView | None = None

    def __init__(
        self, publisher: Any, view: View, bundle: dict[str, str], *, seconds: float = SECONDS, longest: float = LONGEST
    ) -> None:
        if LiveView._running is not None:
            LiveView._running.stop()
        LiveView._running = self
        self._view = view
        self._seconds, self._looks = seconds, max(1, int(longest / seconds))
        self._ended = threading.Event()
        self._output = LiveOutput(publisher, f"mlops-view-{new_id()}", {MARK: {"view": view.title}}, widget=False)
        self._shown = bundle
        self._output.replace(self._shown)
        self._thread = threading.Thread(target=self._follow, name="live view", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave the output as it is."""
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join(self._seconds)

    def _follow(self) -> None:
        refresh = self._view.refresh
        assert refresh is not None
        for _ in range(self._looks):
            if self._ended.wait(self._seconds):
                return
            try:
                bundle = refresh()._repr_mimebundle_()
            except WorkbenchError:
                # The control plane may be starting anew; the next look shows it.
                continue
            if bundle != self._shown and not self._ended.is_set():
                self._shown = bundle
                self._output.replace(bundle)
