"""The workers of an endpoint, seen from the process that forks them."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.serving.workers.channel import Channel
from mlops_workbench.serving.workers.shared import SharedCounts

log = logging.getLogger("mlops_workbench.serving")

#: Seconds until a worker must have started, and until the old ones must have handed over what is idle.
_START_SECONDS, _SWITCH_SECONDS = 60.0, 5.0
#: Seconds until workers that have ended their service, or were asked to end, are killed.
_RETIRE_SECONDS, _STOP_SECONDS = 45.0, 15.0
#: A worker that ends sooner after its start is started again after a pause.
_SOON, _PAUSE = 2.0, 1.0


class WorkerFailed(WorkbenchError):
    """New workers did not start; the old ones go on."""

    code = "worker_failed"


@dataclass
class _Member:
    pid: int
    channel: Channel
    slot: int
    begun: float = field(default_factory=time.monotonic)
    is_ready: bool = False
    is_drained: bool = False
    retired: float = 0.0


class Fleet:
    """Forks workers, replaces them without losing a connection, and starts those again that have ended.

    A process that forks must not have threads; so this one does everything in turn.

    Parameters
    ----------
    run : callable
        What a worker does, given its channel and slot; the process ends when it returns.
    counts : SharedCounts
        Counts of the workers.
    """

    def __init__(self, run: Callable[[Channel, int], None], counts: SharedCounts) -> None:
        self._run = run
        self._counts = counts
        self._selector = selectors.DefaultSelector()
        self._serving: list[_Member] = []
        self._retiring: list[_Member] = []
        self._starting: list[_Member] = []
        #: Connections on their way, while nobody takes any.
        self._held: list[int] = []
        self._turn = 0
        self._size = 0
        self._not_before = 0.0
        #: Why a worker has ended last.
        self.problem = ""

    @property
    def pids(self) -> list[int]:
        """Processes that answer requests."""
        return [member.pid for member in self._serving]

    def replace(self, size: int) -> None:
        """Fork workers with what this process holds now, and let them take over at one moment.

        Raises
        ------
        WorkerFailed
            A new worker ended or took too long; the old ones go on.
        """
        self._starting = []
        try:
            self._starting = [self._fork() for _ in range(size)]
            self._await(lambda: all(one.is_ready for one in self._starting), _START_SECONDS)
        except WorkerFailed:
            for member in self._starting:
                self._kill(member)
            self._starting = []
            raise
        old, self._serving = self._serving, []
        for member in old:
            member.channel.send("drain")
        with contextlib.suppress(WorkerFailed):
            # From here, connections are held, so that no request is answered by the old version after one by the new.
            self._retiring += old
            self._await(lambda: all(one.is_drained for one in old if one in self._retiring), _SWITCH_SECONDS)
        now = time.monotonic()
        for member in old:
            member.retired = now
        self._serving, self._starting, self._size = self._starting, [], size
        for member in self._serving:
            member.channel.send("accept")
        for descriptor in self._held:
            self._give(descriptor)
        self._held = []

    def step(self, seconds: float) -> None:
        """Wait for messages and signals for at most `seconds`, and handle what has happened to workers."""
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, _Member):
                self._read(key.data)
            else:
                key.data()
        self._reap()
        now = time.monotonic()
        for member in self._retiring:
            if member.retired and now - member.retired > _RETIRE_SECONDS:
                self._signal(member, signal.SIGKILL)
        if len(self._serving) < self._size and now >= self._not_before and not self._starting:
            member = self._fork()
            self._serving.append(member)

    def settle(self, seconds: float) -> None:
        """Wait at most `seconds` until the workers before the last switch have handed over their connections.

        Before this process does something long: connections pass through it.
        """
        deadline = time.monotonic() + seconds
        while self._retiring and time.monotonic() < deadline:
            self.step(0.02)

    def watch(self, descriptor: int, call: Callable[[], None]) -> None:
        """Call `call` in :meth:`step` when a descriptor can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ, call)

    def stop(self) -> None:
        """End all workers: they answer what is under way and write their logs."""
        self._size = 0
        members = [*self._serving, *self._retiring, *self._starting]
        for member in members:
            self._signal(member, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._any() and time.monotonic() < deadline:
            self.step(0.05)
        for member in [*self._serving, *self._retiring, *self._starting]:
            self._kill(member)
        for descriptor in self._held:
            os.close(descriptor)
        self._held = []

    def _any(self) -> bool:
        return bool(self._serving or self._retiring or self._starting)

    def _fork(self) -> _Member:
        while self._counts.is_full and self._retiring:
            # Versions follow each other faster than clients take their last answers.
            self._kill(self._retiring[0])
        ours, theirs = Channel.pair()
        slot = self._counts.take()
        # Objects that are not touched by the collector stay in memory that the processes share.
        gc.collect()
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            self._be_worker(theirs, slot)
        theirs.close()
        member = _Member(pid, ours, slot)
        self._selector.register(ours, selectors.EVENT_READ, member)
        return member

    def _be_worker(self, channel: Channel, slot: int) -> None:
        """Run a worker, and end the process."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for member in (*self._serving, *self._retiring, *self._starting):
                member.channel.close()
            for descriptor in self._held:
                os.close(descriptor)
            self._selector.close()
            self._run(channel, slot)
            status = 0
        except BaseException:
            log.exception("a worker ends")
        finally:
            logging.shutdown()
            # Nothing of the parent's must be ended a second time.
            os._exit(status)

    def _await(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        expected = len(self._starting)
        while not done():
            self.step(0.05)
            if len(self._starting) < expected:
                raise WorkerFailed(f"a new worker has ended: {self.problem}", hint="see the log of the endpoint")
            if time.monotonic() > deadline:
                raise WorkerFailed(f"the workers did not start within {seconds:.0f} s", hint="the machine is busy")

    def _read(self, member: _Member) -> None:
        for kind, descriptor in member.channel.receive():
            if kind == "ready":
                member.is_ready = True
                if member in self._serving:
                    # One that was started again.
                    member.channel.send("accept")
            elif kind == "drained":
                member.is_drained = True
            elif kind == "connection" and descriptor >= 0:
                if self._serving:
                    self._give(descriptor)
                else:
                    self._held.append(descriptor)

    def _give(self, descriptor: int) -> None:
        """Give a connection to the next worker."""
        for _ in self._serving:
            self._turn += 1
            member = self._serving[self._turn % len(self._serving)]
            if member.channel.send("connection", descriptor):
                break
        os.close(descriptor)

    def _reap(self) -> None:
        for members in (self._serving, self._retiring, self._starting):
            for member in list(members):
                try:
                    pid, status = os.waitpid(member.pid, os.WNOHANG)
                except ChildProcessError:
                    pid, status = member.pid, 0
                if pid:
                    self._ended(members, member, status)

    def _ended(self, members: list[_Member], member: _Member, status: int) -> None:
        # What it has handed over before it ended.
        self._read(member)
        self._selector.unregister(member.channel)
        member.channel.close()
        members.remove(member)
        self._counts.give_back(member.slot)
        code = os.waitstatus_to_exitcode(status)
        if members is self._retiring or (not self._size and code == 0):
            return
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
        self.problem = f"a worker has ended with {how}"
        log.error("worker %d has ended with %s", member.pid, how)
        if time.monotonic() - member.begun < _SOON:
            self._not_before = time.monotonic() + _PAUSE

    def _kill(self, member: _Member) -> None:
        self._signal(member, signal.SIGKILL)
        for members in (self._serving, self._retiring, self._starting):
            if member in members:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(member.pid, 0)
                self._selector.unregister(member.channel)
                member.channel.close()
                members.remove(member)
                self._counts.give_back(member.slot)

    @staticmethod
    def _signal(member: _Member, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, number)
