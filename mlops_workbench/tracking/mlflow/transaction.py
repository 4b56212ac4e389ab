"""Many small writes to MLflow's own SQLite database in one transaction.

`log_batch` of MLflow 3.17 makes an object per metric, reads the run and the latest metrics anew, and commits two or
three times for a thousand values. Here the same rows are written by plain statements, by the rules of
``mlflow.store.tracking.sqlalchemy_store``: the primary keys make a second delivery a no-op, NaN is 0 with ``is_nan``,
the latest value of a metric is that of the highest (step, time, value), a parameter never changes, and nothing is
written to a deleted run. As in MLflow, a transaction waits for other writers; they wait for this one during one batch
at most.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound, StorageError, Unavailable
from mlops_workbench.core.tags import RUN_NAME
from mlops_workbench.tracking.mlflow.errors import DATABASE_HINT
from mlops_workbench.tracking.mlflow.new_run import new_run, run_id_of
from mlops_workbench.tracking.sqlite import ReplaceableFile, insert_rows

if TYPE_CHECKING:
    from mlops_workbench.tracking.mapping.metric_rows import MetricRow

#: Seconds to wait for another writer, as MLflow does.
_BUSY_SECONDS = 20.0
_ACTIVE = "active"


class SqliteWriter:
    """Opens transactions on an MLflow database in an SQLite file.

    Parameters
    ----------
    path : Path
        The file.
    revisions : set of str
        Schema revisions that may be written to.
    uid_tag : str
        Tag with the uid of runs whose id MLflow chose.
    """

    def __init__(self, path: Path, revisions: frozenset[str], uid_tag: str) -> None:
        self.path = path
        self._revisions = revisions
        self._uid_tag = uid_tag
        self._lock = threading.Lock()
        self._file = ReplaceableFile(path, self._connect)
        self._other_ids: dict[str, str] | None = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteTransaction]:
        """A transaction: everything written inside, or nothing.

        Raises
        ------
        Unavailable
            The database is busy, or its schema was changed.
        """
        with self._lock:
            try:
                connection = self._file.connection()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    self._check_revision(connection)
                    if self._other_ids is None:
                        self._other_ids = self._read_other_ids(connection)
                    yield SqliteTransaction(connection, self._other_ids)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                self._file.close()
                raise Unavailable(
                    f"the tracking database does not answer: {error}", where=str(self.path), hint=DATABASE_HINT
                ) from error

    def _connect(self, path: Path) -> sqlite3.Connection:
        try:
            path.stat()
        except OSError as error:
            raise StorageError(f"cannot open the tracking database: {error.strerror}", where=str(path)) from error
        self._other_ids = None
        # check_same_thread: any thread of the process that holds the lock of ingest may deliver.
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys = ON")
        # 64 MB, so that pages of the indexes stay in memory from one row to the next.
        connection.execute("PRAGMA cache_size = -65536")
        return connection

    def _check_revision(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if found is None or found[0] not in self._revisions:
            raise Unavailable(
                "the tracking database was migrated to another version of MLflow while it was in use",
                where=str(self.path),
                hint="restart with 'mlops down' and 'mlops up'",
            )

    def _read_other_ids(self, connection: sqlite3.Connection) -> dict[str, str]:
        # Once: the table has no index for the value of a tag.
        return dict(
            connection.execute("SELECT value, run_uuid FROM tags WHERE key = ? AND value <> run_uuid", (self._uid_tag,))
        )


class SqliteTransaction:
    """Writes of one transaction; the methods are those of :class:`TrackingStore`, with the same errors."""

    def __init__(self, connection: sqlite3.Connection, other_ids: Mapping[str, str]) -> None:
        self._connection = connection
        self._other_ids = other_ids
        self._locations: dict[str, str] = {}

    def find_run(self, uid: str) -> str | None:
        """MLflow's id of the run with this uid, deleted ones included."""
        run_id = run_id_of(uid)
        found = self._connection.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
        return run_id if found else self._other_ids.get(uid)

    def create_run(self, uid: str, experiment_id: str, name: str, start_ms: int, tags: Mapping[str, str]) -> str:
        """Insert a run unless it exists. Return MLflow's id, which is derived from the uid."""
        run_id = run_id_of(uid)
        if self._connection.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run_id,)).fetchone():
            return run_id
        location = self._location(experiment_id)
        columns, all_tags = new_run(run_id, experiment_id, location, name, start_ms, tags)
        self._connection.execute(
            f"INSERT INTO runs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", tuple(columns.values())
        )
        self._connection.executemany(
            "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)",
            [(key, value, run_id) for key, value in all_tags.items()],
        )
        return run_id

    def _location(self, experiment_id: str) -> str:
        """Where an experiment keeps its artifacts."""
        if experiment_id not in self._locations:
            found = self._connection.execute(
                "SELECT artifact_location, lifecycle_stage FROM experiments WHERE experiment_id = ?",
                (int(experiment_id),),
            ).fetchone()
            if found is None or found[1] != _ACTIVE:
                raise InvalidInput(f"experiment {experiment_id} is deleted")
            self._locations[experiment_id] = found[0]
        return self._locations[experiment_id]

    def run_is_open(self, run_id: str) -> bool:
        """Whether the run exists and is not deleted."""
        return self._stage(run_id) == _ACTIVE

    def run_params(self, run_id: str) -> dict[str, str]:
        """Parameters of a run."""
        return dict(self._connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run_id,)))

    def run_tags(self, run_id: str) -> dict[str, str]:
        """Tags of a run."""
        return dict(self._connection.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,)))

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Write parameters; the whole call fails if one has another value already."""
        self._check_active(run_id)
        written = self._connection.executemany(
            "INSERT OR IGNORE INTO params (key, value, run_uuid) VALUES (?, ?, ?)",
            [(key, value, run_id) for key, value in params.items()],
        ).rowcount
        if written < len(params):
            known = self.run_params(run_id)
            if changed := [key for key, value in params.items() if known.get(key) != value]:
                raise InvalidInput(f"Changing param values is not allowed: {', '.join(changed)}")

    def log_metrics(self, run_id: str, rows: Sequence[MetricRow]) -> None:
        """Write metric values; rows that exist are not written again."""
        self._check_active(run_id)
        stored: list[tuple[Any, ...]] = []
        latest: dict[str, tuple[int, int, float, bool]] = {}
        for key, value, at_ms, step in rows:
            is_nan = math.isnan(value)
            number = 0.0 if is_nan else value
            stored.append((key, number, at_ms, run_id, step, is_nan))
            found = (step, at_ms, number, is_nan)
            if key not in latest or found[:3] > latest[key][:3]:
                latest[key] = found
        statement = "INSERT OR IGNORE INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES "
        insert_rows(self._connection, statement, stored)
        self._connection.executemany(
            "INSERT INTO latest_metrics (key, step, timestamp, value, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (key, run_uuid) DO UPDATE SET step=excluded.step, timestamp=excluded.timestamp,"
            " value=excluded.value, is_nan=excluded.is_nan"
            " WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)",
            [(key, *found, run_id) for key, found in latest.items()],
        )

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags; the last value wins."""
        self._check_active(run_id)
        self._connection.executemany(
            "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)"
            " ON CONFLICT (key, run_uuid) DO UPDATE SET value=excluded.value",
            [(key, value, run_id) for key, value in tags.items()],
        )
        if tags.get(RUN_NAME):
            self._connection.execute("UPDATE runs SET name = ? WHERE run_uuid = ?", (tags[RUN_NAME], run_id))

    def end_run(self, run_id: str, status: str, end_ms: int) -> None:
        """Set status and end time of a run."""
        self._check_active(run_id)
        values = (status, end_ms, run_id)
        self._connection.execute("UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?", values)

    def reopen_run(self, run_id: str) -> None:
        """Set a run to RUNNING again."""
        self._check_active(run_id)
        self._connection.execute("UPDATE runs SET status = 'RUNNING' WHERE run_uuid = ?", (run_id,))

    def _check_active(self, run_id: str) -> None:
        stage = self._stage(run_id)
        if stage is None:
            raise NotFound(f"MLflow has no run {run_id}")
        if stage != _ACTIVE:
            raise Conflict(f"MLflow's run {run_id} is deleted")

    def _stage(self, run_id: str) -> str | None:
        found = self._connection.execute("SELECT lifecycle_stage FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
        return found[0] if found else None
