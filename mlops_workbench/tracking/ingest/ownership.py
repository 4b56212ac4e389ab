"""Ownership of a workspace's read index: a lock between processes, and the writer that only its holder uses."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from mlops_workbench.core.files import file_lock
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.index.writer import IndexWriter


class Ownership:
    """The lock of a workspace's ingest, and its index writer.

    Attributes
    ----------
    held : bool
        Whether this process has the lock.
    lock : RLock
        Held by the thread that uses the writer.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.held = False
        self.lock = threading.RLock()
        self._workspace = workspace
        self._waiting: set[int] = set()
        self._writer: IndexWriter | None = None
        self._stack = contextlib.ExitStack()

    def acquire(self) -> bool:
        """Take the lock unless another process has it; True when this process has it."""
        with self.lock:
            if not self.held:
                self.held = self._stack.enter_context(file_lock(self._workspace.run / "ingest.lock", wait=False))
                if not self.held:
                    self._stack.close()
            return self.held

    @contextlib.contextmanager
    def writer(self) -> Iterator[IndexWriter]:
        """The index writer, for one thread at a time; the caller must have acquired the lock."""
        with self.lock:
            if self._writer is None:
                self._writer = IndexWriter(self._workspace.index)
            yield self._writer

    @contextlib.contextmanager
    def writer_until(self, deadline: float) -> Iterator[IndexWriter | None]:
        """The index writer, or None: another process has it, or threads of this one until `deadline` (monotonic)."""
        me = threading.get_ident()
        self._waiting.add(me)
        try:
            entered = self.lock.acquire(timeout=max(deadline - time.monotonic(), 0.0))
        finally:
            self._waiting.discard(me)
        try:
            if entered and self.acquire():
                with self.writer() as writer:
                    yield writer
            else:
                yield None
        finally:
            if entered:
                self.lock.release()

    def give_way(self) -> None:
        """Let a thread have the lock that waits for it: one that takes it in a loop would keep it."""
        if self._waiting:
            time.sleep(0.001)

    def release(self) -> None:
        """Close the writer and free the lock."""
        with self.lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self.held = False
            self._stack.close()
