"""Work that is deferred until the reply to a cell was sent."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.core.shown.plain_text import visible

T = TypeVar("T")

#: Seconds within which the reply to a cell is sent, where that cannot be told.
_PAUSE = 0.02
_LONG_SECONDS = 1.0


class DeferredWork:
    """A queue of observations that are too slow to be made before a cell's reply.

    They are made in the kernel's thread: shortly after the reply when the kernel is idle, and in any case
    before the next cell begins, so that they observe the values that the cell left.
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
        #: Whether the loop is asked to do it.
        self._due = False

    def add(self, what: str, work: Callable[[], Any]) -> None:
        """Do `work` after the reply; see `attempt` for the parameters."""
        kernel = getattr(self._shell, "kernel", None)
        loop = getattr(getattr(kernel, "io_loop", None), "asyncio_loop", None)
        # In a forked child, the loop does not run.
        if loop is None or not loop.is_running() or self._pid != os.getpid():
            quietly(what, work)
            return
        # Later output is displayed below the cell that caused it.
        self._waiting.append((what, work, getattr(self._shell, "parent_header", None)))
        if threading.current_thread() is not threading.main_thread():
            # A subshell of the kernel: the loop belongs to another thread.
            loop.call_soon_threadsafe(loop.call_later, _PAUSE, self.flush)
        elif not self._due:
            self._due = True
            self._flush_after_sending(kernel, loop)

    def _flush_after_sending(self, kernel: Any, loop: Any) -> None:
        """Do the work when the last message of this cell is sent: the client needs a moment to ask for the next."""
        sender = getattr(getattr(kernel, "iopub_socket", None), "io_thread", None)
        if sender is None:
            loop.call_later(_PAUSE, self.flush)
            return
        # The loop gets to it after the cell; then the thread that sends messages has all those of the cell before it.
        loop.call_soon(sender.schedule, lambda: loop.call_soon_threadsafe(self.flush))

    def add_to_next(self, what: str, work: Callable[[], Any]) -> None:
        """Do `work` when the next cell begins, as a part of it.

        A client that reads the messages of one cell at a time, such as nbclient, receives an update of earlier
        output only with the messages of the next cell.
        """
        self._with_next.append((what, work))

    def begin_cell(self) -> None:
        """Do all waiting work, including that of `add_to_next`."""
        self.flush()
        while self._with_next:
            quietly(*self._with_next.popleft())

    def flush(self) -> None:
        """Do the waiting work now."""
        self._due = False
        if self._pid != os.getpid():
            # In a forked child, the work belongs to the parent.
            self._waiting.clear()
            self._with_next.clear()
        while True:
            try:
                what, work, parent = self._waiting.popleft()
            except IndexError:
                return
            current = getattr(self._shell, "parent_header", None)
            if parent is not None and parent is not current:
                quietly(what, lambda parent=parent: self._shell.set_parent(parent))
            quietly(what, work)
            if parent is not None and parent is not current and current is not None:
                quietly(what, lambda current=current: self._shell.set_parent(current))


class Once:
    """Work that is done once: when it is called, or beside a cell that runs for longer than a second.

    Parameters
    ----------
    what : str
        What is done, for the error message.
    work : callable
        The work.
    """

    def __init__(self, what: str, work: Callable[[], Any]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._done = False
        self._timer = threading.Timer(_LONG_SECONDS, lambda: quietly(what, self))
        self._timer.name, self._timer.daemon = "mlops-deferred", True
        # Without a thread it is done when it is called.
        with contextlib.suppress(RuntimeError):
            self._timer.start()

    def __call__(self) -> None:
        """Do the work, or wait until it is done."""
        self._timer.cancel()
        with self._lock:
            if not self._done:
                self._done = True
                self._work()


def quietly(what: str, observe: Callable[[], Any]) -> None:
    """Observe something without raising; see `attempt`."""
    attempt(what, observe, None)


def attempt(what: str, observe: Callable[[], T], default: T) -> T:
    """Return the result of an observation, or `default` if it fails.

    Parameters
    ----------
    what : str
        What is observed, for the error message.
    observe : callable
        Its exceptions are reported on stderr, because the user's code did not cause them; ``MLOPS_DEBUG`` shows
        their traceback.
    default : object
        The result when it fails.
    """
    try:
        return observe()
    except BaseException as error:  # noqa: BLE001 an error of a user's object, or an interrupt, must not end the cell
        if os.environ.get("MLOPS_DEBUG"):
            sys.stderr.write(visible(traceback.format_exc()))
        notify(f"{what} could not be observed ({type(error).__name__}: {error}); the cell itself is not affected")
        return default
