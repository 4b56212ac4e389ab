"""Imports what the first cells will need, in the time in which a kernel waits for the first one."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Seconds between two looks whether a client is there, and the longest time to wait for one.
_LOOK_SECONDS, _WAIT_SECONDS = 0.01, 30.0
#: Seconds for the reply to it.
_PATIENCE = 0.02
#: In the order of need: any cell's, then those of the first one that is a run.
_MODULES = (
    "mlops_workbench.capture.cells.watch",
    "mlops_workbench.capture.provenance.cell_log",
    "mlops_workbench.notebooks.names.visitor",
    "mlops_workbench.capture.provenance.provenance_log",
    "mlops_workbench.capture.cells.autotrack",
    "mlops_workbench.magics.shown.display",
    "mlops_workbench.capture.cells.observed_data",
    "mlops_workbench.magics.shown.ranking",
    "mlops_workbench.data.schema",
    "mlops_workbench.data.profile",
)


class Preloading:
    """Imports in a thread until a cell comes.

    A client that has started a kernel waits before it sends the first cell (a person for seconds, nbclient and
    papermill for the fifth of a second that they listen for stray messages), and what is imported by then does not
    cost the cell anything. Nothing is imported in a process that is no kernel.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        if getattr(shell, "kernel", None) is None:
            return
        # No daemon: an interpreter that ends stops those wherever they are, also in the middle of an import.
        self._thread = threading.Thread(target=self._import, name="mlops-preloading", daemon=False)
        try:
            self._thread.start()
        except RuntimeError:
            # The interpreter is shutting down, or there are too many threads.
            self._thread = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self.end)

    def end(self) -> None:
        """A cell is there, or a child is about to be forked: import no more than what has been begun.

        A forked child would wait forever for an import of a thread that it does not have.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            self._over.set()
            thread.join()

    def _import(self) -> None:
        # Not while the kernel starts: its client waits for that, and after it no longer.
        deadline = time.monotonic() + _WAIT_SECONDS
        while not getattr(self._shell, "parent_header", None):
            gone = time.monotonic() > deadline or not threading.main_thread().is_alive()
            if gone or self._over.wait(_LOOK_SECONDS):
                return
        self._over.wait(_PATIENCE)
        # Modules are made to stay. The collector would look through the whole kernel for what can go among them, which
        # takes as long as a third of these imports, and would come to its next turn in the user's cells all the sooner.
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._import_modules()
        finally:
            if collecting:
                gc.enable()

    def _import_modules(self) -> None:
        for module in _MODULES:
            if self._over.is_set() or sys.is_finalizing():
                return
            try:
                import_module(module)
            except Exception:  # noqa: BLE001 the cell that needs it says what is wrong
                return
