"""Follows ``desired.json``: loads the version that it names, and keeps the result."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.files import file_stamp
from mlops_workbench.serving.desired import DESIRED, Desired, read_desired
from mlops_workbench.serving.routing.router import Router

log = logging.getLogger("mlops_workbench.serving")


class DesiredStateFollower:
    """A thread that makes the router serve the desired version.

    The old version answers requests while this thread loads the new one. When the file changes during a load, the
    newest content is applied next.

    Parameters
    ----------
    folder : Path
        Endpoint folder.
    router : Router
        Versions of the endpoint.
    on_stop : callable
        Called when the process must end.
    on_change : callable
        Called after each change of `generation` or `error`.
    seconds : float
        Pause between two checks of the file.
    """

    def __init__(
        self,
        folder: Path,
        router: Router,
        *,
        on_stop: Callable[[], None],
        on_change: Callable[[], None],
        seconds: float = 0.25,
    ) -> None:
        self.generation = 0
        self.error = ""
        self._folder = folder
        self._router = router
        self._on_stop = on_stop
        self._on_change = on_change
        self._seconds = seconds
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="desired state", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """End the thread after the present load."""
        self._ending.set()

    def _run(self) -> None:
        applied = (0, 0, 0)
        while not self._ending.is_set():
            # Before reading, so that a change in between is applied as another one.
            stamp = file_stamp(self._folder / DESIRED)
            if stamp != applied:
                applied = stamp
                try:
                    self._apply(read_desired(self._folder))
                except StorageError as error:
                    # Keep serving until the file is written again.
                    log.warning("%s", error)
                except Exception:
                    log.exception("the desired state could not be applied")
            self._ending.wait(self._seconds)

    def _apply(self, desired: Desired) -> None:
        if not desired.wanted:
            self._on_stop()
            return
        self._router.settings = desired.settings
        try:
            self._router.switch(desired.model, desired.version, Path(desired.folder), desired.digest)
            self.error = ""
        except WorkbenchError as error:
            log.warning("version %s cannot be served: %s", desired.version, error)
            self.error = str(error)
        except Exception as error:
            # Otherwise the endpoint would stay "updating" without a reason.
            log.exception("version %s cannot be served", desired.version)
            self.error = f"version {desired.version} cannot be served: {type(error).__name__}: {error}"
        self.generation = desired.generation
        self._on_change()
        if desired.previous and desired.previous_folder and not self.error:
            folder = Path(desired.previous_folder)
            self._router.keep_previous(desired.model, desired.previous, folder, desired.previous_digest)
            self._on_change()
