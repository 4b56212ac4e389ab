"""Follows ``desired.json``: loads what it names, and says what became of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.serving.desired import DESIRED, Desired, file_stamp, read_desired
from mlops_workbench.serving.routing.router import Router

log = logging.getLogger("mlops_workbench.serving")


class DesiredStateFollower:
    """A thread that makes the router serve what is wanted.

    Loading happens in this thread, so requests are answered by the old version meanwhile. When the file changes
    during a load, the newest content is taken up next.

    Parameters
    ----------
    folder : Path
        Endpoint folder.
    router : Router
        What it steers.
    stop : callable
        Called when the endpoint is no longer wanted.
    changed : callable
        Called after each change of `generation` or `error`.
    seconds : float
        Pause between two looks at the file.
    """

    def __init__(
        self,
        folder: Path,
        router: Router,
        *,
        stop: Callable[[], None],
        changed: Callable[[], None],
        seconds: float = 0.25,
    ) -> None:
        self.generation = 0
        self.error = ""
        self._folder = folder
        self._router = router
        self._stop = stop
        self._changed = changed
        self._seconds = seconds
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="desired state", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End after the present load."""
        self._ending.set()

    def _run(self) -> None:
        seen = (0, 0, 0)
        while not self._ending.is_set():
            # The stamp is taken before reading: a change in between is seen as one more change.
            stamp = file_stamp(self._folder / DESIRED)
            if stamp != seen:
                seen = stamp
                try:
                    self._take(read_desired(self._folder))
                except StorageError as error:
                    # Go on with what is served; whoever broke the file will write it again.
                    log.warning("%s", error)
                except Exception:
                    log.exception("the desired state could not be followed")
            self._ending.wait(self._seconds)

    def _take(self, desired: Desired) -> None:
        if not desired.wanted:
            self._stop()
            return
        try:
            self._router.switch(desired.model, desired.version, Path(desired.folder))
            self.error = ""
        except WorkbenchError as error:
            log.warning("version %s cannot be served: %s", desired.version, error)
            self.error = str(error)
        except Exception as error:
            # Else the endpoint would be "updating" for ever, and nobody told why.
            log.exception("version %s cannot be served", desired.version)
            self.error = f"version {desired.version} cannot be served: {type(error).__name__}: {error}"
        self.generation = desired.generation
        self._changed()
        if desired.previous and desired.previous_folder and not self.error:
            self._router.keep_previous(desired.model, desired.previous, Path(desired.previous_folder))
            self._changed()
