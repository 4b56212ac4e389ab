"""The delivery log: what MLflow has acknowledged, in a small SQLite file beside the journals.

With its cursors and acknowledgements, a delivery that is repeated after a crash finds what it has written before.
Losing this file is harmless but slow: everything is delivered again, and found by its tags. Each tracking store has
its own, so that a workspace pointed at another server delivers everything there.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import disk_error
from mlops_workbench.core.ids import now_ms
from mlops_workbench.tracking.journals.files import SELECT_CURSORS, Cursor, cursors_of
from mlops_workbench.tracking.sqlite import is_damaged, put_database_aside

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors (
    file TEXT PRIMARY KEY, offset INTEGER NOT NULL, sequence INTEGER NOT NULL, done INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (session TEXT PRIMARY KEY, user TEXT NOT NULL, python TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    uid TEXT PRIMARY KEY, run_id TEXT NOT NULL, experiment_id TEXT NOT NULL, parent_uid TEXT NOT NULL,
    parent_set INTEGER NOT NULL, ended TEXT NOT NULL, abandoned INTEGER NOT NULL, plain INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_orphaned ON runs (parent_uid) WHERE parent_set = 0;
CREATE TABLE IF NOT EXISTS models (
    model_uid TEXT PRIMARY KEY, uid TEXT NOT NULL, model_id TEXT NOT NULL, finished INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS models_by_run ON models (uid);
CREATE TABLE IF NOT EXISTS uploads (
    uid TEXT, path TEXT, digest TEXT, PRIMARY KEY (uid, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS params (
    uid TEXT, name TEXT, place TEXT, value TEXT NOT NULL, ordinal INTEGER NOT NULL, PRIMARY KEY (uid, name, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deferred (
    id INTEGER PRIMARY KEY, uid TEXT NOT NULL, file TEXT NOT NULL, place INTEGER NOT NULL, type INTEGER NOT NULL,
    payload BLOB NOT NULL, UNIQUE (file, place)
);
CREATE INDEX IF NOT EXISTS deferred_by_run ON deferred (uid);
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, uid TEXT NOT NULL, file TEXT NOT NULL, place INTEGER NOT NULL, type INTEGER NOT NULL,
    payload BLOB NOT NULL, UNIQUE (file, place)
);
CREATE INDEX IF NOT EXISTS files_by_run ON files (uid);
CREATE TABLE IF NOT EXISTS problems (
    at_ms INTEGER NOT NULL, uid TEXT NOT NULL, what TEXT NOT NULL, message TEXT NOT NULL, PRIMARY KEY (uid, what)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class DeliveredRun:
    """A run in MLflow; `run_id` is empty between the intent to create it and the answer.

    A `plain` run was started by MLflow code, and MLflow gets only what that code logged.
    """

    uid: str
    run_id: str
    experiment_id: str
    parent_uid: str
    parent_set: bool
    ended: str  # "", "run" if its own end was delivered, "reaper" if that of the reaper
    abandoned: bool
    plain: bool


@dataclass(frozen=True)
class WaitingRecord:
    """A record that waits: for the start of its run, or for its files to be delivered."""

    id: int
    file: str
    place: int
    type: int
    payload: bytes


class DamagedLog(StorageError):
    """The delivery log has another content than a database; see :meth:`DeliveryLog.begin_again`."""


def delivery_log_path(folder: Path, uri: str, *, local: bool) -> Path:
    """Log file of the store at `uri`, in the journal folder."""
    name = "local" if local else hashlib.sha256(uri.encode()).hexdigest()[:12]
    return folder / f"delivery-{name}.db"


class DeliveryLog:
    """Cursors and acknowledgements of one tracking store; safe to share between threads.

    Parameters
    ----------
    path : Path
        The SQLite file, see :func:`delivery_log_path`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            try:
                self._open()
            except (sqlite3.Error, DamagedLog) as error:
                if isinstance(error, sqlite3.Error) and not is_damaged(error, path):
                    raise
                self.begin_again()
        except (sqlite3.Error, OSError) as error:
            raise disk_error(error, path.parent) or StorageError(
                f"cannot open the delivery log: {error}",
                where=str(path),
                hint="check that the workspace is writable; a damaged file can be deleted: everything is sent again",
            ) from error

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
            if "plain" not in {column for _, column, *_ in connection.execute("PRAGMA table_info(runs)")}:
                connection.execute("ALTER TABLE runs ADD COLUMN plain INTEGER NOT NULL DEFAULT 0")
            connection.execute("INSERT OR IGNORE INTO state VALUES ('created_ms', ?)", (str(now_ms()),))
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self.created_ms = int(self.state("created_ms"))

    def begin_again(self) -> None:
        """Put a damaged file aside and begin a new log: everything is sent again, and MLflow has it once."""
        with self._lock:
            if hasattr(self, "_connection"):
                self._connection.close()
            aside = put_database_aside(self.path)
            _log.warning("the delivery log %s is damaged and begun again; the old file is %s", self.path, aside)
            self._open()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: everything written inside, or nothing; may be nested."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    # Some errors end the transaction by themselves.
                    self._connection.execute("ROLLBACK")
                raise

    def state(self, name: str) -> str:
        """A stored value, empty if there is none."""
        row = self._one("SELECT value FROM state WHERE name = ?", (name,))
        return str(row[0]) if row else ""

    def set_state(self, name: str, value: str) -> None:
        """Store a value."""
        self._write("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def reset(self) -> None:
        """Delete everything, after the store was deleted."""
        with self.transaction():
            for table in ("cursors", "runs", "models", "uploads", "params", "deferred", "files", "problems"):
                self._write(f"DELETE FROM {table}")

    # Cursors ----------------------------------------------------------------------------------------------------

    def cursors(self) -> dict[str, Cursor]:
        """How far each journal file was delivered."""
        return cursors_of(self._all(SELECT_CURSORS))

    def set_cursor(self, file: str, cursor: Cursor, *, done: bool) -> None:
        """Note that everything before `cursor` was delivered."""
        self._write(
            "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)", (file, cursor.offset, cursor.sequence, int(done))
        )

    def set_session(self, session: str, user: str, python: str) -> None:
        """Store the user and the Python version of a session."""
        self._write("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", (session, user, python))

    def session(self, session: str) -> tuple[str, str]:
        """User and Python version of a session, empty when unknown."""
        row = self._one("SELECT user, python FROM sessions WHERE session = ?", (session,))
        return (row[0], row[1]) if row else ("", "")

    # Runs -------------------------------------------------------------------------------------------------------

    def run(self, uid: str) -> DeliveredRun | None:
        """The entry of a run, None if there is none."""
        row = self._one("SELECT * FROM runs WHERE uid = ?", (uid,))
        return DeliveredRun(*row[:4], bool(row[4]), row[5], bool(row[6]), bool(row[7])) if row else None

    def run_id(self, uid: str) -> str | None:
        """MLflow's id of a run, None until it is delivered."""
        row = self._one("SELECT run_id FROM runs WHERE uid = ? AND run_id <> ''", (uid,))
        return str(row[0]) if row else None

    def intend_run(self, uid: str, experiment_id: str, parent_uid: str, *, plain: bool) -> None:
        """Note that the run is about to be created, in case the answer is lost in a crash."""
        sql = "INSERT OR IGNORE INTO runs VALUES (?, '', ?, ?, 0, '', 0, ?)"
        self._write(sql, (uid, experiment_id, parent_uid, int(plain)))

    def ack_run(self, uid: str, run_id: str, *, parent_set: bool) -> None:
        """Note that MLflow has the run."""
        self._write("UPDATE runs SET run_id = ?, parent_set = ? WHERE uid = ?", (run_id, int(parent_set), uid))

    def children_without_parent(self, parent_uid: str) -> list[tuple[str, str]]:
        """Delivered children, as ``(uid, run_id)``, whose parent is not set in MLflow."""
        return self._all(
            "SELECT uid, run_id FROM runs WHERE parent_uid = ? AND parent_set = 0 AND run_id <> ''", (parent_uid,)
        )

    def ack_parent(self, uid: str) -> None:
        """Note that the run's parent is set in MLflow."""
        self._write("UPDATE runs SET parent_set = 1 WHERE uid = ?", (uid,))

    def set_ended(self, uid: str, ended: str) -> None:
        """Note that the run's end was delivered, or with an empty string that the run was reopened."""
        self._write("UPDATE runs SET ended = ? WHERE uid = ?", (ended, uid))

    def abandon(self, uid: str) -> None:
        """Note that MLflow has deleted the run: its records are deferred from now on."""
        self._write("UPDATE runs SET abandoned = 1 WHERE uid = ?", (uid,))

    def abandoned(self) -> dict[str, str]:
        """MLflow's ids of the abandoned runs, by uid."""
        return dict(self._all("SELECT uid, run_id FROM runs WHERE abandoned = 1 AND run_id <> ''"))

    def resumed_runs(self) -> list[str]:
        """Runs with deferred records that were deleted in MLflow and restored."""
        return self._runs_in("deferred")

    def has_deferred(self, uid: str) -> bool:
        """Whether records of this run are deferred, unless it is deleted in MLflow."""
        known = self.run(uid)
        return not (known and known.abandoned) and bool(self.deferred(uid))

    def resume(self, *, uid: str = "", experiment_id: str = "") -> None:
        """Deliver records of a run, or of the runs of an experiment, again after it was restored in MLflow."""
        self._write("UPDATE runs SET abandoned = 0 WHERE uid = ? OR experiment_id = ?", (uid, experiment_id))

    # Parts of a run ---------------------------------------------------------------------------------------------

    def model(self, model_uid: str) -> tuple[str, bool] | None:
        """MLflow's id of a model, and whether it was delivered completely; None when unknown."""
        row = self._one("SELECT model_id, finished FROM models WHERE model_uid = ?", (model_uid,))
        return (row[0], bool(row[1])) if row else None

    def model_id(self, model_uid: str) -> str | None:
        """MLflow's id of a model that was delivered completely."""
        row = self._one("SELECT model_id FROM models WHERE model_uid = ? AND finished = 1", (model_uid,))
        return str(row[0]) if row else None

    def models_of(self, uid: str) -> list[str]:
        """MLflow's ids of a run's models."""
        return [row[0] for row in self._all("SELECT model_id FROM models WHERE uid = ? AND finished = 1", (uid,))]

    def ack_model(self, model_uid: str, uid: str, model_id: str, *, finished: bool) -> None:
        """Note that MLflow has the model."""
        self._write("INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?)", (model_uid, uid, model_id, int(finished)))

    def uploaded(self, uid: str, path: str) -> str:
        """Digest of the file that was last uploaded to this path, empty for none."""
        row = self._one("SELECT digest FROM uploads WHERE uid = ? AND path = ?", (uid, path))
        return str(row[0]) if row else ""

    def ack_upload(self, uid: str, path: str, digest: str) -> None:
        """Note that MLflow has the file."""
        self._write("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?)", (uid, path, digest))

    def param_ordinal(self, uid: str, name: str, place: str, value: str) -> int:
        """Number of a value among those of a parameter: 1 for the first, 0 for a repetition of the last.

        By `place` (file and offset) the result is the same when the record is read again.
        """
        with self.transaction():
            found = self._one("SELECT ordinal FROM params WHERE uid=? AND name=? AND place=?", (uid, name, place))
            if found:
                return int(found[0])
            last = self._one(
                "SELECT ordinal, value FROM params WHERE uid=? AND name=? AND ordinal > 0"
                " ORDER BY ordinal DESC LIMIT 1",
                (uid, name),
            )
            # A repetition is stored too, since the last value may have changed when it is read again.
            ordinal = int(last[0]) + 1 if last else 1
            if last and last[1] == value:
                ordinal = 0
            self._write("INSERT INTO params VALUES (?, ?, ?, ?, ?)", (uid, name, place, value, ordinal))
            return ordinal

    # Waiting records and problems ------------------------------------------------------------------------------

    def defer(self, uid: str, file: str, place: int, number: int, payload: bytes) -> None:
        """Keep a record until its run is in MLflow."""
        self._insert("deferred", uid, file, place, number, payload)

    def deferred(self, uid: str) -> list[WaitingRecord]:
        """Deferred records of this run, in order of reading."""
        return self._waiting("deferred", uid)

    def drop_deferred(self, ids: Sequence[int]) -> None:
        """Delete deferred records that were delivered."""
        self._drop("deferred", ids)

    def hold_files(self, uid: str, file: str, place: int, number: int, payload: bytes) -> None:
        """Keep a record until its files can be delivered."""
        self._insert("files", uid, file, place, number, payload)

    def held_files(self, uid: str) -> list[WaitingRecord]:
        """Records of this run whose files wait, in order of reading."""
        return self._waiting("files", uid)

    def runs_with_held_files(self) -> list[str]:
        """Runs with files that wait, without those that MLflow has deleted."""
        return self._runs_in("files")

    def holds_files(self, uid: str | None = None) -> bool:
        """Whether files of a run, or of any, wait."""
        waiting = self.runs_with_held_files()
        return bool(waiting) if uid is None else uid in waiting

    def drop_held_files(self, ids: Sequence[int]) -> None:
        """Delete records whose files were delivered."""
        self._drop("files", ids)

    def note_problem(self, uid: str, what: str, message: str) -> None:
        """Note a part of a run that MLflow refused permanently; the journal still has it."""
        self._write("INSERT OR REPLACE INTO problems VALUES (?, ?, ?, ?)", (now_ms(), uid, what, message[:2000]))

    def problems(self) -> list[tuple[str, str, str]]:
        """Parts that MLflow refused, as ``(uid, part, message)``."""
        return self._all("SELECT uid, what, message FROM problems ORDER BY at_ms")

    def _runs_in(self, table: str) -> list[str]:
        within = f"uid IN (SELECT DISTINCT uid FROM {table})"
        sql = f"SELECT uid FROM runs WHERE abandoned = 0 AND run_id <> '' AND {within} ORDER BY uid"
        return [uid for (uid,) in self._all(sql)]

    def _insert(self, table: str, uid: str, file: str, place: int, number: int, payload: bytes) -> None:
        self._write(
            f"INSERT OR IGNORE INTO {table} (uid, file, place, type, payload) VALUES (?, ?, ?, ?, ?)",
            (uid, file, place, number, payload),
        )

    def _waiting(self, table: str, uid: str) -> list[WaitingRecord]:
        rows = self._all(f"SELECT id, file, place, type, payload FROM {table} WHERE uid = ? ORDER BY id", (uid,))
        return [WaitingRecord(*row) for row in rows]

    def _drop(self, table: str, ids: Sequence[int]) -> None:
        with self.transaction():
            for number in ids:
                self._write(f"DELETE FROM {table} WHERE id = ?", (number,))

    def _write(self, sql: str, values: Sequence[object] = ()) -> None:
        with self._lock:
            self._execute(sql, values)

    def _all(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._execute(sql, values)

    def _one(self, sql: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        rows = self._all(sql, values)
        return rows[0] if rows else None

    def _execute(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            if is_damaged(error):
                raise DamagedLog(f"the delivery log is damaged: {error}", where=str(self.path)) from error
            raise
