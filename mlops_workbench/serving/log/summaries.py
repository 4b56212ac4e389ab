"""What a file of a log holds, hour by hour: what readers choose files and windows by, without opening them.

Digests are sums over rows of a hash of each row, so that the digest of several files is the sum of theirs, whatever
rows are in which file. They do not depend on the version of any library.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

#: Microseconds of an hour.
HOUR_US = 3_600_000_000

_PRIME, _SEED = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x2545F4914F6CDD1D)
_SHIFT = np.uint64(29)

#: Columns that the summary of predictions, or of feedback, is made from.
PREDICTION_COLUMNS = ("request_id", "row", "event_time", "version", "status", "arm", "model")
FEEDBACK_COLUMNS = ("request_id", "row", "label", "observed_at", "received_at", "event_time")


class Hour(msgspec.Struct, frozen=True, array_like=True):
    """Rows of one hour of the event time and one model version.

    Attributes
    ----------
    start_us : int
        Start of the hour in microseconds since the epoch.
    version : int
        Model version; 0 in feedback.
    rows : int
        Number of rows; of predictions only those that monitors count.
    first_us, last_us : int
        Event times of the first and the last of them.
    digest : int
        Sum of the hashes of the rows, 64 bits.
    """

    start_us: int
    version: int
    rows: int
    first_us: int
    last_us: int
    digest: int


def text_hashes(column: pa.Array | pa.ChunkedArray) -> NDArray[np.uint64]:
    """64-bit hash of each text; 0 for null."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    encoded = whole.dictionary_encode(null_encoding="encode")
    hashes = hashes_of(encoded.dictionary.to_pylist())
    places: NDArray[np.uint64] = hashes[encoded.indices.to_numpy(zero_copy_only=False)]
    return places


def hashes_of(texts: Iterable[str | None]) -> NDArray[np.uint64]:
    """64-bit hash of each text; 0 for None."""
    return np.fromiter((0 if text is None else xxh3_64_intdigest(text.encode()) for text in texts), np.uint64)


def micros(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A timestamp column as microseconds; null as 0."""
    plain: NDArray[np.int64] = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
    return plain


def counted(table: pa.Table) -> NDArray[np.bool_]:
    """Which predictions monitors count: answers of visible arms with an event time."""
    good = pc.and_(pc.greater_equal(table["status"], 200), pc.less(table["status"], 300))
    visible = pc.fill_null(pc.not_equal(table["arm"], "shadow"), True)
    mask = pc.and_(pc.and_(pc.fill_null(good, False), visible), pc.is_valid(table["event_time"]))
    chosen: NDArray[np.bool_] = mask.to_numpy()
    return chosen


def prediction_hours(table: pa.Table) -> list[Hour]:
    """Summary of predictions with the columns ``PREDICTION_COLUMNS``."""
    table = table.filter(pa.array(counted(table)))
    if not table.num_rows:
        return []
    event = micros(table["event_time"])
    version = pc.fill_null(table["version"].cast(pa.int64()), 0).to_numpy()
    digest = _mixed(text_hashes(table["request_id"]), _whole(table["row"]), event, version)
    return _hours(event, version, digest)


def feedback_hours(table: pa.Table) -> list[Hour]:
    """Summary of outcomes with the columns ``FEEDBACK_COLUMNS``; those of unknown rows do not count."""
    table = table.filter(pc.is_valid(table["event_time"]))
    if not table.num_rows:
        return []
    event = micros(table["event_time"])
    label = table["label"]
    numeric = not (pa.types.is_string(label.type) or pa.types.is_large_string(label.type))
    labels: NDArray[Any] = (
        pc.fill_null(label.cast(pa.float64()), np.nan).to_numpy().view(np.uint64) if numeric else text_hashes(label)
    )
    digest = _mixed(
        text_hashes(table["request_id"]), _whole(table["row"]), labels,
        micros(table["received_at"]), micros(table["observed_at"]),
    )  # fmt: skip
    return _hours(event, np.zeros(len(event), np.int64), digest)


def _whole(column: pa.ChunkedArray) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = pc.fill_null(column.cast(pa.int64()), -1).to_numpy()
    return numbers


def _mixed(*parts: NDArray[Any]) -> NDArray[np.uint64]:
    total = np.full(len(parts[0]), _SEED)
    for part in parts:
        total = (total ^ part.astype(np.uint64)) * _PRIME
        total ^= total >> _SHIFT
    return total


def _hours(event: NDArray[np.int64], version: NDArray[np.int64], digest: NDArray[np.uint64]) -> list[Hour]:
    hour = event // HOUR_US
    order = np.lexsort((version, hour))
    hour, version, event, digest = hour[order], version[order], event[order], digest[order]
    starts = np.flatnonzero(np.r_[True, (hour[1:] != hour[:-1]) | (version[1:] != version[:-1])])
    sizes = np.diff(np.r_[starts, len(hour)])
    columns = (
        hour[starts] * HOUR_US, version[starts], sizes, np.minimum.reduceat(event, starts),
        np.maximum.reduceat(event, starts), np.add.reduceat(digest, starts),
    )  # fmt: skip
    return [Hour(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
