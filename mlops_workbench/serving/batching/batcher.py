"""Work-conserving batching: an idle model answers at once; a busy one then takes all that has arrived meanwhile.

No timer waits for more requests. Everything happens on the event loop, but for predictions that would delay other
requests: those run in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.serving.batching.merge import form_of, merged, taken_apart
from mlops_workbench.serving.errors import Overloaded, TimedOut
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.runtimes.estimator import Prediction, Runtime

log = logging.getLogger("mlops_workbench.serving")

#: A prediction that is expected to be shorter runs on the event loop; the hop to a thread would take as long.
_SHORT = 0.002


class Predicted(NamedTuple):
    """An answer, the seconds in the model, and the rows that were predicted together."""

    prediction: Prediction
    seconds: float
    rows: int


class _Member:
    __slots__ = ("batch", "deadline", "future")

    def __init__(self, batch: Batch, future: asyncio.Future[Predicted], deadline: float) -> None:
        self.batch = batch
        self.future = future
        self.deadline = deadline


class _Group:
    """Members that can be answered together."""

    def __init__(self, runtime: Runtime, outputs: tuple[str, ...]) -> None:
        self.runtime = runtime
        self.outputs = outputs
        self.members: deque[_Member] = deque()


class Batcher:
    """Answers requests of one process.

    Parameters
    ----------
    executor : Executor
        One thread, for long predictions.
    rows : int
        Most rows of one batch of several requests; a request with more is answered alone.
    waiting : int
        Most rows that may wait.
    seconds : float
        Longest time that a request may take.
    observed : callable, optional
        Called with the number of requests and of rows of each batch.
    """

    def __init__(
        self,
        executor: Executor,
        *,
        rows: int = 1024,
        waiting: int = 200_000,
        seconds: float = 60.0,
        observed: Callable[[int, int], None] = lambda requests, rows: None,
    ) -> None:
        self._executor = executor
        self._rows = rows
        self._most_waiting = waiting
        self._seconds = seconds
        self._observed = observed
        self._groups: dict[Hashable, _Group] = {}
        self._running: list[_Member] = []
        self._busy = False
        self._scheduled = False
        self._watch: asyncio.TimerHandle | None = None
        self.waiting_rows = 0

    async def predict(self, runtime: Runtime, batch: Batch, outputs: tuple[str, ...]) -> Predicted:
        """Answer the rows of a request.

        Raises
        ------
        Overloaded
            Too many rows wait.
        TimedOut
            It took too long.
        InvalidRequest, PredictionFailed
            See :meth:`Runtime.predict`; rows of other requests are not concerned.
        """
        if self.waiting_rows and self.waiting_rows + batch.rows > self._most_waiting:
            raise Overloaded(f"{self.waiting_rows} rows are waiting already", hint="try again in a moment")
        loop = asyncio.get_running_loop()
        member = _Member(batch, loop.create_future(), loop.time() + self._seconds)
        # One whose answers depend on the other rows, or on parameters of the request, must not get foreign ones.
        is_alone = not runtime.is_row_wise or (runtime.takes_params and bool(batch.params))
        form = id(member) if is_alone else form_of(batch)
        key = (id(runtime), outputs, form)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(runtime, outputs)
        group.members.append(member)
        self.waiting_rows += batch.rows
        if not self._scheduled:
            # Not at once: what the network has read together is answered together.
            self._scheduled = True
            loop.call_soon(self._flush)
        return await member.future

    def _flush(self) -> None:
        self._scheduled = False
        for key, group in list(self._groups.items()):
            while group.members:
                rows = self._next_rows(group)
                if group.runtime.times.expected(rows) <= _SHORT:
                    members = self._take(group)
                    self._deliver(group, members, _answers(group.runtime, group.outputs, members))
                elif not self._busy:
                    self._start(group, self._take(group))
                else:
                    break
            if not group.members:
                del self._groups[key]
        if (self._groups or self._running) and self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(min(1.0, self._seconds / 4), self._expire)

    def _next_rows(self, group: _Group) -> int:
        rows = 0
        for member in group.members:
            if rows and rows + member.batch.rows > self._rows:
                break
            rows += member.batch.rows
        return rows

    def _take(self, group: _Group) -> list[_Member]:
        members: list[_Member] = []
        rows = 0
        while group.members and (not members or rows + group.members[0].batch.rows <= self._rows):
            member = group.members.popleft()
            rows += member.batch.rows
            members.append(member)
        return members

    def _start(self, group: _Group, members: list[_Member]) -> None:
        """Predict in the thread."""
        loop = asyncio.get_running_loop()
        self._busy = True
        self._running += members

        def done(work: asyncio.Future[tuple[list[Prediction | Exception], float]]) -> None:
            self._busy = False
            self._running = []
            if work.cancelled() or work.exception() is not None:
                problem = work.exception() if not work.cancelled() else None
                failure: Exception = problem if isinstance(problem, Exception) else Overloaded("the endpoint ends")
                self._deliver(group, members, ([failure] * len(members), 0.0))
            else:
                self._deliver(group, members, work.result())
            if self._groups and not self._scheduled:
                self._scheduled = True
                loop.call_soon(self._flush)

        try:
            work = loop.run_in_executor(self._executor, _answers, group.runtime, group.outputs, members)
        except RuntimeError:
            # The executor has ended.
            self._busy, self._running = False, []
            self._deliver(group, members, ([Overloaded("the endpoint ends")] * len(members), 0.0))
            return
        work.add_done_callback(done)

    def _deliver(
        self, group: _Group, members: Sequence[_Member], answers: tuple[list[Prediction | Exception], float]
    ) -> None:
        found, seconds = answers
        rows = sum(member.batch.rows for member in members)
        self.waiting_rows -= rows
        if seconds:
            group.runtime.times.observe(rows, seconds)
            self._observed(len(members), rows)
        for member, answer in zip(members, found, strict=True):
            if member.future.done():
                continue  # it took too long, or its client has gone
            if isinstance(answer, Exception):
                member.future.set_exception(answer)
            else:
                member.future.set_result(Predicted(answer, seconds, rows))

    def _expire(self) -> None:
        """Answer requests that have waited too long; those in the thread are not computed for anybody then."""
        self._watch = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for group in self._groups.values():
            late = [member for member in group.members if member.deadline <= now or member.future.done()]
            for member in late:
                group.members.remove(member)
                self.waiting_rows -= member.batch.rows
                self._end(member)
        for member in self._running:
            if member.deadline <= now:
                self._end(member)
        if self._groups or self._running:
            self._watch = loop.call_later(min(1.0, self._seconds / 4), self._expire)

    def _end(self, member: _Member) -> None:
        if not member.future.done():
            member.future.set_exception(
                TimedOut(f"the answer took longer than {self._seconds:g} s (serving.timeout_seconds)")
            )


def _answers(
    runtime: Runtime, outputs: tuple[str, ...], members: Sequence[_Member]
) -> tuple[list[Prediction | Exception], float]:
    """Answers of each member, and the seconds that they took."""
    begun = time.perf_counter()
    batches = [member.batch for member in members]
    if len(batches) > 1:
        try:
            whole = runtime.predict(merged(batches), outputs)
            found: list[Prediction | Exception] = [*taken_apart(whole, [batch.rows for batch in batches])]
            return found, time.perf_counter() - begun
        except (WorkbenchError, ValueError, TypeError):
            # A wrong row must fail alone; rows that cannot be merged are asked one by one.
            begun = time.perf_counter()
    found = []
    for batch in batches:
        try:
            found.append(runtime.predict(batch, outputs))
        except WorkbenchError as error:
            found.append(error)
        except Exception as error:  # a defect must not leave the other requests without an answer
            log.exception("a prediction failed")
            found.append(error)
    return found, time.perf_counter() - begun
