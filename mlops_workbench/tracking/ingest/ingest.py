"""Ingest: from the journals to the read index and to MLflow, which have a cursor each.

The process that holds the lock does the work; others can read the status and wait for a delivery.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlops_workbench.core.errors import Unavailable, WorkbenchError
from mlops_workbench.core.events import IngestStatus
from mlops_workbench.core.files import disk_error
from mlops_workbench.core.runs import MetricPoint, Run, RunDetail
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.delivery.batches import BatchDelivery
from mlops_workbench.tracking.delivery.log import DamagedLog, DeliveryLog, delivery_log_path
from mlops_workbench.tracking.index.edits import Settled
from mlops_workbench.tracking.index.read import ReadIndex
from mlops_workbench.tracking.ingest.backlog import backlog, in_sync, progress, undelivered
from mlops_workbench.tracking.ingest.feed import IndexFeed
from mlops_workbench.tracking.ingest.follow import StoreFollower
from mlops_workbench.tracking.ingest.loop import PAUSE, RetryPause, repeat
from mlops_workbench.tracking.ingest.ownership import Ownership
from mlops_workbench.tracking.ingest.pages import run_detail, run_history
from mlops_workbench.tracking.ingest.store_identity import StoreIdentity
from mlops_workbench.tracking.journals.files import Cursor, journal_files
from mlops_workbench.tracking.journals.retention import expire_journals
from mlops_workbench.tracking.journals.watch import JournalFolder, JournalWatch, has_more
from mlops_workbench.tracking.mlflow.store import TrackingStore

_log = logging.getLogger(__name__)

#: Seconds that a reader waits until the index has what was written before.
_FRESH_SECONDS = 0.2
#: Seconds between two checks for journals that have been kept long enough.
_EXPIRE_SECONDS = 600.0
#: Seconds that an active delivery gets at the end; the next process delivers the rest.
_STOP_SECONDS = 3.0


@dataclass(frozen=True)
class DeliveryProblems:
    """Why nothing is delivered, and why some files are not; empty texts while everything is."""

    runs: str
    files: str

    @classmethod
    def read(cls, log: DeliveryLog) -> DeliveryProblems:
        """Problems that the process with the lock has written to the delivery log."""
        return cls(log.state("problem"), log.state("files_problem"))

    def write(self, log: DeliveryLog) -> None:
        """Write them to the delivery log, where other processes read them."""
        log.set_state("problem", self.runs)
        log.set_state("files_problem", self.files)


class Ingest:
    """Feeds the read index and MLflow of one workspace.

    Parameters
    ----------
    workspace : Workspace
        Its journals are read.
    store : TrackingStore, optional
        Where runs are delivered to; by default the workspace's.
    """

    def __init__(self, workspace: Workspace, store: TrackingStore | None = None) -> None:
        workspace.prepare()
        self.workspace = workspace
        self.store = store or TrackingStore(workspace)
        self.index = ReadIndex(workspace.index)
        local = self.store.connection.local
        self.log = DeliveryLog(delivery_log_path(workspace.journal, self.store.uri, local=local))
        self._ownership = Ownership(workspace)
        self._folder = JournalFolder(workspace.journal)
        self._feed = IndexFeed(workspace, self._folder)
        self._delivery = BatchDelivery(workspace, self.store, self.log)
        self._delivery_watch = JournalWatch(self._folder)
        self._delivery_lock = threading.RLock()
        self._retry = RetryPause()
        self._problem = ""
        self._published: DeliveryProblems | None = None
        self.identity = StoreIdentity(self.store, self.log)
        self._expire_at = 0.0
        self.follower = StoreFollower(
            self.store, self._ownership.writer, self._acknowledged, self._resume_restored, self._settled
        )

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the lock and close all files."""
        with self._delivery_lock, self._ownership.lock:
            self.index.close()
            self.log.close()
            self._ownership.release()

    def step(self) -> bool:
        """Read and deliver what is new; True when there was anything.

        While MLflow does not answer, the index is still fed, delivery is tried again after a growing pause, and
        :meth:`status` returns the problem.
        """
        if not self._ownership.acquire():
            return False
        moved = self._index_step(whole=True)
        self._delivery_watch.invalidate()
        return self._delivery_step() or moved

    def open_index(self) -> None:
        """Make the index readable: replace a broken one, or one of another version."""
        with self._ownership.lock:
            if self._ownership.acquire():
                with self._ownership.writer():
                    pass

    def catch_up(self, seconds: float = _FRESH_SECONDS) -> bool:
        """Read new journal records into the index, so that readers see what they have just written.

        Parameters
        ----------
        seconds : float
            The longest time to read, or to wait for the thread or process that reads.

        Returns
        -------
        bool
            Whether the index has all records that were written before the call.
        """
        deadline = time.monotonic() + seconds
        while True:
            with self._ownership.writer_until(deadline) as writer:
                if writer is not None:
                    self._feed.step(writer, until=deadline)
                    return self._feed.current
            if self.is_current():
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)

    def is_current(self) -> bool:
        """Whether the index has all records that the journals have."""
        return not has_more(self._folder.files(), self.index.cursors())

    def follow(self) -> bool:
        """Read once what others wrote to MLflow; True when there is more to read.

        Raises
        ------
        Unavailable
            MLflow does not answer.
        """
        self._check_store()
        return self.follower.update()

    def restore(self, seconds: float = math.inf) -> bool:
        """Read all runs of MLflow into a new index, for at most `seconds`; True when it has them.

        Raises
        ------
        Unavailable
            MLflow does not answer.
        """
        deadline = time.monotonic() + seconds
        while self._ownership.acquire():
            with self._ownership.writer() as writer:
                if writer.restored():
                    return True
            if time.monotonic() >= deadline:
                return False
            self.follow()
        return False

    def history(self, uid: str, name: str, max_points: int | None = None) -> list[MetricPoint]:
        """Points of a metric of any run: see :meth:`ReadIndex.history`."""
        return run_history(self.index, self.store, uid, name, max_points)

    def detail(self, uid: str) -> RunDetail:
        """Everything about a run; histories that MLflow cannot return now are left out."""
        return run_detail(self.index, self.store, uid)

    def run_forever(
        self, stop: threading.Event, begin: Callable[[threading.Event], object] = lambda _stop: None
    ) -> None:
        """Work until `stop` is set; waits while another process holds the lock.

        MLflow, whose import takes seconds of processor time, is used once `begin`, which gets `stop`, has returned.
        """
        tracking = self.workspace.settings.tracking
        deliverer = self._thread("mlops-delivery", self._delivery_step, stop, tracking.poll_seconds, begin)
        if tracking.follow_seconds:
            self._thread("mlops-follow", self._follow_step, stop, tracking.follow_seconds, begin)
        repeat(self._index_step, stop, tracking.poll_seconds, self._set_problem)
        deliverer.join(_STOP_SECONDS)

    def drain(self, run_uid: str | None = None, timeout: float = 30.0, patience: float | None = None) -> None:
        """Wait until everything journalled so far (of one run) is in MLflow.

        Parameters
        ----------
        run_uid : str, optional
            Wait for this run only.
        timeout : float
            Seconds to wait in all.
        patience : float, optional
            Seconds to wait while the store does not answer at all, by default `timeout`.

        Raises
        ------
        Unavailable
            It took longer; the message gives the reason.
        """
        deadline = time.monotonic() + timeout
        answered = time.monotonic()
        targets = undelivered(journal_files(self.workspace.journal), self.log.cursors(), run_uid)
        while True:
            owner = self._ownership.acquire()
            moved = owner and (self._index_step(whole=True) | self._delivery_step(at_once=True))
            cursors = self.log.cursors()
            behind = any(cursors.get(name, Cursor()).offset < end for name, end in targets.items())
            behind = behind or bool(run_uid and self.log.has_deferred(run_uid))
            if not behind and not self.log.holds_files(run_uid):
                self._note_delivered()
                return
            problems = self._problems()
            problem = problems.runs or ("" if behind else problems.files)
            answered = answered if problem else time.monotonic()
            if time.monotonic() >= min(deadline, answered + (timeout if patience is None else patience)):
                raise Unavailable(
                    problem or f"not everything was delivered to MLflow within {timeout:g} s",
                    where=self.store.shown_uri,
                    hint="nothing is lost; try again when 'mlops status' shows no backlog",
                )
            if not moved:
                time.sleep(PAUSE if problem else 0.05)

    def status(self) -> IngestStatus:
        """How far delivery is, and why it has stopped."""
        delivered, refused = progress(self.log.path)
        waiting = backlog(files := journal_files(self.workspace.journal), self.index.cursors(), delivered)
        problems = self._problems()
        return IngestStatus(
            tracking=self.store.shown_uri,
            files=len(files),
            backlog_bytes=waiting.size,
            lag_seconds=waiting.seconds,
            problem=problems.runs or problems.files,
            backlog_records=waiting.records,
            refused=refused,
            catching_up=not self.is_current(),
        )

    def refused(self) -> list[tuple[str, str, str]]:
        """Parts that MLflow refused permanently, as ``(run uid, part, reason)``; the journal still has them."""
        return self.log.problems()

    # Threads ----------------------------------------------------------------------------------------------------

    def _thread(
        self,
        name: str,
        step: Callable[[], bool],
        stop: threading.Event,
        seconds: float,
        begin: Callable[[threading.Event], object],
    ) -> threading.Thread:
        def run() -> None:
            begin(stop)
            repeat(step, stop, seconds, self._set_problem)

        # A daemon: a tracking server that hangs must not keep the process from ending.
        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def _set_problem(self, error: Exception) -> None:
        disk = None if isinstance(error, WorkbenchError) else disk_error(error, self.workspace.state)
        said = f"{disk.where}: {disk.message}; {disk.hint}" if disk is not None else str(error)
        self._problem = said or type(error).__name__

    # Steps ------------------------------------------------------------------------------------------------------

    def _index_step(self, *, whole: bool = False) -> bool:
        if not self._ownership.acquire():
            return False
        with self._ownership.writer() as writer:
            moved = self._feed.step(writer, whole=whole)
        self._ownership.give_way()
        return moved

    def _delivery_step(self, *, at_once: bool = False) -> bool:
        if not self._ownership.acquire() or (not at_once and self._retry.active()):
            return False
        with self._delivery_lock:
            try:
                moved = self._deliver()
            except Exception as error:  # noqa: BLE001 - reported by `status` and `drain`
                if isinstance(error, DamagedLog):
                    self._begin_log_again()
                elif not isinstance(error, WorkbenchError):
                    _log.exception("delivery failed and will be tried again")
                self._set_problem(error)
                self._retry.extend()
                moved = False
            else:
                self._problem = ""
                self._retry.clear()
        self._publish_problems()
        self._note_delivered()
        return moved

    def _follow_step(self) -> bool:
        if not self._ownership.acquire() or self._problem:
            return False
        try:
            return self.follow()
        except WorkbenchError as error:
            # Delivery meets the same problem and reports it.
            _log.info("runs of others cannot be read now: %s", error)
            return False

    def _deliver(self) -> bool:
        if self._delivery_watch.unchanged() or not (self._folder.files() or self.log.runs_with_held_files()):
            return False
        self._check_store()
        moved = self._delivery.step(self._read_cursors())
        if moved:
            self._delivery_watch.invalidate()
        else:
            self._delivery.revive(self._running())
            self.restore()
            self._expire()
            self._delivery_watch.mark_read(self.log.cursors())
        return moved

    def _running(self) -> list[str]:
        """Runs that have not ended by the index, once it has read all that was delivered, their ends included."""
        read, delivered = self._read_cursors(), self.log.cursors()
        names = [file.name for file in self._folder.files()]
        if any(read.get(name, Cursor()).offset < delivered.get(name, Cursor()).offset for name in names):
            return []
        with self._ownership.writer() as writer:
            return writer.running()

    def _expire(self) -> None:
        if time.monotonic() >= self._expire_at:
            self._expire_at = time.monotonic() + _EXPIRE_SECONDS
            keep_days = self.workspace.settings.journal.keep_days
            read, delivered = self._read_cursors(), self.log.cursors()
            expire_journals(self._folder.files(), read, delivered, keep_days, self.workspace.references)

    def _read_cursors(self) -> dict[str, Cursor]:
        with self._ownership.writer() as writer:
            return writer.cursors()

    # Problems ---------------------------------------------------------------------------------------------------

    def _problems(self) -> DeliveryProblems:
        if not self._ownership.held:
            return DeliveryProblems.read(self.log)
        return DeliveryProblems(self._problem, self._delivery.files_problem)

    def _publish_problems(self) -> None:
        problems = DeliveryProblems(self._problem, self._delivery.files_problem)
        if problems != self._published:
            problems.write(self.log)
            self._published = problems

    # Index and store --------------------------------------------------------------------------------------------

    def _begin_log_again(self) -> None:
        self.log.begin_again()
        self.identity.value, self._published = "", None
        self._delivery_watch.invalidate()

    def _check_store(self) -> None:
        if not self.identity.value:
            with self._delivery_lock:
                self.identity.find()
                self._note_store()

    def _note_store(self) -> None:
        if self._ownership.held and self.identity.value:
            with self._ownership.writer() as writer:
                writer.note_store(self.identity.value)

    def _note_delivered(self) -> None:
        if not self._ownership.held:
            return
        # The index may be a new one, made after the old one was deleted.
        self._note_store()
        with self._ownership.writer() as writer:
            writer.note_delivered(self.log.run_id, self.log.model_id)

    def _resume_restored(self, runs: Sequence[Run]) -> None:
        """Deliver again to runs that MLflow has, after it had deleted them."""
        abandoned = self.log.abandoned()
        for run in runs if abandoned else ():
            if abandoned.get(run.uid) == run.run_id:
                self.log.resume(uid=run.uid)

    def _acknowledged(self, uid: str, run_id: str) -> bool:
        return self.log.run_id(uid) == run_id

    def _settled(self) -> Settled:
        delivered = self.log.cursors()
        return lambda uid, run_id, sessions: (
            self._acknowledged(uid, run_id)
            and not self.log.has_deferred(uid)
            and in_sync(self._folder.files(), self._read_cursors(), delivered, sessions)
        )
