"""A periodic background job of the control plane."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from mlops_workbench.control.audit.actors import acting_as, process
from mlops_workbench.core.errors import WorkbenchError

log = logging.getLogger("mlops_workbench.control")


class Worker:
    """Calls `step` in a thread of its own every `seconds`, and at once when woken; first waits until `begin` returns.

    A failure is reported, and the step repeated; it must be safe to repeat. The desired state is in the database,
    so that a failure loses nothing.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        seconds: float,
        begin: Callable[[threading.Event], object] | None = None,
    ) -> None:
        self.name = name
        self.problem = ""
        self._step = step
        self._seconds = seconds
        self._begin = begin
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Run the next step at once."""
        self._wake.set()

    def stop(self) -> None:
        """Start no further step."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait for the current step. A longer one ends with the process, and the next process repeats it."""
        if self._thread.is_alive():
            self._thread.join(max(timeout, 0.0))

    def _run(self) -> None:
        with acting_as(process(self.name)):
            self._repeat()

    def _repeat(self) -> None:
        if self._begin is not None:
            self._begin(self._stopping)
        while not self._stopping.is_set():
            try:
                self._step()
                self.problem = ""
            except WorkbenchError as error:
                self._report(str(error))
            except Exception as error:  # noqa: BLE001 a failure must not end the job
                self._report(f"{type(error).__name__}: {error}", trace=True)
            self._wake.wait(self._seconds)
            self._wake.clear()

    def _report(self, problem: str, *, trace: bool = False) -> None:
        if problem != self.problem:
            log.warning("%s: %s", self.name, problem, exc_info=trace)
        self.problem = problem
