"""Which files a log has: segments as they were written, and compacted files that stand for many of them.

A log is a folder with a folder for each day, ``date=<YYYY-MM-DD>``. A compacted file names in its footer the files that
it replaces, and readers pass over those while they are still there. So the appearance of that file is what puts it
in their place, in one step. Readers hold `reading`, which keeps files from being replaced or deleted meanwhile.
The catalog of a day repeats what the footers say, and is made again when it is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_workbench.core.files import write_atomic
from mlops_workbench.serving.log.summaries import Hour

#: Prefix of compacted files.
COMPACTED = "compact-"
#: Suffix of the file beside a compacted one that has its request ids.
IDS = ".ids"
CATALOG = ".catalog.json"
#: Key of the entry in the footer of a compacted file.
FOOTER = b"mlops.log"

#: Whoever wants one of the locks holds the turn meanwhile, so that one reader after another keeps no writer waiting.
_LOCK, _TURN, _REMOVED = ".lock", ".turn.lock", ".removed.json"
#: Seconds after which a later change of a folder surely has another time.
_SETTLED_NS = 2_000_000_000
_PAUSE = 0.005


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a log.

    Attributes
    ----------
    name : str
        Name of the file within its folder.
    rows : int
        Number of its rows.
    group : str
        Of files with the same group, the rows can be in one file: they have the same model and columns.
    model : str
        Registered model; empty in feedback.
    hours : list of Hour
        Its rows by the hour.
    has_time : bool
        Whether it has a column ``event_time``; feedback of earlier versions has none.
    replaces : tuple of str
        Names of the files that it stands for, as far as they may still be there.
    """

    name: str
    rows: int
    group: str
    model: str = ""
    hours: list[Hour] = []
    has_time: bool = True
    replaces: tuple[str, ...] = ()


class _Catalog(msgspec.Struct):
    entries: list[Entry] = []


_decode_catalog = msgspec.json.Decoder(_Catalog).decode


@dataclass(frozen=True)
class Partition:
    """The files of one day: compacted ones, segments, what is left of replaced ones, and what cannot be read.

    `is_catalogued` tells whether the catalog has exactly the compacted files.
    """

    folder: Path
    compacted: list[Entry] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    is_catalogued: bool = True


def partitions(folder: Path) -> list[Path]:
    """Folders of the days of a log, oldest first, after the log's own folder, where earlier versions wrote feedback."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.startswith("date=") and entry.is_dir())
    except OSError:
        return []
    return [folder, *(folder / name for name in names)]


def read_partition(folder: Path) -> Partition:
    """The files of a day; call it in `reading`, or as the one who compacts."""
    try:
        with os.scandir(folder) as found:
            names = sorted(one.name for one in found if one.name.endswith(".parquet") and not one.name.startswith("."))
    except OSError:
        return Partition(folder)
    known: dict[str, Entry] = {}
    compacted = [name for name in names if name.startswith(COMPACTED)]
    if compacted:
        known = {entry.name: entry for entry in _read_catalog(folder).entries}
    entries, damaged = [], []
    for name in compacted:
        try:
            entries.append(known[name] if name in known else footer_entry(folder / name))
        except (OSError, pa.ArrowException):
            damaged.append(name)
    gone = {name for entry in entries for name in entry.replaces}
    return Partition(
        folder,
        [entry for entry in entries if entry.name not in gone],
        [name for name in names if not name.startswith(COMPACTED) and name not in gone],
        [name for name in names if name in gone],
        damaged,
        known.keys() == {entry.name for entry in entries},
    )


def footer_entry(path: Path) -> Entry:
    """What the footer of a compacted file says about it.

    Raises
    ------
    OSError, pyarrow.ArrowException
        It cannot be read, or is none.
    """
    with open(path, "rb") as file:
        metadata = pq.read_metadata(file).metadata or {}
    try:
        return msgspec.json.decode(metadata[FOOTER], type=Entry)
    except (KeyError, msgspec.DecodeError) as error:
        raise OSError(f"{path} is not a compacted file of a log: {error}") from error


def write_catalog(partition: Partition) -> None:
    """Write what a day's compacted files have in their footers; leftovers of replaced ones must be deleted before."""
    entries = [msgspec.structs.replace(entry, replaces=()) for entry in partition.compacted]
    write_atomic(partition.folder / CATALOG, msgspec.json.encode(_Catalog(entries)))


def _read_catalog(folder: Path) -> _Catalog:
    try:
        return _decode_catalog((folder / CATALOG).read_bytes())
    except (OSError, msgspec.DecodeError):
        return _Catalog()


class DayFiles:
    """The files of every day of a log; the folder of a day is read again only when it has changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._days: dict[Path, tuple[int, Partition]] = {}

    def read(self) -> list[Partition]:
        """All days, oldest first; call it in `reading`."""
        found = []
        days = {}
        for folder in partitions(self.folder):
            stamp = settled_stamp(folder)
            before = self._days.get(folder)
            day = before[1] if before is not None and stamp and before[0] == stamp else read_partition(folder)
            if day.compacted or day.segments or day.damaged:
                found.append(day)
            if stamp:
                days[folder] = (stamp, day)
        self._days = days
        return found


def settled_stamp(folder: Path) -> int:
    """Time of the last change of a folder; 0 if another change might have the same time."""
    try:
        changed = folder.stat().st_mtime_ns
    except OSError:
        return 0
    return changed if changed < time.time_ns() - _SETTLED_NS else 0


@contextlib.contextmanager
def reading(*folders: Path) -> Iterator[None]:
    """Keep the files of logs from being replaced or deleted; new ones may appear."""
    with contextlib.ExitStack() as held:
        for folder in folders:
            if folder.is_dir():
                turn, lock = _open(folder / _TURN), _open(folder / _LOCK)
                held.callback(os.close, lock)
                try:
                    fcntl.flock(turn, fcntl.LOCK_SH)
                    fcntl.flock(lock, fcntl.LOCK_SH)
                finally:
                    os.close(turn)
        yield


@contextlib.contextmanager
def changing(folder: Path, *, seconds: float) -> Iterator[bool]:
    """Wait until nobody reads a log, and keep readers away; yields False after `seconds`."""
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as held:
        for name in (_TURN, _LOCK):
            descriptor = _open(folder / name)
            held.callback(os.close, descriptor)
            while not _taken(descriptor):
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(_PAUSE)
        yield True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def note_removal(folder: Path, day: str) -> None:
    """Keep that the rule of retention has removed answers of a day, ``YYYY-MM-DD``, which feedback may still name."""
    if day > removed_until(folder):
        write_atomic(folder / _REMOVED, msgspec.json.encode({"until": day}))


def removed_until(folder: Path) -> str:
    """Last day of which answers were removed; empty if none were."""
    try:
        return msgspec.json.decode((folder / _REMOVED).read_bytes(), type=dict[str, str]).get("until", "")
    except (OSError, msgspec.DecodeError):
        return ""
