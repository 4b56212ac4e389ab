"""Which files of the store each run refers to."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import disk_error
from mlops_workbench.core.tags import KEEP
from mlops_workbench.tracking.index.schema import REBUILD_HINT
from mlops_workbench.tracking.journals.references import digests_in
from mlops_workbench.tracking.sqlite import connect_read_only

_WAIT_SECONDS = 30.0

#: Values of the tag that do not keep a run.
_NOT_KEPT = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class RunFiles:
    """A run by the read index, with the digests of its files; times are in milliseconds since the epoch.

    `kept` says that a tag keeps it; `data` are those of `blobs` that are snapshots of data; `run_id` is empty until it
    is in MLflow.
    """

    uid: str
    run_id: str
    experiment: str
    name: str
    status: str
    start_ms: int
    end_ms: int
    parent_uid: str
    kept: bool
    blobs: frozenset[str]
    data: frozenset[str] = frozenset()


def files_of_runs(index: Path) -> list[RunFiles] | None:
    """All runs of the index, those that MLflow has deleted included, as of one moment.

    Returns
    -------
    list of RunFiles or None
        None when not all runs of MLflow were read since this index was created.

    Raises
    ------
    StorageError
        The index cannot be read.
    """
    try:
        with closing(connect_read_only(index, timeout=_WAIT_SECONDS)) as connection:
            connection.execute("BEGIN")
            (restored,) = connection.execute("SELECT value FROM state WHERE name = 'restored'").fetchone()
            return _runs(connection) if restored else None
    except sqlite3.Error as error:
        raise disk_error(error, index.parent) or StorageError(
            f"cannot query the read index: {error}", where=str(index), hint=REBUILD_HINT
        ) from error


def _runs(connection: sqlite3.Connection) -> list[RunFiles]:
    blobs: defaultdict[str, set[str]] = defaultdict(set)
    data: defaultdict[str, set[str]] = defaultdict(set)
    for uid, digest in connection.execute("SELECT DISTINCT uid, digest FROM artifacts"):
        blobs[uid].add(digest)
    for uid, snapshot, schema in connection.execute("SELECT uid, snapshot, schema FROM datasets"):
        blobs[uid].update(digest for digest in (snapshot, schema) if digest)
        data[uid].update({snapshot} - {""})
    for uid, record in connection.execute("SELECT uid, record FROM models"):
        blobs[uid].update(digests_in(record))
    tags = connection.execute("SELECT uid, value FROM tags WHERE name = ?", (KEEP,))
    kept = {uid for uid, value in tags if _keeps(value)}
    ended = "CASE WHEN end_ms THEN end_ms ELSE last_ms END"
    columns = f"uid, run_id, experiment, name, status, start_ms, {ended}, parent_uid"
    rows = connection.execute(f"SELECT {columns} FROM runs").fetchall()
    return [
        RunFiles(*row, row[0] in kept, frozenset(blobs.get(row[0], ())), frozenset(data.get(row[0], ())))
        for row in rows
    ]


def _keeps(value: str) -> bool:
    return value.strip().lower() not in _NOT_KEPT
