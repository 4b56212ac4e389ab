"""Which files of the store each run refers to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_workbench.core.tags import KEEP
from mlops_workbench.tracking.journals.references import digests_in

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

#: Values of the tag that do not keep a run.
_NOT_KEPT = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class RunFiles:
    """A run by the read index, with the digests of its files; times are in milliseconds since the epoch.

    `kept` says that a tag keeps it; `run_id` is empty until it is in MLflow.
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


def files_of_runs(query: Query) -> list[RunFiles]:
    """All runs of the index, those that MLflow has deleted included."""
    blobs: defaultdict[str, set[str]] = defaultdict(set)
    for uid, digest in query("SELECT DISTINCT uid, digest FROM artifacts", ()):
        blobs[uid].add(digest)
    for uid, snapshot, schema in query("SELECT uid, snapshot, schema FROM datasets", ()):
        blobs[uid].update(digest for digest in (snapshot, schema) if digest)
    for uid, record in query("SELECT uid, record FROM models", ()):
        blobs[uid].update(digests_in(record))
    kept = {uid for uid, value in query("SELECT uid, value FROM tags WHERE name = ?", (KEEP,)) if _keeps(value)}
    columns = (
        "uid, run_id, experiment, name, status, start_ms, CASE WHEN end_ms THEN end_ms ELSE last_ms END, parent_uid"
    )
    rows = query(f"SELECT {columns} FROM runs", ())
    return [RunFiles(*row, row[0] in kept, frozenset(blobs.get(row[0], ()))) for row in rows]


def _keeps(value: str) -> bool:
    return value.strip().lower() not in _NOT_KEPT
