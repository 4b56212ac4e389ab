"""Ingest: from the journals to the read index and to MLflow.

Both have their own cursors, so lists stay live while MLflow is down. One process per workspace does the
work, whoever holds the lock; any other may look at the status and wait for a delivery.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from mlops_workbench.core.errors import Unavailable, WorkbenchError
from mlops_workbench.core.events import IngestStatus
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.runs import MetricPoint, Run, RunDetail
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.delivery.batches import BatchDelivery
from mlops_workbench.tracking.delivery.log import DeliveryLog, delivery_log_path
from mlops_workbench.tracking.index.edits import Settled
from mlops_workbench.tracking.index.history import thinned
from mlops_workbench.tracking.index.read import PAGE_POINTS, ReadIndex
from mlops_workbench.tracking.index.writer import IndexWriter
from mlops_workbench.tracking.ingest.backlog import backlog, level, undelivered
from mlops_workbench.tracking.ingest.feed import IndexFeed
from mlops_workbench.tracking.ingest.follow import StoreFollower
from mlops_workbench.tracking.journals.files import Cursor, journal_files
from mlops_workbench.tracking.journals.retention import expire_journals
from mlops_workbench.tracking.journals.watch import JournalFolder, JournalWatch
from mlops_workbench.tracking.mlflow.runs import source_of
from mlops_workbench.tracking.mlflow.store import TrackingStore

_log = logging.getLogger(__name__)

#: Pause after a failed delivery: doubled each time up to the second number, in seconds.
_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
#: Histories that are fetched for the page of a run that others wrote.
_FETCHED_METRICS = 20
#: Seconds between two looks for journals that have been kept long enough.
_EXPIRE_SECONDS = 600.0
#: What a delivery that is under way gets at the end; the rest is delivered again by the next process.
_STOP_SECONDS = 3.0
#: Where the delivery log has why nothing is delivered, and why some files are not.
_PROBLEM, _FILES_PROBLEM = "problem", "files_problem"


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
        connection = self.store.connection
        self.log = DeliveryLog(delivery_log_path(workspace.journal, self.store.uri, local=connection.local))
        self._folder = JournalFolder(workspace.journal)
        self._feed = IndexFeed(workspace, self._folder)
        self._delivery = BatchDelivery(workspace, self.store, self.log)
        self._delivery_watch = JournalWatch(self._folder)
        self._writer: IndexWriter | None = None
        self._follower: StoreFollower | None = None
        self._follow_lock = threading.RLock()
        self._index_lock = threading.RLock()
        self._delivery_lock = threading.RLock()
        self._held = contextlib.ExitStack()
        self._owner = False
        self._store_identity = ""
        self._problem = ""
        self._retry_at = 0.0
        self._expire_at = 0.0
        self._pause = _PAUSE
        self._published: dict[str, str] = {}

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the lock and close all files."""
        with self._delivery_lock, self._index_lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self.index.close()
            self.log.close()
            self._owner = False
            self._held.close()

    def step(self) -> bool:
        """Read and deliver what is new; True when there was anything.

        While MLflow does not answer, the index is fed all the same, delivery is tried again after a
        growing pause, and :meth:`status` says why it stands still.
        """
        if not self._own():
            return False
        moved = self._index_step(whole=True)
        self._delivery_watch.disturb()
        return self._delivery_step() or moved

    def open_index(self) -> None:
        """See to it that the index can be read: a broken one, or one of another version, is replaced."""
        with self._index_lock:
            if self._own():
                self._index_writer()

    def catch_up(self) -> None:
        """Read into the index what was journalled until now, so that a reader sees what it just wrote."""
        self._index_step()

    @property
    def follower(self) -> StoreFollower:
        """What reads the runs of others."""
        with self._follow_lock:
            if self._follower is None:
                source = source_of(self.store)
                self._follower = StoreFollower(source, self._writing, self._acknowledged, self._seen, self._delivered)
            return self._follower

    def follow(self) -> bool:
        """Look once at what others wrote to MLflow; True when more is to be had at once.

        Raises
        ------
        Unavailable
            MLflow does not answer.
        """
        self._check_store()
        with self._follow_lock:
            return self.follower.look()

    def history(self, uid: str, name: str, max_points: int | None = None) -> list[MetricPoint]:
        """Points of a metric of a run, whoever wrote it: see :meth:`ReadIndex.history`."""
        run = self.index.find(uid)
        points = self.index.history(run.uid, name, max_points)
        if not points:
            points = thinned(self.store.metric_history(run.run_id, name), max_points)
        return points

    def detail(self, uid: str) -> RunDetail:
        """Everything about a run, whoever wrote it; histories that cannot be read now are left out."""
        detail = self.index.detail(uid)
        history, points = dict(detail.history), dict(detail.points)
        with contextlib.suppress(Unavailable):
            for name in [name for name in detail.run.metrics if name not in points][:_FETCHED_METRICS]:
                whole = self.store.metric_history(detail.run.run_id, name)
                history[name], points[name] = thinned(whole, PAGE_POINTS), len(whole)
        return replace(detail, history=history, points=points)

    def run_forever(self, stop: threading.Event) -> None:
        """Work until `stop` is set; waits while another process holds the lock."""
        # A daemon: a tracking server that hangs must not keep the process from ending.
        deliverer = threading.Thread(
            target=self._loop, args=(stop, self._delivery_step), name="mlops-delivery", daemon=True
        )
        deliverer.start()
        if seconds := self.workspace.settings.tracking.follow_seconds:
            threading.Thread(
                target=self._loop, args=(stop, self._follow_step, seconds), name="mlops-follow", daemon=True
            ).start()
        self._loop(stop, self._index_step)
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
            It took longer; the message says why.
        """
        deadline = time.monotonic() + timeout
        answered = time.monotonic()
        targets = undelivered(journal_files(self.workspace.journal), self.log.cursors(), run_uid)
        while True:
            moved = self._own() and (self._index_step(whole=True) | self._delivery_step(at_once=True))
            cursors = self.log.cursors()
            behind = any(cursors.get(name, Cursor()).offset < end for name, end in targets.items())
            behind = behind or bool(run_uid and self.log.waits(run_uid))
            if not behind and not self.log.holds_files(run_uid):
                self._note_delivered()
                return
            problem = self._told(_PROBLEM) or ("" if behind else self._told(_FILES_PROBLEM))
            answered = answered if problem else time.monotonic()
            if time.monotonic() >= min(deadline, answered + (timeout if patience is None else patience)):
                raise Unavailable(
                    problem or f"not everything was delivered to MLflow within {timeout:g} s",
                    where=self.store.shown_uri,
                    hint="nothing is lost; try again when 'mlops status' shows no backlog",
                )
            if not moved:
                time.sleep(_PAUSE if problem else 0.05)

    def status(self) -> IngestStatus:
        """How far delivery is, and why it stands still."""
        files = journal_files(self.workspace.journal)
        waiting = backlog(files, self.index.cursors(), self.log.cursors())
        return IngestStatus(
            tracking=self.store.shown_uri,
            files=len(files),
            backlog_bytes=waiting.size,
            lag_seconds=waiting.seconds,
            problem=self._told(_PROBLEM) or self._told(_FILES_PROBLEM),
            backlog_records=waiting.records,
            refused=len(self.log.problems()),
        )

    def refused(self) -> list[tuple[str, str, str]]:
        """What MLflow refused for good, as ``(run uid, what, why)``; the journal still has it."""
        return self.log.problems()

    # The two steps ----------------------------------------------------------------------------------------------

    def _index_step(self, *, whole: bool = False) -> bool:
        if not self._own():
            return False
        with self._index_lock:
            return self._feed.step(self._index_writer(), whole=whole)

    def _delivery_step(self, *, at_once: bool = False) -> bool:
        if not self._own() or (not at_once and time.monotonic() < self._retry_at):
            return False
        with self._delivery_lock:
            try:
                moved = self._deliver()
            except Exception as error:  # noqa: BLE001 - who waits for it is told by `drain`, in words
                if not isinstance(error, WorkbenchError):
                    _log.exception("delivery failed and is tried again")
                self._problem = str(error) or type(error).__name__
                self._retry_at = time.monotonic() + self._pause
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
                moved = False
            else:
                self._problem, self._pause, self._retry_at = "", _PAUSE, 0.0
        self._tell()
        self._note_delivered()
        return moved

    def _tell(self) -> None:
        """Tell other processes why delivery stands still: they wait for this one."""
        now = {_PROBLEM: self._problem, _FILES_PROBLEM: self._delivery.files_problem}
        for name, text in now.items():
            if self._published.get(name) != text:
                self.log.set_state(name, text)
        self._published = now

    def _told(self, name: str) -> str:
        if not self._owner:
            return self.log.state(name)
        return self._problem if name == _PROBLEM else self._delivery.files_problem

    def _deliver(self) -> bool:
        if self._delivery_watch.quiet() or not (self._folder.files() or self.log.runs_with_held_files()):
            return False
        self._check_store()
        moved = self._delivery.step(self._read_cursors())
        if moved:
            self._delivery_watch.disturb()
        else:
            self._delivery.revive(self._under_way())
            self._restore()
            self._expire()
            self._delivery_watch.settle(self.log.cursors())
        return moved

    def _expire(self) -> None:
        if time.monotonic() >= self._expire_at:
            self._expire_at = time.monotonic() + _EXPIRE_SECONDS
            keep_days = self.workspace.settings.journal.keep_days
            expire_journals(self._folder.files(), self._read_cursors(), self.log.cursors(), keep_days)

    def _check_store(self) -> None:
        if self._store_identity:
            return
        with self._delivery_lock:
            found, known = self.store.store_id(), self.log.state("store_id")
            if found and known and found != known:
                # The workspace's database was deleted: what it acknowledged is gone with it.
                self.log.reset()
            if found:
                self.log.set_state("store_id", found)
            # The log's name stands for the URI, which may hold a password.
            self._store_identity = f"{self.log.path.stem} {found}"
            self._note_store()

    def _note_store(self) -> None:
        if self._owner and self._store_identity:
            with self._index_lock:
                self._index_writer().note_store(self._store_identity)

    def _seen(self, runs: Sequence[Run]) -> None:
        """Runs that MLflow has: those that it had deleted are delivered to again."""
        abandoned = self.log.abandoned()
        for run in runs if abandoned else ():
            if abandoned.get(run.uid) == run.run_id:
                self.log.take_up(uid=run.uid)

    def _acknowledged(self, uid: str, run_id: str) -> bool:
        return self.log.run_id(uid) == run_id

    def _delivered(self) -> Settled:
        delivered = self.log.cursors()
        return lambda uid, run_id, sessions: (
            self._acknowledged(uid, run_id)
            and not self.log.waits(uid)
            and level(self._folder.files(), self._read_cursors(), delivered, sessions)
        )

    def _restore(self) -> None:
        with self._index_lock:
            if self._index_writer().restored():
                return
        while self.follow():
            pass

    def _follow_step(self) -> bool:
        if not self._own() or self._problem:
            return False
        try:
            return self.follow()
        except WorkbenchError as error:
            # Delivery meets the same problem and reports it.
            _log.info("runs of others cannot be read now: %s", error)
            return False

    @contextlib.contextmanager
    def _writing(self) -> Iterator[IndexWriter]:
        with self._index_lock:
            yield self._index_writer()

    def _note_delivered(self) -> None:
        if not self._owner:
            return
        # The index may be another one than before: a new one, after it was deleted.
        self._note_store()
        with self._index_lock:
            self._index_writer().note_delivered(self.log.run_id, self.log.model_id)

    def _under_way(self) -> list[str]:
        """Runs that the index has as under way, once it has read all that was delivered, their ends included."""
        read, delivered = self._read_cursors(), self.log.cursors()
        names = [file.name for file in self._folder.files()]
        if any(read.get(name, Cursor()).offset < delivered.get(name, Cursor()).offset for name in names):
            return []
        with self._index_lock:
            return self._index_writer().under_way()

    def _read_cursors(self) -> dict[str, Cursor]:
        with self._index_lock:
            return self._index_writer().cursors()

    def _index_writer(self) -> IndexWriter:
        if self._writer is None:
            self._writer = IndexWriter(self.workspace.index)
        return self._writer

    def _own(self) -> bool:
        with self._index_lock:
            if not self._owner:
                lock = file_lock(self.workspace.run / "ingest.lock", wait=False)
                self._owner = self._held.enter_context(lock)
                if not self._owner:
                    self._held.close()
            return self._owner

    def _loop(self, stop: threading.Event, work: Callable[[], bool], seconds: float = 0.0) -> None:
        poll = seconds or self.workspace.settings.tracking.poll_seconds
        while not stop.is_set():
            try:
                moved = work()
            except Exception as error:  # noqa: BLE001 - the outermost loop of a thread that must not die
                self._problem = str(error)
                _log.exception("ingest failed and goes on")
                stop.wait(_PAUSE)
                moved = False
            if not moved:
                stop.wait(poll)
