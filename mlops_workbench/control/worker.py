"""A background job of the control plane that is repeated, and can be woken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from mlops_workbench.core.errors import WorkbenchError

log = logging.getLogger("mlops_workbench.control")


class Worker:
    """Calls `step` every `seconds`, and at once when woken, in a thread of its own.

    A step that fails is reported and tried again: what the control plane wants to be true is in the
    database, so nothing is lost by a failure.

    Parameters
    ----------
    name : str
        For the log and the status.
    step : callable
        The job; must be safe to repeat.
    seconds : float
        Pause between two calls.
    """

    def __init__(self, name: str, step: Callable[[], object], seconds: float) -> None:
        self.name = name
        self.problem = ""
        self._step = step
        self._seconds = seconds
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Do not wait for the rest of the pause."""
        self._wake.set()

    def stop(self) -> None:
        """Do not begin another step."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait for the present step; one that takes longer ends with the process, and the next repeats it."""
        if self._thread.is_alive():
            self._thread.join(max(timeout, 0.0))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
                self.problem = ""
            except WorkbenchError as error:
                self._report(str(error))
            except Exception as error:  # noqa: BLE001 - the outermost loop: one failure must not end the job
                self._report(f"{type(error).__name__}: {error}", trace=True)
            self._wake.wait(self._seconds)
            self._wake.clear()

    def _report(self, problem: str, *, trace: bool = False) -> None:
        if problem != self.problem:
            log.warning("%s: %s", self.name, problem, exc_info=trace)
        self.problem = problem
