"""The backlog: records that are in the read index and not in MLflow, and their age."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Record
from mlops_workbench.tracking.journals.files import (
    REAPER,
    SELECT_CURSORS,
    Cursor,
    JournalFile,
    cursors_of,
    read_batch,
)
from mlops_workbench.tracking.sqlite import connect_read_only

#: Records that are searched for the time of the oldest one.
_PROBED_RECORDS = 50


class Backlog(NamedTuple):
    """Bytes and records that wait, and the age of the oldest in seconds."""

    size: int
    records: int
    seconds: float


def backlog(files: Sequence[JournalFile], read: Mapping[str, Cursor], delivered: Mapping[str, Cursor]) -> Backlog:
    """Compare how far journals were read with how far they were delivered."""
    size = records = 0
    oldest = None
    # Records are numbered over all files of a session.
    last: dict[str, int] = {}
    for file in files:
        indexed, sent = read.get(file.name), delivered.get(file.name, Cursor())
        before = last.get(file.session, -1)
        if indexed is None:
            continue
        last[file.session] = max(before, indexed.sequence)
        if indexed.offset <= sent.offset:
            continue
        size += indexed.offset - sent.offset
        records += max(indexed.sequence - max(sent.sequence, before), 0)
        at_ms = _time_of_next(file, sent)
        oldest = at_ms if oldest is None or (at_ms and at_ms < oldest) else oldest
    return Backlog(size, records, max((now_ms() - oldest) / 1000, 0.0) if oldest else 0.0)


def progress(log: Path) -> tuple[dict[str, Cursor], int]:
    """How far each journal was delivered by a delivery log, and the number of values that MLflow refused.

    Read on a connection of its own, which does not wait for the delivery that goes on.
    """
    try:
        with contextlib.closing(connect_read_only(log, timeout=1.0)) as connection:
            refused = connection.execute("SELECT count(*) FROM problems").fetchone()[0]
            return cursors_of(connection.execute(SELECT_CURSORS)), refused
    except sqlite3.Error:
        # Damaged or deleted: the delivery notices and begins again, with everything.
        return {}, 0


def undelivered(files: Sequence[JournalFile], delivered: Mapping[str, Cursor], run_uid: str | None) -> dict[str, int]:
    """Offset up to which each file must be delivered for all its present records, or those of one run."""
    targets: dict[str, int] = {}
    for file in files:
        cursor = delivered.get(file.name, Cursor())
        while not cursor.done:
            batch = read_batch(file.path, cursor)
            for entry in batch.entries:
                if run_uid is None or getattr(entry.record, "run_uid", None) == run_uid:
                    targets[file.name] = entry.end
            cursor = batch.cursor
            if batch.exhausted:
                break
    return targets


def in_sync(
    files: Sequence[JournalFile], read: Mapping[str, Cursor], delivered: Mapping[str, Cursor], sessions: set[str]
) -> bool:
    """Whether index and MLflow have the same records of these sessions, and of the reaper."""
    return all(
        read.get(file.name, Cursor()).offset == delivered.get(file.name, Cursor()).offset
        for file in files
        if file.session in sessions or file.session.startswith(REAPER)
    )


def _time_of_next(file: JournalFile, cursor: Cursor) -> int | None:
    batch = read_batch(file.path, cursor, frames=_PROBED_RECORDS)
    times = (_time(entry.record) for entry in batch.entries if entry.record is not None)
    return next((at_ms for at_ms in times if at_ms), None)


def _time(record: Record) -> int | None:
    for name in ("at_ms", "start_ms", "started_ms", "end_ms"):
        found = getattr(record, name, 0)
        if found:
            return int(found)
    return None
