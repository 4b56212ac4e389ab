"""The prediction log: every answered prediction, in Parquet segments that are written atomically.

A request only appends to memory; a thread writes. When the disk is too slow, or cannot be written, rows
wait in a bounded buffer; beyond that they are dropped and counted. No request waits for the log.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_workbench.core.ids import new_id
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import ColumnType, Signature
from mlops_workbench.serving.rows.values import Array
from mlops_workbench.serving.runtimes.estimator import PREDICT, PREDICT_PROBA, Prediction

log = logging.getLogger("mlops_workbench.serving")

TIMESTAMP = pa.timestamp("us", tz="UTC")

_ARROW: dict[ColumnType, pa.DataType] = {
    "boolean": pa.bool_(),
    "integer": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "datetime": TIMESTAMP,
}


@dataclass(frozen=True)
class Answered:
    """One answered request.

    Attributes
    ----------
    request_id : str
        Its id; rows are numbered from 0 within it.
    answered_us, event_us : int
        Time of the answer, and event time of its rows, in microseconds since 1970, UTC.
    model : str
        Registered model.
    version, digest
        Version that answered, and the digest of its files.
    arm : str
        Arm of a roll-out, by default ``champion``.
    protocol : str
        ``v2`` or ``invocations``.
    status : int
        HTTP status.
    total_us, predict_us : int
        Time from the last byte of the request to the answer, and of the model alone.
    batch, prediction
        Input and output.
    """

    request_id: str
    answered_us: int
    event_us: int
    model: str
    version: int
    digest: str
    arm: str
    protocol: str
    status: int
    total_us: int
    predict_us: int
    batch: Batch
    prediction: Prediction


class PredictionLog:
    """Buffers answers and writes them to segments in a thread.

    Parameters
    ----------
    folder : Path
        ``predictions/endpoint=<name>``; segments go to ``date=<YYYY-MM-DD>/`` below it.
    seconds : float
        Longest time an answer waits before it is on disk, while the disk can be written.
    rows : int
        Rows after which a segment is written at once.
    capacity : int, optional
        Rows that may wait; by default four segments.
    """

    def __init__(self, folder: Path, *, seconds: float, rows: int, capacity: int | None = None) -> None:
        self._folder = folder
        self._seconds = seconds
        self._rows = rows
        self._capacity = 4 * rows if capacity is None else capacity
        self._waiting: deque[Answered] = deque()
        self._waiting_rows = 0
        self._condition = threading.Condition()
        self._closing = False
        self.written = 0
        self.dropped = 0
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="prediction log", daemon=True)
        self._thread.start()

    def append(self, answered: Answered) -> None:
        """Add an answer to the buffer."""
        with self._condition:
            if self._closing or self._waiting_rows + answered.batch.rows > self._capacity:
                self.dropped += answered.batch.rows
                return
            self._waiting.append(answered)
            self._waiting_rows += answered.batch.rows
            if self._waiting_rows >= self._rows:
                self._condition.notify()

    def close(self) -> None:
        """Write the buffer, and end the thread; rows that cannot be written are counted as dropped."""
        with self._condition:
            if self._closing:
                return
            self._closing = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                # Half of the time, since writing takes some, too.
                self._condition.wait_for(self._is_due, timeout=self._seconds / 2)
                closing = self._closing
                taken = list(self._waiting)
            if taken:
                self._write(taken)
            if closing:
                with self._condition:
                    self.dropped += self._waiting_rows
                return
            if self.problem:
                # The disk is full or unavailable.
                time.sleep(min(self._seconds / 2, 1.0))

    def _is_due(self) -> bool:
        return self._closing or (self._waiting_rows >= self._rows and not self.problem)

    def _write(self, taken: Sequence[Answered]) -> None:
        def segment_of(answered: Answered) -> tuple[str, str, Signature]:
            day = datetime.fromtimestamp(answered.answered_us / 1e6, UTC).strftime("%Y-%m-%d")
            return day, answered.digest, answered.batch.signature

        for (day, _, _), group in groupby(taken, key=segment_of):
            members = list(group)
            rows = sum(member.batch.rows for member in members)
            try:
                table = segment(members)
            except Exception:
                # A retry would fail again, and block all later rows.
                log.exception("%s predicted rows cannot be logged and are dropped", rows)
                self._settle(members, dropped=rows)
                continue
            try:
                write_parquet(self._folder / f"date={day}" / f"{new_id()}.parquet", table)
                problem = ""
            except (OSError, pa.ArrowException) as error:
                problem = f"{type(error).__name__}: {error}"
            if problem and problem != self.problem:
                log.warning("predictions cannot be logged: %s", problem)
            self.problem = problem
            if problem:
                return
            self._settle(members, written=rows)

    def _settle(self, members: Sequence[Answered], *, written: int = 0, dropped: int = 0) -> None:
        with self._condition:
            for _ in members:
                self._waiting.popleft()
            self._waiting_rows -= written + dropped
            self.written += written
            self.dropped += dropped


def segment(members: Sequence[Answered]) -> pa.Table:
    """Table of answers of one model version, with one row per predicted row.

    Columns: request_id, row, ts, event_time, model, version, digest, arm, protocol, status, total_us, predict_us,
    ``feature.<name>`` for every input, prediction, probabilities (null unless they were requested).
    """
    sizes = [member.batch.rows for member in members]

    def spread(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        if kind == pa.string():
            codes = pa.array(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes))
            return pa.array(values, type=kind).take(codes)
        return pa.array(np.repeat(np.array(values, dtype=np.int64), sizes)).cast(kind)

    columns: dict[str, pa.Array] = {
        "request_id": spread([member.request_id for member in members], pa.string()),
        "row": pa.array(np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])),
        "ts": spread([member.answered_us for member in members], TIMESTAMP),
        "event_time": spread([member.event_us for member in members], TIMESTAMP),
        "model": spread([member.model for member in members], pa.string()),
        "version": spread([member.version for member in members], pa.int32()),
        "digest": spread([member.digest for member in members], pa.string()),
        "arm": spread([member.arm for member in members], pa.string()),
        "protocol": spread([member.protocol for member in members], pa.string()),
        "status": spread([member.status for member in members], pa.int16()),
        "total_us": spread([member.total_us for member in members], pa.int64()),
        "predict_us": spread([member.predict_us for member in members], pa.int64()),
    }
    for column in members[0].batch.signature.columns:
        parts = [_feature(member.batch.columns[column.name], _ARROW[column.type]) for member in members]
        columns[f"feature.{column.name}"] = pa.concat_arrays(parts)
    columns["prediction"] = _predictions(members)
    columns["probabilities"] = pa.concat_arrays([_probabilities(member) for member in members])
    return pa.table(columns)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a Parquet file atomically: temporary file, fsync, rename.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not matched by the readers' pattern (*.parquet).
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _feature(values: Array, kind: pa.DataType) -> pa.Array:
    if values.dtype == object:
        return pa.array(values, type=kind, from_pandas=True)
    if values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[us]")).cast(kind)
    # Integers with missing values are floats here; the cast loses nothing.
    return pa.array(np.ascontiguousarray(values), from_pandas=True).cast(kind)


def _predictions(members: Sequence[Answered]) -> pa.Array:
    arrays = [member.prediction.outputs.get(PREDICT) for member in members]
    kind = next((_label_type(array) for array in arrays if array is not None), pa.float64())
    parts = []
    for member, array in zip(members, arrays, strict=True):
        if array is None:
            parts.append(pa.nulls(member.batch.rows, kind))
        elif kind == pa.string():
            parts.append(pa.array([str(value) for value in array.tolist()], type=kind))
        elif array.ndim > 1:
            parts.append(_lists(array))
        else:
            # NaN is not converted to null, since the model has predicted it.
            parts.append(pa.array(np.ascontiguousarray(array)).cast(kind))
    return pa.concat_arrays(parts)


def _label_type(array: Array) -> pa.DataType:
    if array.ndim > 1:
        return pa.list_(pa.float64())
    return {"f": pa.float64(), "i": pa.int64(), "u": pa.int64(), "b": pa.int64()}.get(array.dtype.kind, pa.string())


def _probabilities(member: Answered) -> pa.Array:
    table = member.prediction.outputs.get(PREDICT_PROBA)
    kind = pa.list_(pa.float64())
    return pa.nulls(member.batch.rows, kind) if table is None else _lists(table)


def _lists(table: Array) -> pa.Array:
    rows, width = table.shape
    offsets = pa.array(np.arange(0, rows * width + 1, width, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(table, dtype=np.float64).ravel()))
