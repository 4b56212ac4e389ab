"""Earlier runs that a kernel compares a run with, read from the index within milliseconds or not at all."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from mlops_workbench.core.metrics import metric_direction
from mlops_workbench.core.run_ranking import EarlierRuns
from mlops_workbench.core.runs import Run
from mlops_workbench.tracking.index.schema import SCHEMA_VERSION
from mlops_workbench.tracking.sqlite import connect_read_only

#: SQLite steps between two checks of the deadline.
_STEPS = 2000
_MAX_METRICS = 24
_RUN = (
    "SELECT uid, experiment, name, kind, status, start_ms, end_ms, parent_uid FROM runs WHERE started = 1"
    " AND experiment = ? AND status = 'FINISHED' AND kind = ? AND parent_uid = ? AND uid <> ?"
    " AND (start_ms, uid) < (?, ?)"
)
#: Up to this many runs are scanned; with more, the index by metric value finds the best.
_FEW = 500
_COUNT = "SELECT count(*) FROM (SELECT 1 FROM runs WHERE experiment = ? LIMIT ?)"
_BEST = (
    "SELECT m.value FROM {tables} WHERE r.uid = m.uid AND m.name = ?"
    # Values beyond represent infinities.
    " AND m.value BETWEEN -1e308 AND 1e308"
    " AND r.started = 1 AND r.experiment = ? AND r.status = 'FINISHED' AND r.kind = ? AND r.parent_uid = ?"
    " AND r.uid <> ? ORDER BY m.value {order} LIMIT 1"
)
_RUNS_FIRST, _METRICS_FIRST = "runs r CROSS JOIN metrics m", "metrics m CROSS JOIN runs r"


def read_past(path: Path, run: Run, *, seconds: float = 0.02) -> EarlierRuns | None:
    """Earlier runs of the same experiment and kind, and the best values of the metrics.

    Parameters
    ----------
    path : Path
        The index, opened for reading only and never created, so that a kernel does not block its writer.
    run : Run
        The run that has just ended.
    seconds : float
        Longest time to search.

    Returns
    -------
    EarlierRuns or None
        None when the index is missing or of another version; without the best values that took too long.
    """
    if not path.is_file():
        return None
    deadline = time.monotonic() + seconds
    try:
        with closing(connect_read_only(path, timeout=0)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
            if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                return None
            return EarlierRuns(_latest(connection, run), _latest(connection, run, run.name), _best(connection, run))
    except (sqlite3.Error, OSError):
        return None


def _latest(connection: sqlite3.Connection, run: Run, name: str | None = None) -> Run | None:
    among: tuple[Any, ...] = (run.experiment, run.kind, run.parent_uid, run.uid, run.start_ms, run.uid)
    sql, values = (f"{_RUN} AND name = ?", (*among, name)) if name is not None else (_RUN, among)
    row = connection.execute(f"{sql} ORDER BY start_ms DESC, uid DESC LIMIT 1", values).fetchone()
    if row is None:
        return None
    uid, experiment, found, kind, status, start_ms, end_ms, parent_uid = row
    return Run(
        uid, "", experiment, found, kind, status, start_ms, end_ms, parent_uid,
        params=dict(connection.execute("SELECT name, value FROM params WHERE uid = ?", (uid,))),
        metrics=dict(connection.execute("SELECT name, coalesce(text, value) FROM metrics WHERE uid = ?", (uid,))),
    )  # fmt: skip


def _best(connection: sqlite3.Connection, run: Run) -> dict[str, float]:
    best: dict[str, float] = {}
    try:
        few = connection.execute(_COUNT, (run.experiment, _FEW + 1)).fetchone()[0] <= _FEW
        for name in list(run.metrics)[:_MAX_METRICS]:
            if direction := metric_direction(name):
                sql = _BEST.format(
                    tables=_RUNS_FIRST if few else _METRICS_FIRST, order="DESC" if direction == "higher" else "ASC"
                )
                row = connection.execute(sql, (name, run.experiment, run.kind, run.parent_uid, run.uid)).fetchone()
                if row is not None:
                    best[name] = row[0]
    except sqlite3.OperationalError:
        # The deadline has passed; what was found until now is valid.
        return best
    return best


def read_run_id(path: Path, uid: str) -> str:
    """MLflow's id of a run, empty if it is not delivered yet or the index cannot be read."""
    if not path.is_file():
        return ""
    try:
        with closing(connect_read_only(path, timeout=0)) as connection:
            row = connection.execute("SELECT run_id FROM runs WHERE uid = ?", (uid,)).fetchone()
    except (sqlite3.Error, OSError):
        return ""
    return str(row[0]) if row else ""
