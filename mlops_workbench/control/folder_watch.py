"""Hints that something changed below folders; they may be late or missing, so nothing may depend on them alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import watch

from mlops_workbench.pipelines.triggers.files import WatchedFolder

log = logging.getLogger("mlops_workbench.control")


class FolderWatch:
    """Calls a function with paths that changed below folders.

    Parameters
    ----------
    on_change : callable
        Called in a thread of its own.
    ignored : Path
        A folder whose changes do not count: the state of the workspace, which changes all the time.
    """

    def __init__(self, on_change: Callable[[set[str]], None], ignored: Path) -> None:
        self._on_change = on_change
        self._ignored = str(ignored)
        self._folders: frozenset[WatchedFolder] = frozenset()
        self._stop = threading.Event()
        #: Why changes are noticed late, empty for no reason.
        self.problem = ""

    def watch(self, folders: Iterable[WatchedFolder]) -> bool:
        """Watch these folders instead of others; True if they are others, and changes are missed for a moment."""
        wanted = frozenset(folders)
        if wanted == self._folders:
            return False
        self.close()
        self._folders = wanted
        self._stop = threading.Event()
        self.problem = ""
        for recursive in (False, True):
            paths = sorted(folder.path for folder in wanted if folder.recursive == recursive)
            if paths:
                arguments = (paths, recursive, self._stop)
                threading.Thread(target=self._run, args=arguments, name="watched folders", daemon=True).start()
        return True

    def close(self) -> None:
        """Watch nothing."""
        self._stop.set()
        self._folders = frozenset()

    def _run(self, paths: list[str], recursive: bool, stop: threading.Event) -> None:
        try:
            for changes in watch(
                *paths,
                watch_filter=lambda _change, path: not path.startswith(self._ignored),
                stop_event=stop,
                debounce=400,
                step=50,
                rust_timeout=1000,
                recursive=recursive,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                if not stop.is_set():
                    self._on_change({path for _, path in changes})
        except (OSError, RuntimeError) as error:
            # The limit of watches, or a folder that is gone; the regular looks go on.
            if not stop.is_set():
                self.problem = f"changes of files are noticed late: {error}"
                log.warning("%s", self.problem)
                self._folders = frozenset()
