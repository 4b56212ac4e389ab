"""Edits of journalled runs in MLflow itself: names, notes, tags, and values that were added.

They are not in the journals, so the read index, and a rebuilt one, reads them from MLflow. An edit is a difference
from what delivery writes; it can be determined only for a run that is delivered completely.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from mlops_workbench.core.runs import Run
from mlops_workbench.core.tags import NOTE, RUN_NAME
from mlops_workbench.tracking.index.followed import number_of
from mlops_workbench.tracking.index.metrics import put_last_values
from mlops_workbench.tracking.mapping.values import MAX_RUN_NAME, MAX_TAG, as_text, clip, store_name
from mlops_workbench.tracking.sqlite import select_in

#: Whether a run (its uid, MLflow's id and the sessions that wrote it) was delivered to that id, and completely, before
#: MLflow was read.
Settled: TypeAlias = Callable[[str, str, set[str]], bool]

_NOTE = "note"


def put_edits(connection: sqlite3.Connection, runs: Sequence[Run], settled: Settled) -> list[str]:
    """Write edits of ended journalled runs to the index. Return the uids of the runs that changed.

    Names, notes and tags become those of MLflow. Parameters and metrics are added where the run has none of the name:
    a parameter in MLflow cannot change, and a metric may differ because MLflow could not store its value.
    A tag that was deleted in MLflow stays.

    Parameters
    ----------
    connection : Connection
        The index.
    runs : sequence of Run
        Runs as MLflow has them.
    settled : Settled
        Called for each run that differs in MLflow.
    """
    stored = {run.uid: run for run in runs}

    def query(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return connection.execute(sql, values).fetchall()

    sql = "SELECT uid, name FROM runs WHERE started = 1 AND origin = '' AND end_ms > 0 AND uid IN ?"
    own: dict[str, str] = dict(select_in(query, sql, list(stored)))
    known: dict[str, dict[str, dict[str, str]]] = {}
    for table, value in (("tags", "value"), ("params", "''"), ("metrics", "''")):
        known[table] = {uid: {} for uid in own}
        for uid, name, text in select_in(query, f"SELECT uid, name, {value} FROM {table} WHERE uid IN ?", list(own)):
            known[table][uid].update({name: text, store_name(name): text})
    changed = []
    for uid, name in own.items():
        run = stored[uid]
        new_name = run.name if name and run.name and run.name not in _delivered_names(name) else ""
        tags = dict(_edited_tags(run.tags, known["tags"][uid]))
        params = {key: text for key, text in run.params.items() if key not in known["params"][uid]}
        metrics = {key: value for key, value in run.metrics.items() if key not in known["metrics"][uid]}
        if not (new_name or tags or params or metrics):
            continue
        sessions = {name for (name,) in query("SELECT session FROM run_sessions WHERE uid = ?", (uid,))}
        if not settled(uid, run.run_id, sessions):
            continue
        if new_name:
            connection.execute("UPDATE runs SET name = ? WHERE uid = ?", (new_name, uid))
            connection.execute("UPDATE tags SET value = ? WHERE uid = ? AND name = ?", (new_name, uid, RUN_NAME))
        _put_tags(connection, uid, tags)
        connection.executemany(
            "INSERT OR IGNORE INTO params VALUES (?, ?, ?, ?)",
            [(uid, key, text, number_of(text)) for key, text in params.items()],
        )
        put_last_values(connection, uid, ((key, 0, run.end_ms, value) for key, value in metrics.items()))
        changed.append(uid)
    return changed


def _edited_tags(theirs: dict[str, str], ours: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Tags that differ in MLflow from the delivered ones, by their name in MLflow."""
    for key, text in theirs.items():
        name = key
        if key == NOTE and key not in ours:
            name = _NOTE
        elif key == _NOTE and NOTE in theirs:
            # Delivered under both names; MLflow's UI edits the other one.
            continue
        elif key.startswith(("mlflow.", "mlops.")) and (key not in ours or key == RUN_NAME):
            continue
        if name not in ours or text not in (ours[name], clip(as_text(ours[name]), MAX_TAG)):
            yield name, text


def _put_tags(connection: sqlite3.Connection, uid: str, tags: dict[str, str]) -> None:
    if not tags:
        return
    rows = connection.execute("SELECT name FROM tags WHERE uid = ?", (uid,)).fetchall()
    original = {store_name(name): name for (name,) in rows}
    connection.executemany(
        "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", [(uid, original.get(key, key), tags[key]) for key in tags]
    )


def _delivered_names(name: str) -> tuple[str, ...]:
    text = as_text(name)
    return name, clip(text, MAX_RUN_NAME), clip(text, MAX_TAG)
