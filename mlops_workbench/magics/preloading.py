"""Imports the modules that the first cells need while the kernel is idle."""

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

#: Seconds between two checks for a client's request, and the longest time to wait for one.
_POLL_SECONDS, _WAIT_SECONDS = 0.01, 30.0
#: Seconds that are left for the reply to that request.
_REPLY_SECONDS = 0.05
#: In the order of need: modules for any cell, then those for the first tracked cell.
MODULES = (
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
    """Imports modules in a thread until the first cell runs; no effect outside a kernel.

    A client waits between starting a kernel and sending the first cell (a person for seconds, nbclient and papermill
    for 0.2 s), and modules that are imported by then do not delay the cell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        if getattr(shell, "kernel", None) is None or all(module in sys.modules for module in MODULES):
            return
        # Not a daemon: the interpreter stops daemons at exit at any point, even in the middle of an import.
        self._thread = threading.Thread(target=self._import, name="mlops-preloading", daemon=False)
        try:
            self._thread.start()
        except RuntimeError:
            # The interpreter is shutting down, or the limit of threads is reached.
            self._thread = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self.end)

    def end(self) -> None:
        """Wait for the current import and start no other: a cell runs, or the process is about to fork.

        A forked child does not have the thread, and would wait forever for its import.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            self._over.set()
            thread.join()

    def _import(self) -> None:
        # Not before the client's first request: until then the client waits for the kernel to start.
        deadline = time.monotonic() + _WAIT_SECONDS
        while not getattr(self._shell, "parent_header", None):
            abandoned = time.monotonic() > deadline or not threading.main_thread().is_alive()
            if abandoned or self._over.wait(_POLL_SECONDS):
                return
        self._over.wait(_REPLY_SECONDS)
        # Modules are never freed. Collecting garbage would take a third of the time of these imports, and the objects
        # counted here would bring the next collection forward into the user's cells.
        collecting = gc.isenabled()
        gc.disable()
        try:
            self._import_modules()
        finally:
            if collecting:
                gc.enable()

    def _import_modules(self) -> None:
        for module in MODULES:
            # At its end, the interpreter waits for this thread.
            if self._over.is_set() or not threading.main_thread().is_alive():
                return
            try:
                import_module(module)
            except Exception:  # noqa: BLE001 the cell that imports it again reports the error
                return
