"""Which rows of which requests a file of the log has, as arrays that are searched without being read.

Beside a compacted file lies ``<name>.ids``: a header of 32 bytes (magic, number of runs, checksum of the rest), then
four arrays, little-endian: hashes of the request ids in ascending order (uint64), event times in microseconds (int64),
first rows and numbers of rows (int32 each). A run is consecutive rows of one request with one event time.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from mlops_workbench.core.files import write_atomic
from mlops_workbench.serving.log.summaries import micros, text_hashes

#: Columns of the log that an index is made from.
COLUMNS = ["request_id", "row", "event_time"]
#: Event time of a row that is not there.
UNKNOWN = np.iinfo(np.int64).min

_HEADER = struct.Struct("<8sQQ8x")
_MAGIC = b"mlwbids1"
_RUN_BYTES = 24


@dataclass(frozen=True)
class RequestIndex:
    """Runs of rows by the hash of their request id, as parallel arrays."""

    hashes: NDArray[np.uint64]
    events: NDArray[np.int64]
    first: NDArray[np.int32]
    count: NDArray[np.int32]

    @classmethod
    def of_table(cls, table: pa.Table) -> RequestIndex:
        """Index of a table with `COLUMNS`; a request's rows need not be together."""
        hashes, event = text_hashes(table["request_id"]), micros(table["event_time"])
        row = table["row"].cast(pa.int32()).to_numpy()
        if not len(row):
            return cls.of_runs([], [], [], [])
        same = (hashes[1:] == hashes[:-1]) & (event[1:] == event[:-1]) & (row[1:] == row[:-1] + 1)
        starts = np.flatnonzero(np.r_[True, ~same])
        counts = np.diff(np.r_[starts, len(row)]).astype(np.int32)
        order = np.argsort(hashes[starts], kind="stable")
        starts = starts[order]
        return cls(hashes[starts], event[starts], row[starts], counts[order])

    @classmethod
    def of_runs(cls, hashes: list[int], events: list[int], first: list[int], count: list[int]) -> RequestIndex:
        """Index of runs in any order; of the same rows, the last ones count."""
        keys = np.array(hashes, np.uint64)
        order = np.argsort(keys, kind="stable")
        arrays = (np.array(events, np.int64), np.array(first, np.int32), np.array(count, np.int32))
        return cls(keys[order], *(array[order] for array in arrays))  # type: ignore[arg-type]

    @classmethod
    def of_segment(cls, path: Path) -> RequestIndex:
        """Index of a Parquet file of the log.

        Raises
        ------
        OSError, pyarrow.ArrowException
            It cannot be read.
        """
        with open(path, "rb") as file:
            return cls.of_table(pq.read_table(file, columns=COLUMNS))

    @classmethod
    def open(cls, path: Path) -> RequestIndex:
        """Map an index file.

        Raises
        ------
        OSError
            It cannot be read, or is damaged.
        """
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
        try:
            magic, runs, checksum = _HEADER.unpack_from(data)
        except struct.error:
            magic, runs, checksum = b"", 0, 0
        body = memoryview(data)[_HEADER.size :]
        if magic != _MAGIC or len(body) != runs * _RUN_BYTES or xxh3_64_intdigest(body) != checksum:
            raise OSError(f"{path} is damaged")
        return cls(
            np.frombuffer(body, "<u8", runs),
            np.frombuffer(body, "<i8", runs, 8 * runs),
            np.frombuffer(body, "<i4", runs, 16 * runs),
            np.frombuffer(body, "<i4", runs, 20 * runs),
        )

    def write(self, path: Path) -> None:
        """Write an index file atomically."""
        arrays = (
            self.hashes.astype("<u8"), self.events.astype("<i8"), self.first.astype("<i4"), self.count.astype("<i4"),
        )  # fmt: skip
        body = b"".join(array.tobytes() for array in arrays)
        write_atomic(path, _HEADER.pack(_MAGIC, len(self.hashes), xxh3_64_intdigest(body)) + body)

    def find(self, hashes: NDArray[np.uint64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Event time of each row of a request, `UNKNOWN` for those that are not here."""
        found = np.full(len(hashes), UNKNOWN)
        left = np.searchsorted(self.hashes, hashes, "left")
        right = np.searchsorted(self.hashes, hashes, "right")
        for at in np.flatnonzero(right - left > 1).tolist():
            # An id of several requests, or rows of one with several times: the last one counts.
            part = slice(int(left[at]), int(right[at]))
            behind = rows[at] - self.first[part]
            having = np.flatnonzero((behind >= 0) & (behind < self.count[part]))
            if len(having):
                found[at] = self.events[part][having[-1]]
        single = np.flatnonzero(right - left == 1)
        places = left[single]
        behind = rows[single] - self.first[places]
        inside = (behind >= 0) & (behind < self.count[places])
        found[single[inside]] = self.events[places[inside]]
        return found
