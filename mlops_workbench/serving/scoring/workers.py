"""Workers that answer parts, whose answers come back in the order of the parts."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context, util
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.ids import new_id
from mlops_workbench.serving.scoring.parts import Part
from mlops_workbench.serving.scoring.scorer import PartAnswers, Scorer

#: Parts that wait or run for each worker.
_AHEAD = 2
_LOOK_SECONDS = 0.5

#: Of a worker: what answers, and the folder for the answers.
_scorer: Scorer | None = None
_folder = Path()


class Workers:
    """Forked processes that share the memory of the model.

    Parameters
    ----------
    scorer : Scorer
        What answers.
    count : int
        Number of processes; with 1, this process answers.
    """

    def __init__(self, scorer: Scorer, count: int) -> None:
        self.count = count
        self._scorer = scorer
        self._context = get_context("fork")
        self._dropped = self._context.Value("q", 0)
        self._pool: ProcessPoolExecutor | None = None
        self._folder = Path()

    @property
    def dropped(self) -> int:
        """Rows that could not be logged; known after the end."""
        return int(self._dropped.value)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start the workers, and end them after the block."""
        if self.count == 1:
            try:
                yield
            finally:
                self._dropped.value += self._scorer.close()
            return
        # What the model has in memory stays shared.
        gc.collect()
        gc.freeze()
        with tempfile.TemporaryDirectory(prefix="mlops-scoring-") as folder:
            self._folder = Path(folder)
            arguments = (self._scorer, self._dropped, os.getpid(), self._folder)
            with ProcessPoolExecutor(self.count, self._context, initializer=_begin, initargs=arguments) as self._pool:
                try:
                    yield
                except BaseException:
                    self._pool.shutdown(wait=False, cancel_futures=True)
                    raise

    def answers(self, parts: Iterable[Part]) -> Iterator[tuple[Part, PartAnswers]]:
        """The answers to each part, in order.

        Raises
        ------
        Unavailable
            A worker has ended.
        """
        if self._pool is None:
            yield from ((part, self._scorer.score(part)) for part in parts)
            return
        waiting: deque[tuple[Part, Future[PartAnswers]]] = deque()
        try:
            for part in parts:
                waiting.append((part, self._pool.submit(_score, part)))
                if len(waiting) > _AHEAD * self.count:
                    yield self._first(waiting)
            while waiting:
                yield self._first(waiting)
        except BrokenProcessPool as error:
            raise Unavailable(
                "a process that answers rows has ended, for example because there is not enough memory",
                hint="use fewer processes: --workers 1",
            ) from error

    def _first(self, waiting: deque[tuple[Part, Future[PartAnswers]]]) -> tuple[Part, PartAnswers]:
        part, future = waiting.popleft()
        found = future.result()
        file = self._folder / f"{found.file}"
        table = file.read_bytes()
        file.unlink()
        return part, replace(found, table=table)


def _begin(scorer: Scorer, dropped: Any, parent: int, folder: Path) -> None:
    """Make this process a worker."""
    global _scorer, _folder
    _scorer, _folder = scorer, folder
    # The parent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()

    def close() -> None:
        with dropped.get_lock():
            dropped.value += scorer.close()

    util.Finalize(None, close, exitpriority=10)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    # The parent was killed, and nobody else knows of the answers on their way to it.
    shutil.rmtree(_folder, ignore_errors=True)
    os._exit(1)


def _score(part: Part) -> PartAnswers:
    assert _scorer is not None
    found = _scorer.score(part)
    # Not through the pipe of the pool: who waits for the rest of a message of a killed worker waits for ever.
    file = new_id()
    (_folder / file).write_bytes(found.table)
    return replace(found, table=b"", file=file)
