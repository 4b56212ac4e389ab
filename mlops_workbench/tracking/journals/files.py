"""Journal files of a workspace as batches of decoded records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.records import Record, decode
from mlops_workbench.journal import read_frames
from mlops_workbench.journal.format import SUFFIX

#: Prefix of the sessions of ingest itself, which hold the ends of runs whose process died.
REAPER = "reaper-"

_BATCH_FRAMES = 20_000
_BATCH_BYTES = 4 << 20


@dataclass(frozen=True)
class JournalFile:
    """A journal file, ``<session>-<number>.mlj``."""

    path: Path
    session: str
    number: str

    @property
    def name(self) -> str:
        """File name: the key of its cursors."""
        return self.path.name


class Entry(NamedTuple):
    """A frame of a journal file; `record` is None if its type is unknown or it cannot be decoded."""

    record: Record | None
    type: int
    payload: bytes
    end: int
    problem: str = ""


@dataclass(frozen=True)
class Cursor:
    """How far a file was read: offset of the next frame, number of the last one, whether nothing more will come."""

    offset: int = 0
    sequence: int = -1
    done: bool = False


#: Reads the table of cursors, which read index and delivery log have both.
SELECT_CURSORS = "SELECT file, offset, sequence, done FROM cursors"


def cursors_of(rows: Iterable[tuple[Any, ...]]) -> dict[str, Cursor]:
    """Cursors by file, from rows of `SELECT_CURSORS`."""
    return {file: Cursor(offset, sequence, bool(done)) for file, offset, sequence, done in rows}


@dataclass(frozen=True)
class JournalBatch:
    """Entries of one read, where the next read starts, and whether the file had no more."""

    entries: list[Entry] = field(default_factory=list)
    cursor: Cursor = Cursor()
    exhausted: bool = True
    problems: list[str] = field(default_factory=list)


def journal_files(folder: Path) -> list[JournalFile]:
    """All journal files, those of a session in the order of writing."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return []
    files = []
    for path in paths:
        session, _, number = path.stem.rpartition("-")
        files.append(JournalFile(path, session or path.stem, number))
    return files


def closed_files(files: list[JournalFile]) -> set[str]:
    """Names of files that have a later one of the same session: nothing is added to them."""
    newest = {file.session: file.name for file in files}
    return {file.name for file in files if newest[file.session] != file.name}


def read_batch(path: Path, cursor: Cursor, *, frames: int = _BATCH_FRAMES, size: int = _BATCH_BYTES) -> JournalBatch:
    """Read the records after `cursor`, at most `frames` of them and about `size` bytes.

    A missing file reads as empty; one that cannot be read is a problem of the batch, so that it does not
    block other files.
    """
    entries: list[Entry] = []
    problems: list[str] = []
    total, offset, sequence = 0, cursor.offset, cursor.sequence
    exhausted = True
    try:
        for frame in read_frames(path, offset, after=sequence):
            if 0 <= sequence < frame.sequence - 1:
                problems.append(f"{frame.sequence - sequence - 1} records lost to damage before byte {frame.end}")
            try:
                record, problem = decode(frame.type, frame.payload), ""
            except msgspec.DecodeError as error:
                record, problem = None, f"record of type {frame.type} cannot be read: {error}"
                problems.append(problem)
            entries.append(Entry(record, frame.type, frame.payload, frame.end, problem))
            total += len(frame.payload)
            offset, sequence = frame.end, max(sequence, frame.sequence)
            if len(entries) >= frames or total >= size:
                exhausted = False
                break
    except StorageError as error:
        if path.exists():
            problems.append(str(error))
    return JournalBatch(entries, Cursor(offset, sequence), exhausted, problems)
