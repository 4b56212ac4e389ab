"""Work that waits until the reply to a cell was sent."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from mlops_workbench.capture.kernel.notices import notify

T = TypeVar("T")

#: Seconds after a cell, when its reply is long under way.
_PAUSE = 0.02


class DeferredWork:
    """A queue of observations that are too slow to be made before a cell's reply.

    They are made in the kernel's own thread: shortly after the reply when the kernel is idle, and in any case
    before the next cell begins, so that they see what the cell left and not what the next one made of it.
    Without an event loop (a plain IPython terminal) they are made at once.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._waiting: deque[tuple[str, Callable[[], Any], Any]] = deque()
        self._with_next: deque[tuple[str, Callable[[], Any]]] = deque()
        self._pid = os.getpid()

    def add(self, what: str, work: Callable[[], Any]) -> None:
        """Do `work` after the reply.

        Parameters
        ----------
        what : str
            What is observed, for the message when it fails.
        work : callable
            Whatever it raises is told and goes no further.
        """
        kernel = getattr(self._shell, "kernel", None)
        loop = getattr(getattr(kernel, "io_loop", None), "asyncio_loop", None)
        if loop is None or not loop.is_running():
            quietly(what, work)
            return
        # What is shown later still belongs below the cell that caused it.
        self._waiting.append((what, work, getattr(self._shell, "parent_header", None)))
        if threading.current_thread() is threading.main_thread():
            loop.call_later(_PAUSE, self.flush)
        else:
            # A subshell of the kernel: the loop is another thread's.
            loop.call_soon_threadsafe(loop.call_later, _PAUSE, self.flush)

    def add_to_next(self, what: str, work: Callable[[], Any]) -> None:
        """Do `work` when the next cell begins, as a part of it.

        A client that listens to one cell at a time, such as nbclient, takes in a change of what an earlier one has
        shown only with the messages of the next.
        """
        self._with_next.append((what, work))

    def begin_cell(self) -> None:
        """Do what waits, and what waits for the next cell, which is this one."""
        self.flush()
        while self._with_next:
            quietly(*self._with_next.popleft())

    def flush(self) -> None:
        """Do what waits now."""
        if self._pid != os.getpid():
            # A forked child has no business with what its parent saw.
            self._waiting.clear()
            self._with_next.clear()
        while True:
            try:
                what, work, parent = self._waiting.popleft()
            except IndexError:
                # Done, here or by a cell that began in another thread.
                return
            current = getattr(self._shell, "parent_header", None)
            if parent is not None and parent is not current:
                quietly(what, lambda parent=parent: self._shell.set_parent(parent))
            quietly(what, work)
            if parent is not None and parent is not current and current is not None:
                quietly(what, lambda current=current: self._shell.set_parent(current))


def quietly(what: str, observe: Callable[[], Any]) -> None:
    """Observe something without raising; see `attempt`."""
    attempt(what, observe, None)


def attempt(what: str, observe: Callable[[], T], default: T) -> T:
    """Observe something without raising: the cell has run, and the user has no part in what fails now.

    Parameters
    ----------
    what : str
        What is observed, for the message when it fails.
    observe : callable
        Whatever it raises is reported on stderr; ``MLOPS_DEBUG`` shows its traceback.
    default : object
        The result when it fails.

    Returns
    -------
    object
        What `observe` returned, or `default`.
    """
    try:
        return observe()
    except BaseException as error:  # noqa: BLE001 what an object of the user's raises, or an interrupt, ends no cell
        if os.environ.get("MLOPS_DEBUG"):
            traceback.print_exc(file=sys.stderr)
        notify(f"{what} could not be observed ({type(error).__name__}: {error}); the cell itself is not affected")
        return default
