"""Runs in the read index that were read from MLflow."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mlops_workbench.core.runs import Run
from mlops_workbench.core.wire.json_numbers import JsonNumber
from mlops_workbench.tracking.index.metrics import put_last_values
from mlops_workbench.tracking.mapping.values import MAX_INT

_COLUMNS = (
    "run_id", "experiment", "name", "kind", "status", "start_ms", "end_ms", "parent_uid", "notebook", "error", "user",
)  # fmt: skip


def number_of(text: str) -> float | None:
    """A parameter as a number, None if it is not one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def put_followed(connection: sqlite3.Connection, run: Run) -> bool:
    """Write a run of MLflow to the index; True when that changed anything.

    A journalled run is not changed, except that it is shown again if it was restored in MLflow.
    """
    found = connection.execute("SELECT started, origin FROM runs WHERE uid = ?", (run.uid,)).fetchone()
    if found is not None and found[0] and found[1] == "":
        return connection.execute("UPDATE runs SET started = 1 WHERE uid = ? AND started = -1", (run.uid,)).rowcount > 0
    if run.parent_uid:
        parent = connection.execute(
            "SELECT uid FROM runs WHERE run_id = ? AND run_id <> ''", (run.parent_uid,)
        ).fetchone()
        run = replace(run, parent_uid=parent[0] if parent else run.parent_uid)
    columns = tuple(getattr(run, column) for column in _COLUMNS)
    known = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM runs WHERE uid = ? AND started = 1", (run.uid,)
    ).fetchone()
    if known == columns and _values(connection, run.uid) == (run.params, run.tags, run.metrics):
        return False
    marks = ", ".join("?" * len(_COLUMNS))
    connection.execute(
        f"INSERT OR REPLACE INTO runs (uid, started, origin, last_ms, {', '.join(_COLUMNS)})"
        f" VALUES (?, 1, 'mlflow', ?, {marks})",
        (run.uid, run.end_ms or run.start_ms, *columns),
    )
    for table in ("params", "tags", "metrics"):
        connection.execute(f"DELETE FROM {table} WHERE uid = ?", (run.uid,))
    connection.executemany(
        "INSERT INTO params VALUES (?, ?, ?, ?)",
        [(run.uid, name, value, number_of(value)) for name, value in run.params.items()],
    )
    connection.executemany("INSERT INTO tags VALUES (?, ?, ?)", [(run.uid, *tag) for tag in run.tags.items()])
    at_ms = run.end_ms or run.start_ms
    put_last_values(connection, run.uid, ((name, 0, at_ms, value) for name, value in run.metrics.items()))
    return True


def drop_followed(
    connection: sqlite3.Connection, run_ids: Iterable[str], acknowledged: Callable[[str, str], bool]
) -> list[str]:
    """Remove runs that were deleted in MLflow, and hide journalled ones. Return their uids.

    Parameters
    ----------
    connection : Connection
        The index.
    run_ids : iterable of str
        MLflow's ids of the deleted runs.
    acknowledged : callable
        Whether this MLflow has acknowledged a journalled run, by its uid and MLflow's id of it.
    """
    dropped = []
    for run_id in run_ids:
        for uid, origin in connection.execute(
            "SELECT uid, origin FROM runs WHERE run_id = ? AND run_id <> '' AND started = 1", (run_id,)
        ).fetchall():
            if origin == "" and not acknowledged(uid, run_id):
                continue
            dropped.append(uid)
            if origin == "":
                connection.execute("UPDATE runs SET started = -1 WHERE uid = ?", (uid,))
            else:
                _delete(connection, uid)
    return dropped


def delivered_ids(
    connection: sqlite3.Connection, run_id_of: Callable[[str], str | None], model_id_of: Callable[[str], str | None]
) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]] | None:
    """MLflow's ids that the index lacks, as ``(run id, uid)`` and ``(model id, model uid, uid)``; None for none."""
    runs = [
        (run_id, uid)
        for (uid,) in connection.execute("SELECT uid FROM runs WHERE run_id = ''").fetchall()
        if (run_id := run_id_of(uid))
    ]
    models = [
        (model_id, key, uid)
        for key, uid in connection.execute("SELECT model_uid, uid FROM models WHERE model_id = ''").fetchall()
        if (model_id := model_id_of(key))
    ]
    return (runs, models) if runs or models else None


def put_ids(
    connection: sqlite3.Connection, runs: list[tuple[str, str]], models: list[tuple[str, str, str]]
) -> list[str]:
    """Write what :func:`delivered_ids` found. Return the uids of runs that changed."""
    connection.executemany("UPDATE runs SET run_id = ? WHERE uid = ?", runs)
    connection.executemany("UPDATE models SET model_id = ? WHERE model_uid = ?", [model[:2] for model in models])
    return [*(uid for _, uid in runs), *(uid for *_, uid in models)]


def leave_store(connection: sqlite3.Connection) -> list[str]:
    """Remove everything that came from the MLflow followed until now. Return the uids of runs that changed."""
    others = [uid for (uid,) in connection.execute("SELECT uid FROM runs WHERE origin <> ''").fetchall()]
    for uid in others:
        _delete(connection, uid)
    own = connection.execute(
        "UPDATE runs SET run_id = '', started = abs(started) WHERE run_id <> '' OR started = -1 RETURNING uid"
    ).fetchall()
    connection.execute("UPDATE models SET model_id = ''")
    return [*others, *(uid for (uid,) in own)]


def _delete(connection: sqlite3.Connection, uid: str) -> None:
    for table in ("runs", "params", "tags", "metrics"):
        connection.execute(f"DELETE FROM {table} WHERE uid = ?", (uid,))


def followed_open(connection: sqlite3.Connection, limit: int) -> list[str]:
    """MLflow's ids of running runs that others write, the newest first."""
    rows = connection.execute(
        "SELECT run_id FROM runs WHERE status = 'RUNNING' AND origin = 'mlflow' ORDER BY start_ms DESC LIMIT ?",
        (limit,),
    )
    return [run_id for (run_id,) in rows]


def missing(connection: sqlite3.Connection, runs: Sequence[Run], before: Sequence[Run], *, last: bool) -> list[str]:
    """MLflow's ids of indexed runs whose start time belongs on a page that does not have them.

    Parameters
    ----------
    connection : Connection
        The index.
    runs, before : sequence of Run
        The page, and the one before it, empty for the first.
    last : bool
        It is the last page, so that all older runs belong on it too.
    """
    newest = before[-1].start_ms if before else MAX_INT
    # Runs that started in the same millisecond as the last one may be on the next page.
    oldest = runs[-1].start_ms if runs and not last else -1
    present = {run.run_id for run in (*before, *runs)}
    rows = connection.execute(
        "SELECT run_id FROM runs WHERE start_ms > ? AND start_ms <= ? AND run_id <> '' AND started = 1",
        (oldest, newest),
    )
    return [run_id for (run_id,) in rows if run_id not in present]


def _values(
    connection: sqlite3.Connection, uid: str
) -> tuple[dict[str, str], dict[str, str], dict[str, JsonNumber | None]]:
    params, tags = (
        dict(connection.execute(f"SELECT name, value FROM {table} WHERE uid = ?", (uid,)).fetchall())
        for table in ("params", "tags")
    )
    metrics = connection.execute("SELECT name, coalesce(text, value) FROM metrics WHERE uid = ?", (uid,)).fetchall()
    return params, tags, dict(metrics)
