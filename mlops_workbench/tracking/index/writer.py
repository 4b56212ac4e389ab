"""Write the read index: each batch of records and its cursor in one transaction."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import singledispatchmethod
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.records import (
    Artifact,
    CellExecuted,
    Dataset,
    Heartbeat,
    Metrics,
    Model,
    Params,
    Provenance,
    Record,
    RunEnd,
    RunStart,
    SessionEnd,
    SessionStart,
    Tags,
)
from mlops_workbench.core.tags import RUN_NAME
from mlops_workbench.tracking.index.followed import delivered_ids, leave_store, number_of, put_ids
from mlops_workbench.tracking.index.metrics import MetricRows
from mlops_workbench.tracking.index.schema import REBUILD_HINT, connect, remove
from mlops_workbench.tracking.index.sessions import end_session, ensure_session, put_heartbeat, put_session
from mlops_workbench.tracking.journals.files import (
    REAPER,
    SELECT_CURSORS,
    Cursor,
    JournalBatch,
    JournalFile,
    cursors_of,
)
from mlops_workbench.tracking.mapping.models import model_uid
from mlops_workbench.tracking.mapping.values import UNUSABLE, as_text
from mlops_workbench.tracking.sqlite import ReplaceableFile

_log = logging.getLogger(__name__)

_STATUSES = {"RUNNING", "FINISHED", "FAILED", "KILLED"}


class IndexWriter:
    """The writer of a workspace's read index; the caller ensures that there is only one.

    Parameters
    ----------
    path : Path
        Index file; a broken one, or one of another version, is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = ReplaceableFile(path, _open)
        self._connection = self._database.connection()
        self._touched: set[tuple[str, str]] = set()
        self._metrics = MetricRows()
        self._file = JournalFile(path, "", "")

    def reopen_if_deleted(self) -> bool:
        """Begin a new index if the file was deleted; True when that happened."""
        replaced = self._database.replaced()
        if replaced:
            self.replace()
        return replaced

    def replace(self) -> None:
        """Begin a new index in place of this one."""
        self._database.close()
        # The write-ahead log of a deleted file must not be replayed into its successor.
        remove(self.path)
        self._connection = self._database.connection()

    @property
    def connection(self) -> sqlite3.Connection:
        """Connection for reads outside a transaction."""
        return self._connection

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def cursors(self) -> dict[str, Cursor]:
        """How far each journal file was read."""
        return cursors_of(self._connection.execute(SELECT_CURSORS))

    def apply(self, file: JournalFile, batch: JournalBatch, *, done: bool) -> None:
        """Write a batch of a file, and how far the file was read."""
        self._file = file
        try:
            self._apply_all(file, batch, self._apply_record, done=done)
        except UNUSABLE:
            self._apply_all(file, batch, self._apply_or_skip, done=done)

    def _apply_all(self, file: JournalFile, batch: JournalBatch, put: Callable[[Record], None], *, done: bool) -> None:
        with self.transaction():
            for entry in batch.entries:
                record = entry.record
                if record is not None:
                    put(record)
            self._write_metrics()
            ensure_session(self._connection, file.session)
            self._connection.execute(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)",
                (file.name, batch.cursor.offset, batch.cursor.sequence, done),
            )

    def _apply_record(self, record: Record) -> None:
        # Checked first, since there may be millions of them.
        if type(record) is Metrics:
            self._metrics.add(record)
        else:
            self._apply(record)

    def _apply_or_skip(self, record: Record) -> None:
        # One record that cannot be used must not block all later ones; the journal still has it.
        self._connection.execute("SAVEPOINT record")
        try:
            self._apply_record(record)
            self._write_metrics()
        except UNUSABLE:
            self._metrics.clear()
            self._connection.execute("ROLLBACK TO record")
            _log.exception("a %s in %s is left out of the index", type(record).__name__, self._file.name)
        self._connection.execute("RELEASE record")

    def _write_metrics(self) -> None:
        for uid, at_ms in self._metrics.last_ms.items():
            self._touch(uid, at_ms)
        self._metrics.write(self._connection)
        self._metrics.clear()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction; runs that it touched get a new revision."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._note_changes()
            self._connection.execute("COMMIT")
        except BaseException:
            self._touched.clear()
            self._metrics.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _note_changes(self) -> None:
        if not self._touched:
            return
        self._connection.execute("UPDATE state SET value = value + 1 WHERE name = 'revision'")
        revision = self._connection.execute("SELECT value FROM state WHERE name = 'revision'").fetchone()[0]
        self._connection.executemany(
            "INSERT OR REPLACE INTO changes VALUES (?, ?, ?)",
            [(topic, name, revision) for topic, name in sorted(self._touched)],
        )
        self._touched.clear()

    # Delivery ---------------------------------------------------------------------------------------------------

    def note_store(self, identity: str) -> None:
        """Remove ids and runs of another MLflow than this one from the index."""
        known = self._connection.execute("SELECT value FROM state WHERE name = 'store'").fetchone()[0]
        if known == identity:
            return
        with self.transaction() as connection:
            connection.execute("UPDATE state SET value = ? WHERE name = 'store'", (identity,))
            if known:
                connection.execute("UPDATE state SET value = 0 WHERE name = 'restored'")
                self._touched.update(("runs", uid) for uid in leave_store(connection))

    def note_delivered(self, run_id_of: Callable[[str], str | None], model_id_of: Callable[[str], str | None]) -> None:
        """Write MLflow's ids of what was delivered since the last call."""
        if found := delivered_ids(self._connection, run_id_of, model_id_of):
            with self.transaction() as connection:
                self._touched.update(("runs", uid) for uid in put_ids(connection, *found))

    def running(self) -> list[str]:
        """Uids of the journalled runs that have not ended."""
        rows = self._connection.execute("SELECT uid FROM runs WHERE status = 'RUNNING' AND origin = ''")
        return [uid for (uid,) in rows]

    def restored(self) -> bool:
        """Whether all runs of MLflow were read once since this index was created."""
        return bool(self._connection.execute("SELECT value FROM state WHERE name='restored'").fetchone()[0])

    def set_restored(self) -> None:
        """Note that all runs of MLflow were read once."""
        self._connection.execute("UPDATE state SET value = 1 WHERE name='restored'")

    def follow(self, change: Callable[[sqlite3.Connection], list[str]]) -> int:
        """Apply changes from MLflow in one transaction; `change` returns the uids of the runs that it changed."""
        with self.transaction() as connection:
            changed = change(connection)
            self._touched.update(("runs", uid) for uid in changed)
        return len(changed)

    # Records ----------------------------------------------------------------------------------------------------

    @singledispatchmethod
    def _apply(self, record: Record) -> None:
        """Write a record; types without a method of their own are not in the index."""

    @_apply.register
    def _(self, record: SessionStart) -> None:
        put_session(self._connection, self._file.session, record)

    @_apply.register
    def _(self, record: Heartbeat) -> None:
        revived = put_heartbeat(self._connection, self._file.session, record)
        self._touched.update(("runs", uid) for uid in revived)

    @_apply.register
    def _(self, record: SessionEnd) -> None:
        end_session(self._connection, self._file.session, record)

    @_apply.register
    def _(self, record: RunStart) -> None:
        # A run that was read from MLflow before its journal, which is more complete.
        self._connection.execute(
            "UPDATE runs SET origin='', started=0 WHERE uid=? AND origin='mlflow'", (record.run_uid,)
        )
        self._touch(record.run_uid, record.start_ms)
        # Files of two sessions may be read in another order than they were written.
        latest = self._connection.execute(
            "UPDATE runs SET resumed_ms=?, resumed_by=? WHERE uid=? AND resumed_ms <= ?",
            (record.start_ms, self._file.session, record.run_uid, record.start_ms),
        ).rowcount
        if not self._file.session.startswith(REAPER):
            # A run that had ended, or was ended as dead, and is resumed, possibly by another process.
            resumed = self._connection.execute(
                "UPDATE runs SET status='RUNNING', end_ms=0, reaped=0, error='' WHERE uid=?"
                " AND (reaped=1 OR (end_ms > 0 AND end_ms < ?))",
                (record.run_uid, record.start_ms),
            ).rowcount
            if resumed:
                # Only the session that resumed it keeps it alive.
                self._connection.execute(
                    "DELETE FROM run_sessions WHERE uid=? AND session<>?", (record.run_uid, self._file.session)
                )
        self._connection.execute(
            "UPDATE runs SET experiment=:experiment, kind=:kind, start_ms=:start, parent_uid=:parent,"
            " notebook=:notebook, origin='', user=coalesce((SELECT user FROM sessions WHERE session=:session), ''),"
            " name=iif(started, coalesce((SELECT value FROM tags WHERE uid=:uid AND name=:named), :name), :name),"
            " started=iif(started, started, 1) WHERE uid=:uid AND (started=0 OR start_ms > :start)",
            {
                "experiment": record.experiment, "name": record.name, "kind": record.kind, "start": record.start_ms,
                "parent": record.parent_uid, "notebook": record.notebook, "session": self._file.session,
                "uid": record.run_uid, "named": RUN_NAME,
            },
        )  # fmt: skip
        if record.source:
            self._connection.execute(
                "INSERT INTO run_texts (uid, source) VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET"
                " source=excluded.source" + ("" if latest else " WHERE source=''"),
                (record.run_uid, record.source),
            )
        self._put_tags(record.run_uid, record.tags.items())
        if record.parent_uid:
            self._touched.add(("runs", record.parent_uid))

    @_apply.register
    def _(self, record: Params) -> None:
        self._touch(record.run_uid)
        self._put_params(record.run_uid, ((name, as_text(value)) for name, value in record.values.items()))
        if record.origin == "default":
            self._connection.executemany(
                "INSERT OR IGNORE INTO defaults VALUES (?, ?)", [(record.run_uid, name) for name in record.values]
            )

    @_apply.register
    def _(self, record: Tags) -> None:
        self._touch(record.run_uid)
        if (name := record.values.get(RUN_NAME)) and isinstance(name, str):
            self._connection.execute("UPDATE runs SET name=? WHERE uid=?", (name, record.run_uid))
        self._put_tags(record.run_uid, record.values.items())

    @_apply.register
    def _(self, record: Artifact) -> None:
        self._touch(record.run_uid)
        self._connection.execute(
            "INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?, ?, ?)",
            (record.run_uid, record.path, record.size, record.media_type, record.kind, record.digest),
        )

    @_apply.register
    def _(self, record: Model) -> None:
        self._touch(record.run_uid, record.at_ms)
        self._connection.execute(
            "INSERT OR REPLACE INTO models (model_uid, uid, name, estimator, format, at_ms, record)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                model_uid(record), record.run_uid, record.name, record.estimator, record.format, record.at_ms,
                msgspec.msgpack.encode(record),
            ),
        )  # fmt: skip

    @_apply.register
    def _(self, record: Dataset) -> None:
        self._touch(record.run_uid)
        self._connection.execute(
            "INSERT OR REPLACE INTO datasets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.run_uid, record.name, record.context, record.digest, record.rows, len(record.columns),
                record.covers, record.snapshot, record.schema, as_text(record.profile),
            ),
        )  # fmt: skip

    @_apply.register
    def _(self, record: CellExecuted) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.uid, self._file.session, record.count, record.cell_id, record.status, record.started_ms,
                record.duration_us, msgspec.msgpack.encode(record),
            ),
        )  # fmt: skip

    @_apply.register
    def _(self, record: Provenance) -> None:
        self._touch(record.run_uid)
        self._connection.execute(
            "INSERT OR REPLACE INTO provenance VALUES (?, ?, ?)",
            (record.run_uid, as_text(record.cells), as_text(record.warnings)),
        )

    @_apply.register
    def _(self, record: RunEnd) -> None:
        reaped = self._file.session.startswith(REAPER)
        self._touch(record.run_uid, record.end_ms)
        # An end that a run wrote itself has precedence over the reaper's. An end is obsolete if another session has
        # resumed the run since, or has ended it later.
        changed = self._connection.execute(
            "UPDATE runs SET status=:status, end_ms=:end, error=:error, reaped=:reaped, ended_by=:session"
            " WHERE uid=:uid AND (resumed_ms <= :end OR resumed_by IN ('', :session))"
            " AND (end_ms <= :end OR ended_by IN ('', :session) OR reaped=1)"
            + (" AND status='RUNNING'" if reaped else ""),
            {
                "status": record.status if record.status in _STATUSES else "FAILED", "end": record.end_ms,
                "error": record.error, "reaped": reaped, "session": self._file.session, "uid": record.run_uid,
            },
        ).rowcount  # fmt: skip
        if changed and (record.output or record.traceback):
            self._connection.execute(
                "INSERT INTO run_texts (uid, output, traceback) VALUES (?, ?, ?) ON CONFLICT (uid) DO UPDATE SET"
                " output=excluded.output, traceback=excluded.traceback",
                (record.run_uid, record.output, record.traceback),
            )

    def _touch(self, uid: str, at_ms: int = 0) -> None:
        self._connection.execute(
            "INSERT INTO runs (uid, last_ms) VALUES (?, ?) ON CONFLICT (uid) DO UPDATE SET"
            " last_ms=max(last_ms, excluded.last_ms)",
            (uid, at_ms),
        )
        if not self._file.session.startswith(REAPER):
            self._connection.execute("INSERT OR IGNORE INTO run_sessions VALUES (?, ?)", (uid, self._file.session))
        self._touched.add(("runs", uid))

    def _put_params(self, uid: str, values: Iterable[tuple[str, str]]) -> None:
        # As in MLflow, the first value of a parameter stays.
        self._connection.executemany(
            "INSERT OR IGNORE INTO params VALUES (?, ?, ?, ?)",
            [(uid, name, value, number_of(value)) for name, value in values],
        )

    def _put_tags(self, uid: str, values: Iterable[tuple[str, object]]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", [(uid, name, as_text(value)) for name, value in values]
        )


def _open(path: Path) -> sqlite3.Connection:
    try:
        return connect(path)
    except StorageError:
        if not os.path.lexists(path):
            raise
        try:
            remove(path)
        except OSError as error:
            raise StorageError(
                f"the read index cannot be made anew: {error.strerror or error}", where=str(path), hint=REBUILD_HINT
            ) from error
        return connect(path)
