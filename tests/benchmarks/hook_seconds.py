"""Measure the time of capture in a kernel, when imported there; write it to the file in ``BENCH_HOOKS`` at exit.

On a busy machine the run time of a notebook varies by several per cent, more than the time of capture. So this module
measures within one execution: the time of the main thread in the workbench's hooks and deferred work, and the processor
time of its threads, which compete with the cells for the interpreter lock.
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

_seconds = {"main_thread": 0.0, "threads": 0.0}
_hook = threading.local()


def _timed(owner: type, name: str) -> None:
    plain: Callable[..., Any] = getattr(owner, name)

    def timed(*args: Any, **named: Any) -> Any:
        if getattr(_hook, "active", False) or threading.current_thread() is not threading.main_thread():
            return plain(*args, **named)
        _hook.active = True
        start = time.perf_counter()
        try:
            return plain(*args, **named)
        finally:
            _seconds["main_thread"] += time.perf_counter() - start
            _hook.active = False

    setattr(owner, name, timed)


def _run(self: threading.Thread) -> None:
    try:
        _plain_run(self)
    finally:
        if self.name.startswith("mlops"):
            _seconds["threads"] += time.thread_time()


def _write() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    for thread in threading.enumerate():
        if thread.name.startswith("mlops"):
            fields = Path(f"/proc/self/task/{thread.native_id}/stat").read_text().rpartition(")")[2].split()
            _seconds["threads"] += (int(fields[11]) + int(fields[12])) / ticks
    Path(os.environ["BENCH_HOOKS"]).write_text(json.dumps(_seconds))


_plain_run = threading.Thread.run
threading.Thread.run = _run  # type: ignore[method-assign]
_timed(ShellHooks, "_quietly")
_timed(DeferredWork, "flush")
atexit.register(_write)
