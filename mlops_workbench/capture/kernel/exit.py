"""Calls at the end of the process."""

from __future__ import annotations

import atexit
import sys
import weakref
from collections.abc import Callable


def call_at_exit(method: Callable[[], object]) -> None:
    """Call a bound method when the process exits, unless its object was collected before."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := reference()) is not None:
            alive()

    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        # Children of multiprocessing skip atexit, but run finalizers.
        from multiprocessing.util import Finalize

        Finalize(None, call, exitpriority=0)
    else:
        atexit.register(call)
