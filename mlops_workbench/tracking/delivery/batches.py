"""Deliver journals to MLflow: at least once, and a repetition changes nothing.

For each run: find or create it, acknowledge it, deliver its parts (:class:`RunDelivery`), then move the cursor of the
file. An interrupted delivery is repeated from the last cursor, and every call finds what an earlier one has written:
a run and a model by their tags, parameters, metrics and tags by MLflow's keys, artifacts by their paths.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from mlops_workbench.core.errors import Unavailable, WorkbenchError
from mlops_workbench.core.records import MLFLOW, RunStart, SessionStart
from mlops_workbench.core.tags import PARENT_RUN_ID
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.journal.gc_pause import collection_paused
from mlops_workbench.tracking.delivery.held_files import HeldFiles
from mlops_workbench.tracking.delivery.log import DeliveredRun, DeliveryLog
from mlops_workbench.tracking.delivery.record import RunRecord, kept_records
from mlops_workbench.tracking.delivery.runs import RunDelivery
from mlops_workbench.tracking.journals.files import (
    Cursor,
    JournalBatch,
    JournalFile,
    closed_files,
    journal_files,
    read_batch,
)
from mlops_workbench.tracking.mapping.start_tags import start_tags
from mlops_workbench.tracking.mapping.values import MAX_RUN_NAME, UNUSABLE, as_text, clip
from mlops_workbench.tracking.mlflow.errors import PERMANENT
from mlops_workbench.tracking.mlflow.store import TrackingStore

_log = logging.getLogger(__name__)

#: Failures of one batch, while the store answers, after which it is delivered piece by piece.
_PATIENCE = 5

_Deliver: TypeAlias = Callable[[DeliveredRun, Sequence[RunRecord]], bool | None]


@dataclass
class _Remainder:
    """What is left to do of a batch once its values are delivered.

    Attributes
    ----------
    deferred : list
        Records whose run is not in MLflow.
    delivered : list of int
        Ids of deferred records that were delivered.
    files : list
        Runs, and their records with files to deliver.
    held : list
        Records whose files cannot be delivered now.
    """

    deferred: list[tuple[str, RunRecord]] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    files: list[tuple[DeliveredRun, Sequence[RunRecord]]] = field(default_factory=list)
    held: list[tuple[str, RunRecord]] = field(default_factory=list)

    def defer(self, uid: str, items: Iterable[RunRecord]) -> None:
        self.deferred += [(uid, item) for item in items]


class BatchDelivery:
    """Delivers the journals of a workspace to one tracking store.

    Parameters
    ----------
    workspace : Workspace
        Journals and blobs.
    store : TrackingStore
        The store.
    log : DeliveryLog
        Cursors and acknowledgements of that store.
    """

    def __init__(self, workspace: Workspace, store: TrackingStore, log: DeliveryLog) -> None:
        self.workspace = workspace
        self.store = store
        self.log = log
        store.on_restore = lambda experiment_id: log.resume(experiment_id=experiment_id)
        self._runs = RunDelivery(store, log, workspace.blobs)
        self._files = HeldFiles(store, log, partial(self._deliver_run, deliver=self._runs.deliver_files))
        # By file, since a failed batch is read again from the same cursor and is longer then.
        self._failures: Counter[str] = Counter()

    @property
    def files_problem(self) -> str:
        """Why files of some runs wait while everything else is delivered, empty if none do."""
        return self._files.problem

    def step(self, finished: Mapping[str, Cursor]) -> bool:
        """Deliver at most one batch of each file; True when there was anything.

        A session that cannot be delivered does not block others.

        Parameters
        ----------
        finished : mapping
            Cursors of the read index: a file that is done there, and delivered as far, is not read again.

        Raises
        ------
        Unavailable
            The store does not answer.
        WorkbenchError
            A session cannot be delivered now; everything else was.
        """
        moved = False
        failed: WorkbenchError | None = None
        files = journal_files(self.workspace.journal)
        closed = closed_files(files)
        cursors = self.log.cursors()
        waiting: set[str] = set()
        for file in files:
            cursor = cursors.get(file.name, Cursor())
            # Files of a session are delivered in order.
            if cursor.done or file.session in waiting:
                continue
            with collection_paused():
                batch = read_batch(file.path, cursor)
                if not batch.exhausted:
                    waiting.add(file.session)
                index = finished.get(file.name, Cursor())
                done = batch.exhausted and (file.name in closed or (index.done and index.offset <= batch.cursor.offset))
                if batch.entries:
                    problem = self._try(file.name, partial(self._deliver, file, batch, done=done))
                    if problem:
                        waiting.add(file.session)
                    failed, moved = failed or problem, moved or problem is None
                elif done:
                    self.log.set_cursor(file.name, batch.cursor, done=True)
        for uid in self.log.resumed_runs():
            problem = self._try(uid, partial(self._deliver_deferred, uid))
            failed, moved = failed or problem, moved or problem is None
        for run in self._files.retry():
            self._runs.deliver_end(run, [])
            moved = True
        if failed:
            raise failed
        return moved

    def revive(self, uids: Iterable[str]) -> None:
        """Reopen those of some running runs that were ended as dead, since a heartbeat has arrived.

        Raises
        ------
        Unavailable
            The store does not answer.
        """
        for uid in uids:
            run = self.log.run(uid)
            if run is not None and run.run_id and run.ended == "reaper" and not run.abandoned:
                self._runs.revive(run)

    def _try(self, name: str, deliver: Callable[[], None]) -> WorkbenchError | None:
        """Deliver a batch of a file, or the deferred records of a run; return the error if the store answers."""
        self._runs.patient = self._failures[name] < _PATIENCE
        try:
            deliver()
        except Exception as error:  # noqa: BLE001 - no failure may block other sessions
            self.store.ping()
            self._failures[name] += 1
            if isinstance(error, WorkbenchError):
                return error
            if self._failures[name] == 1:
                _log.exception("%s cannot be delivered", name)
            return Unavailable(f"delivery failed: {type(error).__name__}: {error}", where=name)
        finally:
            self._runs.patient = True
        self._failures.pop(name, None)
        return None

    def _deliver(self, file: JournalFile, batch: JournalBatch, *, done: bool) -> None:
        by_run: dict[str, list[RunRecord]] = {}
        for entry in batch.entries:
            record = entry.record
            if isinstance(record, SessionStart):
                self.log.set_session(file.session, record.user, record.python)
            uid = getattr(record, "run_uid", "")
            if record is not None and uid:
                item = RunRecord(record, file.session, file.name, entry.end, entry.type, entry.payload)
                by_run.setdefault(uid, []).append(item)
        for number, problem in enumerate(batch.problems):
            self.log.note_problem("", f"{file.name} at {batch.cursor.offset} ({number})", problem)

        def deliver_values(remainder: _Remainder) -> None:
            for uid, items in by_run.items():
                self._deliver_values(self._find_or_create(uid, items, file), uid, items, remainder)

        self._create_experiments(by_run)
        self._deliver_all(deliver_values, lambda: self.log.set_cursor(file.name, batch.cursor, done=done))

    def _deliver_deferred(self, uid: str) -> None:
        """Deliver the records that were read while the run was deleted in MLflow."""
        self._deliver_all(lambda remainder: self._deliver_values(self.log.run(uid), uid, [], remainder), lambda: None)

    def _deliver_all(self, deliver_values: Callable[[_Remainder], None], acknowledge: Callable[[], None]) -> None:
        """Deliver values in one transaction, then files, and write what is left and the acknowledgement to the log."""
        remainder = _Remainder()
        with self._transaction():
            deliver_values(remainder)
            if not remainder.files:
                self._save(remainder)
                acknowledge()
        if remainder.files:
            self._deliver_files(remainder)
            with self.log.transaction():
                self._save(remainder)
                acknowledge()

    def _deliver_files(self, remainder: _Remainder) -> None:
        for run, items in remainder.files:
            left = self._files.deliver(run, items)
            remainder.held += [(run.uid, item) for item in left if self._runs.makes_file(run, item)]
            self._deliver_run(run, items, self._runs.deliver_end)
            if self._abandoned(run.uid):
                remainder.defer(run.uid, items)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """One transaction for the values of a batch, if the store has transactions; else each call is separate.

        The acknowledgements are committed after what they acknowledge: after a crash between the two, runs are found
        by their ids and the same rows are written once more, which changes nothing.
        """
        if self._runs.patient and self.store.has_transactions():
            with self.log.transaction(), self.store.transaction():
                yield
        else:
            yield

    def _create_experiments(self, by_run: Mapping[str, Sequence[RunRecord]]) -> None:
        # Before the transaction: MLflow creates them on another connection, which would wait for its end.
        for uid, items in by_run.items():
            start = _start(items)
            if start is not None and not self.log.run_id(uid):
                with contextlib.suppress(*PERMANENT):
                    self.store.experiment_id(self._experiment(start))

    def _deliver_values(
        self, run: DeliveredRun | None, uid: str, items: list[RunRecord], remainder: _Remainder
    ) -> None:
        if run is None or run.abandoned:
            remainder.defer(uid, items)
            return
        deferred = self.log.deferred(uid)
        remainder.delivered += [record.id for record in deferred]
        records = [*kept_records(deferred), *items]
        if self._deliver_run(run, records, self._runs.deliver_values):
            remainder.files.append((run, records))
        elif self._abandoned(uid):
            remainder.defer(uid, records)

    def _abandoned(self, uid: str) -> bool:
        run = self.log.run(uid)
        return run is not None and run.abandoned

    def _save(self, remainder: _Remainder) -> None:
        for uid, item in remainder.held:
            self.log.hold_files(uid, item.file, item.end, item.type, item.payload)
        self.log.drop_deferred(remainder.delivered)
        for uid, item in remainder.deferred:
            self.log.defer(uid, item.file, item.end, item.type, item.payload)

    def _deliver_run(self, run: DeliveredRun, items: Sequence[RunRecord], deliver: _Deliver) -> bool:
        try:
            return bool(deliver(run, items))
        except UNUSABLE as error:
            # One record that cannot be used must not block all later ones; the journal still has it.
            if len(items) == 1:
                _log.exception("a record of run %s cannot be delivered", run.uid)
                what = f"{type(items[0].record).__name__} at {items[0].place}"
                self.log.note_problem(run.uid, what, f"{type(error).__name__}: {error}")
                return False
            files = False
            for item in items:
                files = self._deliver_run(run, [item], deliver) or files
            return files

    def _find_or_create(self, uid: str, items: Iterable[RunRecord], file: JournalFile) -> DeliveredRun | None:
        """The run in MLflow, created if its start is among `items`; None while its start is unknown."""
        run = self.log.run(uid)
        start = _start(items)
        if run is None or not (run.run_id or run.abandoned):
            if start is None:
                return None
            try:
                self._create(uid, start, file, intended=run)
            except WorkbenchError as error:
                if self._runs.patient:
                    raise
                self.log.note_problem(uid, "run", str(error))
                self.log.abandon(uid)
        if start is not None:
            self._adopt_children(uid)
        return self.log.run(uid)

    def _experiment(self, start: RunStart) -> str:
        name = as_text(start.experiment)
        # MLflow does not strip the names of its experiments.
        return clip(name if start.via == MLFLOW else name.strip(), 500) or self.workspace.settings.tracking.experiment

    def _create(self, uid: str, start: RunStart, file: JournalFile, *, intended: DeliveredRun | None) -> None:
        experiment = self._experiment(start)
        experiment_id = intended.experiment_id if intended else self.store.experiment_id(experiment)
        self.log.intend_run(uid, experiment_id, start.parent_uid, plain=start.via == MLFLOW)
        run_id = None
        if intended or start.start_ms <= self.log.created_ms:
            # It may exist: by an attempt whose answer was lost, or by an earlier log.
            run_id = self.store.find_run(experiment_id, uid)
        parent_id = self.log.run_id(start.parent_uid) if start.parent_uid else None
        tags = start_tags(uid, start, self.log.session(file.session)[0], experiment)
        if parent_id:
            tags[PARENT_RUN_ID] = parent_id
        if run_id is None:
            try:
                run_id = self.store.create_run(
                    uid, experiment_id, clip(as_text(start.name), MAX_RUN_NAME), start.start_ms, tags
                )
            except PERMANENT as error:
                # Refused since its experiment was deleted: the next attempt restores that.
                self.store.clear_experiments()
                raise Unavailable(f"MLflow refused to create a run: {error.message}", where=error.where) from error
        elif parent_id:
            self.store.set_tags(run_id, {PARENT_RUN_ID: parent_id})
        self.log.ack_run(uid, run_id, parent_set=parent_id is not None)

    def _adopt_children(self, uid: str) -> None:
        run_id = self.log.run_id(uid)
        if not run_id:
            return
        for child, child_id in self.log.children_without_parent(uid):
            try:
                self.store.set_tags(child_id, {PARENT_RUN_ID: run_id})
            except PERMANENT as error:
                self.log.note_problem(child, f"tag {PARENT_RUN_ID}", str(error))
            self.log.ack_parent(child)


def _start(items: Iterable[RunRecord]) -> RunStart | None:
    return next((item.record for item in items if type(item.record) is RunStart), None)
