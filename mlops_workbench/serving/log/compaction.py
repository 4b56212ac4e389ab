"""Compaction of a log: many small files become few large ones, sorted by the event time.

A file is replaced only when nothing can be missing in it or come to it: a segment when its session has left the
journal, since the conversion of a session that was cut short looks for the segments that it made. Steps, each of which
may be the last one of a process: the new file and its index are written under temporary names; the index gets its name;
while nobody reads, the file gets its name, by which it replaces the others; these are deleted; the catalog is written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log as logarithm
from pathlib import Path
from typing import Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_workbench.core.files import file_lock, put_aside, sync_folder
from mlops_workbench.core.ids import new_id
from mlops_workbench.serving.desired import JOURNAL
from mlops_workbench.serving.log.catalog import (
    CATALOG,
    COMPACTED,
    FOOTER,
    IDS,
    Entry,
    Partition,
    changing,
    partitions,
    read_partition,
    settled_stamp,
    write_catalog,
)
from mlops_workbench.serving.log.journal import sessions_of
from mlops_workbench.serving.log.request_index import RequestIndex
from mlops_workbench.serving.log.segments import prepared_parquet

log = logging.getLogger("mlops_workbench.serving")

#: Rows and values of the largest file that is made, which is in memory meanwhile.
_MOST_ROWS, _MOST_VALUES = 1 << 19, 1 << 24
#: Rows of a row group, the smallest part that is read.
_GROUP_ROWS = 1 << 15
#: Files of about one size that are merged, and the factor between two sizes.
_FAN_IN = 8
#: Seconds after the last change of a past day until its files are merged whatever their sizes.
_CLOSED_SECONDS = 600.0
#: Seconds to wait for those who read the log, and after which a temporary file is a leftover of a killed process.
_PATIENCE, _LEFTOVER_SECONDS = 2.0, 3600.0
_LOCK = ".compaction.lock"


class LogKind(Protocol):
    """What a log holds: see `kinds`."""

    def entry(self, name: str, table: pa.Table) -> Entry:
        """Summary of a file with the rows of `table`."""

    def group(self, path: Path) -> str:
        """Files of the same group can become one."""

    def prepared(self, table: pa.Table) -> pa.Table:
        """Rows as they are in compacted files."""

    def index(self, table: pa.Table) -> RequestIndex | None:
        """Index of the rows, None for a log without."""


@dataclass(frozen=True)
class _File:
    """A file that may be merged: its size in rows, its group, and whether a merge of it alone would change it."""

    name: str
    rows: int
    group: str
    is_segment: bool


class Compactor:
    """Compacts a log again and again, and looks only at days that have changed.

    Parameters
    ----------
    folder : Path
        ``predictions/endpoint=<name>`` or ``feedback/endpoint=<name>``.
    kind : LogKind
        What it holds.
    closed_seconds : float
        Seconds after the last change of a past day until its files are merged whatever their sizes.
    """

    def __init__(self, folder: Path, kind: LogKind, *, closed_seconds: float = _CLOSED_SECONDS) -> None:
        self.folder = folder
        self._kind = kind
        self._closed_seconds = closed_seconds
        self._done: dict[Path, int] = {}

    def step(self) -> int:
        """Merge what is worth it, and return the number of files that were replaced.

        Raises
        ------
        OSError, pyarrow.ArrowException
            A file cannot be read or written; other days were compacted.
        """
        if not self.folder.is_dir():
            return 0
        replaced, problem = 0, None
        with file_lock(self.folder / _LOCK, wait=False) as held:
            if not held:
                return 0
            for folder in partitions(self.folder):
                stamp = settled_stamp(folder)
                if stamp and self._done.get(folder) == stamp:
                    continue
                try:
                    found, is_done = self._partition(folder)
                except (OSError, pa.ArrowException) as error:
                    problem = error
                    continue
                replaced += found
                stamp = settled_stamp(folder)
                if is_done and stamp:
                    self._done[folder] = stamp
        if problem is not None:
            raise problem
        return replaced

    def _partition(self, folder: Path) -> tuple[int, bool]:
        """Compact a day; says how many files were replaced, and whether only a change can give more to do."""
        _delete_leftovers(folder)
        day = read_partition(folder)
        if day.replaced:
            # Before anything else: no file names them once the one that does is itself replaced.
            _delete(folder, day.replaced)
        if not day.is_catalogued:
            write_catalog(day)
        is_past = folder == self.folder or folder.name < f"date={datetime.now(UTC):%Y-%m-%d}"
        is_closed = is_past and folder.stat().st_mtime < time.time() - self._closed_seconds
        # Listed after the files: a session that is not in the journal any more has all its segments in this list.
        open_sessions = sessions_of(self.folder / JOURNAL)
        segments = [name for name in day.segments if name.rsplit("-", 2)[0] not in open_sessions]
        replaced = 0
        for names in _plan(self._files(day, segments), is_closed):
            if not self._merge(folder, names):
                return replaced, False
            replaced += len(names)
        if replaced:
            write_catalog(read_partition(folder))
        settles = is_closed or len(day.segments) + len(day.compacted) == 0
        return replaced, settles and not replaced and len(segments) == len(day.segments)

    def _files(self, day: Partition, segments: Sequence[str]) -> Iterator[_File]:
        for name in segments:
            path = day.folder / name
            with _damage_put_aside(path):
                with open(path, "rb") as file:
                    rows = pq.read_metadata(file).num_rows
                yield _File(name, rows, self._kind.group(path), True)
        for entry in day.compacted:
            yield _File(entry.name, entry.rows, entry.group, False)

    def _merge(self, folder: Path, names: Sequence[str]) -> bool:
        """Replace files by one; False if somebody reads the log for long."""
        tables = []
        for name in names:
            with _damage_put_aside(folder / name), open(folder / name, "rb") as file:
                tables.append(self._kind.prepared(pq.ParquetFile(file).read(use_threads=False)))
        if len(tables) < len(names):
            return False
        table = pa.concat_tables([table.replace_schema_metadata(None) for table in tables])
        # Stable, so that the rows of a request stay together.
        table = table.take(pc.sort_indices(table["event_time"]))
        path = folder / f"{COMPACTED}{new_id()}.parquet"
        entry = msgspec.structs.replace(self._kind.entry(path.name, table), replaces=tuple(names))
        written = max((folder / name).stat().st_mtime_ns for name in names)
        index = self._kind.index(table)
        table = table.replace_schema_metadata({FOOTER: msgspec.json.encode(entry)})
        with prepared_parquet(path, table, row_group_size=_GROUP_ROWS) as temporary:
            if index is not None:
                index.write(path.with_suffix(IDS))
            # The rule of retention goes by the time when rows were written.
            os.utime(temporary, ns=(written, written))
            with changing(self.folder, seconds=_PATIENCE) as alone:
                # Somebody else may have deleted or put aside a file meanwhile.
                if not alone or not all((folder / name).exists() for name in names):
                    with contextlib.suppress(FileNotFoundError):
                        path.with_suffix(IDS).unlink()
                    return False
                os.replace(temporary, path)
        sync_folder(folder)
        _delete(folder, names)
        return True


def _plan(files: Iterable[_File], is_closed: bool) -> list[list[str]]:
    """Which files become one: of a closed day all, else those of about one size when there are many."""
    classes: defaultdict[tuple[str, int], list[_File]] = defaultdict(list)
    for file in sorted(files, key=lambda one: (one.is_segment, one.name)):
        if file.is_segment or file.rows < _full(file):
            size = 0 if is_closed else -1 if file.is_segment else int(logarithm(max(file.rows, 1), _FAN_IN))
            classes[file.group, size].append(file)
    merges = []
    for members in classes.values():
        if len(members) >= (1 if is_closed else _FAN_IN):
            merges += _filled(members)
    return merges


def _full(file: _File) -> int:
    columns = int(file.group.partition(":")[0] or 1)
    return min(_MOST_ROWS, max(_MOST_VALUES // columns, 1)) // 2


def _filled(members: list[_File]) -> list[list[str]]:
    """Parts whose rows fit into one file; a part of one compacted file is left out."""
    parts: list[list[_File]] = []
    rows = 0
    for file in members:
        if not parts or rows + file.rows > 2 * _full(file):
            parts.append([])
            rows = 0
        parts[-1].append(file)
        rows += file.rows
    return [[file.name for file in part] for part in parts if len(part) > 1 or part[0].is_segment]


@contextlib.contextmanager
def _damage_put_aside(path: Path) -> Iterator[None]:
    """Rename a file that cannot be read, as monitors do, so that it stops nothing; errors of the disk are raised."""
    try:
        yield
    except FileNotFoundError:
        # The rule of retention has deleted it.
        return
    except (OSError, pa.ArrowException) as error:
        # Arrow raises OSError without a number for damaged content.
        if isinstance(error, OSError) and error.errno is not None and not path.is_dir():
            raise
        log.warning("%s is damaged and does not count: %s; it is now %s", path, error, put_aside(path).name)


def _delete(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / name).unlink(missing_ok=True)
        if name.startswith(COMPACTED):
            (folder / name).with_suffix(IDS).unlink(missing_ok=True)


def _delete_leftovers(folder: Path) -> None:
    """Delete what a killed process has not finished: nothing refers to it."""
    names = {path.name for path in folder.iterdir()}
    for name in names:
        path = folder / name
        is_orphan = name.endswith(IDS) and name.removesuffix(IDS) + ".parquet" not in names
        with contextlib.suppress(FileNotFoundError):
            is_temporary = name.endswith(".tmp") or name.startswith((f".{COMPACTED}", f".{CATALOG}"))
            if is_orphan or (is_temporary and path.stat().st_mtime < time.time() - _LEFTOVER_SECONDS):
                path.unlink()


def lower_priority() -> None:
    """Let this thread run when no other one needs the processor, where the system has priorities of threads."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, 10)
