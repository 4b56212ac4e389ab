"""Whether rows were asked: looked up in the journals of all processes of an endpoint, and in its segments.

An answer moves from a journal to a segment, and from there to a compacted file. They are searched in this order, so
that none is missed on its way.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_workbench.core.errors import StorageError
from mlops_workbench.journal import read_frames
from mlops_workbench.journal.format import SUFFIX
from mlops_workbench.serving.desired import JOURNAL
from mlops_workbench.serving.log.catalog import IDS, DayFiles, reading, removed_until
from mlops_workbench.serving.log.journal import ANSWER
from mlops_workbench.serving.log.request_index import UNKNOWN, RequestIndex
from mlops_workbench.serving.log.summaries import hashes_of

log = logging.getLogger("mlops_workbench.serving")


class _Asked(msgspec.Struct, frozen=True, array_like=True):
    """First fields of `Record`; the values after them are not decoded."""

    context: int
    request_id: str
    answered_us: int
    event_us: int
    total_us: int
    predict_us: int
    rows: int


_decode = msgspec.msgpack.Decoder(_Asked).decode


class AskedRows:
    """Finds the rows that an endpoint has answered, in all its processes, now or before.

    What was read of a file is kept while the file is there: segments as arrays in memory, compacted files as maps.

    Parameters
    ----------
    folder : Path
        ``predictions/endpoint=<name>``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._days = DayFiles(folder)
        self._journals: dict[Path, _JournalFile] = {}
        self._indexes: dict[Path, RequestIndex] = {}
        self._lock = threading.Lock()

    @property
    def removed_until(self) -> str:
        """Last day of which the rule of retention has removed answers; empty if none were."""
        return removed_until(self._folder)

    def find(self, request_ids: Sequence[str], rows: Sequence[int]) -> NDArray[np.int64]:
        """Event time of each row in microseconds since the epoch, `UNKNOWN` for rows that are not in the log.

        Raises
        ------
        StorageError
            The log cannot be read.
        """
        # The same request often stands in many rows.
        numbers = {request: place for place, request in enumerate(dict.fromkeys(request_ids))}
        places = np.fromiter((numbers[request] for request in request_ids), np.int64, len(request_ids))
        hashes = hashes_of(numbers)[places]
        wanted = np.asarray(rows, np.int64)
        found = np.full(len(hashes), UNKNOWN)
        try:
            with self._lock, contextlib.closing(self._sources()) as sources:
                for index in sources:
                    left = np.flatnonzero(found == UNKNOWN)
                    if not len(left):
                        break
                    found[left] = index.find(hashes[left], wanted[left])
        except OSError as error:
            raise StorageError(
                f"the prediction log cannot be read: {error.strerror or error}",
                where=str(self._folder),
                hint="check that the folder is readable and writable",
            ) from error
        return found

    def _sources(self) -> Generator[RequestIndex, None, None]:
        yield from self._journal_indexes()
        with reading(self._folder):
            yield from self._file_indexes()

    def _journal_indexes(self) -> Iterable[RequestIndex]:
        files = {}
        for path in sorted((self._folder / JOURNAL).glob(f"*{SUFFIX}")):
            file = self._journals.get(path) or _JournalFile(path)
            try:
                file.read()
            except StorageError:
                if path.exists():
                    raise
                # Its answers have moved on to a segment, where they are looked for next.
                continue
            files[path] = file
        self._journals = files
        return [file.index() for file in files.values()]

    def _file_indexes(self) -> Iterator[RequestIndex]:
        segments: list[Path] = []
        compacted: list[Path] = []
        for day in reversed(self._days.read()):
            segments += [day.folder / name for name in reversed(day.segments)]
            compacted += [day.folder / entry.name for entry in reversed(day.compacted)]
        gone = self._indexes.keys() - {*segments, *compacted}
        for path in gone:
            del self._indexes[path]
        for path in segments:
            yield from self._index(path, RequestIndex.of_segment)
        for path in compacted:
            yield from self._index(path, _compacted_index)

    def _index(self, path: Path, load: Callable[[Path], RequestIndex]) -> Iterator[RequestIndex]:
        if path not in self._indexes:
            try:
                self._indexes[path] = load(path)
            except (OSError, pa.ArrowException) as error:
                # A monitor puts it aside and says so; the rows of other files can still be found.
                log.warning("rows of %s cannot be looked up: %s", path, error)
                return
        yield self._indexes[path]


def _compacted_index(path: Path) -> RequestIndex:
    try:
        return RequestIndex.open(path.with_suffix(IDS))
    except OSError:
        return RequestIndex.of_segment(path)


class _JournalFile:
    """The requests in a file of a journal, which may still grow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        self._last = -1
        self._hashes: list[int] = []
        self._events: list[int] = []
        self._rows: list[int] = []
        self._index: RequestIndex | None = None

    def read(self) -> None:
        """Read what was appended since the last call."""
        requests: list[str] = []
        for frame in read_frames(self._path, self._end, after=self._last):
            self._end, self._last = frame.end, max(self._last, frame.sequence)
            if frame.type != ANSWER:
                continue
            try:
                asked = _decode(frame.payload)
            except msgspec.MsgspecError:
                continue
            requests.append(asked.request_id)
            self._events.append(asked.event_us)
            self._rows.append(asked.rows)
        if requests:
            self._hashes += hashes_of(requests).tolist()
            self._index = None

    def index(self) -> RequestIndex:
        """Its requests so far."""
        if self._index is None:
            self._index = RequestIndex.of_runs(self._hashes, self._events, [0] * len(self._rows), self._rows)
        return self._index
