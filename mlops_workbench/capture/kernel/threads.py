"""Threads of the workbench in the user's process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

#: Native ids of threads whose child processes do not count as the user's.
OWN_THREADS: set[str] = set()


def start_daemon(name: str, work: Callable[[], object]) -> threading.Thread | None:
    """Start a daemon thread; return None when the interpreter is ending or the process has too many threads."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


@contextlib.contextmanager
def ignoring_children_of_this_thread() -> Iterator[None]:
    """Exclude the processes that the calling thread starts in this block from the user's."""
    own = str(threading.get_native_id())
    OWN_THREADS.add(own)
    try:
        yield
    finally:
        # The system may reuse the id for another thread.
        OWN_THREADS.discard(own)
