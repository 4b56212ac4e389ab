"""Metrics of runs that have just ended, read from the journals: the read index may not know them yet."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.records import TYPE_NUMBERS, Metrics, Number, decode
from mlops_workbench.journal import read_frames
from mlops_workbench.tracking.journals.files import journal_files

log = logging.getLogger("mlops_workbench.pipelines")

#: Of the time stamps of files, and of clocks that two hosts of a shared folder set.
_SLACK_SECONDS = 120.0


def read_metrics(journal: Path, run_uids: Collection[str], since_ms: int) -> dict[str, dict[str, Number]]:
    """The last value of each metric of some runs, without the use of resources.

    Parameters
    ----------
    journal : Path
        Folder of the journals.
    run_uids : collection of str
        Runs, whose processes have ended, so that their journals are written.
    since_ms : int
        Start of the first of them, in milliseconds since the epoch: journals that ended before are not read.

    Returns
    -------
    dict
        For each of the runs its metrics by name, in the order in which they were first logged. The last value is that
        of the highest step, then time, then value, as in MLflow.
    """
    last: dict[str, dict[str, tuple[tuple[int, int, Number], Number]]] = {uid: {} for uid in run_uids}
    wanted = [uid.encode() for uid in run_uids]
    for file in journal_files(journal):
        if not _changed_since(file.path, since_ms):
            continue
        try:
            for frame in read_frames(file.path):
                # Other kernels log a lot, and few records are of these runs.
                if frame.type != TYPE_NUMBERS[Metrics] or not any(uid in frame.payload for uid in wanted):
                    continue
                record = decode(frame.type, frame.payload)
                if isinstance(record, Metrics) and record.run_uid in last and record.origin != "system":
                    _add(last[record.run_uid], record)
        except (StorageError, msgspec.DecodeError):
            log.warning("metrics in %s cannot be read", file.name, exc_info=True)
    return {uid: {name: value for name, (_, value) in found.items()} for uid, found in last.items()}


def _add(last: dict[str, tuple[tuple[int, int, Number], Number]], record: Metrics) -> None:
    for name, value in record.values.items():
        rank = (record.step, record.at_ms, value if _comparable(value) else 0.0)
        if name not in last or rank >= last[name][0]:
            last[name] = (rank, value)


def _comparable(value: Number) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and not math.isnan(value))


def _changed_since(path: Path, since_ms: int) -> bool:
    try:
        return path.stat().st_mtime > since_ms / 1000 - _SLACK_SECONDS
    except OSError:
        return False


class MetricsReader:
    """Metrics of runs that go on; what the journals had before is not read again.

    Parameters
    ----------
    journal : Path
        Folder of the journals.
    since_ms : int
        Start of the first run, in milliseconds since the epoch.
    """

    def __init__(self, journal: Path, since_ms: int) -> None:
        self._journal = journal
        self._since_ms = since_ms
        self._cursors: dict[Path, tuple[int, int, int]] = {}  # size, offset, sequence
        self._last: dict[str, dict[str, tuple[tuple[int, int, Number], Number]]] = {}

    def watch(self, run_uid: str) -> None:
        """Note the metrics of a run from now on; call it before the first one is logged."""
        self._last.setdefault(run_uid, {})

    def take(self, run_uids: Collection[str]) -> dict[str, dict[str, Number]]:
        """Metrics of watched runs that have ended, as `read_metrics` returns them; they are not watched any more."""
        wanted = [uid.encode() for uid in self._last]
        for file in journal_files(self._journal):
            try:
                self._read(file.path, wanted)
            except (StorageError, OSError, msgspec.DecodeError):
                log.warning("metrics in %s cannot be read", file.name, exc_info=True)
        found = {uid: self._last.pop(uid, {}) for uid in run_uids}
        return {uid: {name: value for name, (_, value) in metrics.items()} for uid, metrics in found.items()}

    def _read(self, path: Path, wanted: list[bytes]) -> None:
        size = path.stat().st_size
        known, offset, sequence = self._cursors.get(path, (0, 0, -1))
        if size == known or (not known and not _changed_since(path, self._since_ms)):
            return
        for frame in read_frames(path, offset, after=sequence):
            offset, sequence = frame.end, frame.sequence
            if frame.type == TYPE_NUMBERS[Metrics] and any(uid in frame.payload for uid in wanted):
                record = decode(frame.type, frame.payload)
                if isinstance(record, Metrics) and record.run_uid in self._last and record.origin != "system":
                    _add(self._last[record.run_uid], record)
        self._cursors[path] = (size, offset, sequence)
