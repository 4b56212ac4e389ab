"""Told to a kernel with capture, writes the time that capture takes of it into the file named by ``BENCH_HOOKS``.

The time of whole executions differs by several per cent from one to the next on a busy machine, which is more than what
is looked for. This is measured within an execution: how long the main thread was in the workbench's hooks and in the
work it puts off, and the processor time of its threads, which share the interpreter's lock with the cells.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_workbench.capture.kernel.deferred import DeferredWork
from mlops_workbench.magics.hooks import ShellHooks

_taken = {"main_thread": 0.0, "threads": 0.0}
_inside = threading.local()


def _timed(of: type, name: str) -> None:
    plain: Callable[..., Any] = getattr(of, name)

    def timed(*args: Any, **named: Any) -> Any:
        if getattr(_inside, "now", False) or threading.current_thread() is not threading.main_thread():
            return plain(*args, **named)
        _inside.now = True
        start = time.perf_counter()
        try:
            return plain(*args, **named)
        finally:
            _taken["main_thread"] += time.perf_counter() - start
            _inside.now = False

    setattr(of, name, timed)


def _run(self: threading.Thread) -> None:
    try:
        _plain_run(self)
    finally:
        if self.name.startswith("mlops"):
            _taken["threads"] += time.thread_time()


def _write() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    for thread in threading.enumerate():
        if thread.name.startswith("mlops"):
            fields = Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rpartition(")")[2].split()
            _taken["threads"] += (int(fields[11]) + int(fields[12])) / ticks
    Path(os.environ["BENCH_HOOKS"]).write_text(json.dumps(_taken))


_plain_run = threading.Thread.run
threading.Thread.run = _run  # type: ignore[method-assign]
_timed(ShellHooks, "_quietly")
_timed(DeferredWork, "flush")
atexit.register(_write)
