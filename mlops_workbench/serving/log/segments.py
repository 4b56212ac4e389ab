"""Segments of the prediction log: answers as a table, in Parquet files that are written atomically."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_workbench.core.files import sync_folder
from mlops_workbench.serving.log.answers import Context, Output, Record, joined
from mlops_workbench.serving.rows.signature import ColumnType
from mlops_workbench.serving.rows.values import Array
from mlops_workbench.serving.runtimes.estimator import PREDICT, PREDICT_PROBA

#: Prefixes of the columns of a model's inputs, and of those of which only hashes are kept.
FEATURE, HASHED = "feature.", "hashed."

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
_LIST = pa.list_(pa.float64())


def segment(answers: Sequence[tuple[Context, Record]]) -> pa.Table:
    """Table of answers of one model version, with one row per predicted row.

    Columns: request_id, row, ts, event_time, model, version, digest, arm, protocol, status, total_us, predict_us,
    ``feature.<name>`` for every input, or ``hashed.<name>`` if its values are hashed, prediction,
    probabilities (null unless they were requested).
    """
    parts: dict[Context, list[Record]] = {}
    for context, record in answers:
        parts.setdefault(context, []).append(record)
    outputs = [output for context in parts for output in context.outputs if output.name == PREDICT]
    # The labels of a version are of one type.
    label = _label_type(outputs[0]) if outputs else pa.float64()
    return pa.concat_tables([_table(context, records, label) for context, records in parts.items()])


def _table(context: Context, records: list[Record], label: pa.DataType) -> pa.Table:
    sizes = [record.rows for record in records]
    rows = sum(sizes)

    def spread(values: list[int], kind: pa.DataType) -> pa.Array:
        return pa.array(np.repeat(np.array(values, dtype=np.int64), sizes)).cast(kind)

    def text(value: str) -> pa.Array:
        return pa.repeat(value, rows)

    codes = pa.array(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes))
    columns: dict[str, pa.Array] = {
        "request_id": pa.array([record.request_id for record in records], pa.string()).take(codes),
        "row": pa.array(np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])),
        "ts": spread([record.answered_us for record in records], TIMESTAMP),
        "event_time": spread([record.event_us for record in records], TIMESTAMP),
        "model": text(context.model),
        "version": pa.repeat(pa.scalar(context.version, pa.int32()), rows),
        "digest": text(context.digest),
        "arm": text(context.arm),
        "protocol": text(context.protocol),
        "status": pa.repeat(pa.scalar(context.status, pa.int16()), rows),
        "total_us": spread([record.total_us for record in records], pa.int64()),
        "predict_us": spread([record.predict_us for record in records], pa.int64()),
    }
    for (name, kind), values in zip(context.columns, _inputs(context, records), strict=True):
        columns[f"{HASHED if name in context.hashed else FEATURE}{name}"] = _feature(values, _ARROW[kind])
    outputs = {
        output.name: (output, joined([record.outputs[i] for record in records], output.dtype))
        for i, output in enumerate(context.outputs)
    }
    columns["prediction"] = _predictions(*outputs[PREDICT], label) if PREDICT in outputs else pa.nulls(rows, label)
    columns["probabilities"] = _lists(*outputs[PREDICT_PROBA]) if PREDICT_PROBA in outputs else pa.nulls(rows, _LIST)
    return pa.table(columns)


def _inputs(context: Context, records: list[Record]) -> list[Array]:
    arrays = [joined([record.inputs[i] for record in records], dtype) for i, dtype in enumerate(context.dtypes)]
    return list(arrays[0].reshape(-1, len(context.columns)).T) if context.is_matrix else arrays


def _feature(values: Array, kind: pa.DataType) -> pa.Array:
    if values.dtype == object:
        return pa.array(values, type=kind, from_pandas=True)
    if values.dtype.kind == "M":
        return pa.array(values.astype("datetime64[us]")).cast(kind)
    # Integers with missing values are floats here; the cast loses nothing.
    return pa.array(np.ascontiguousarray(values), from_pandas=True).cast(kind)


def _predictions(output: Output, values: Array, label: pa.DataType) -> pa.Array:
    if label == _LIST:
        return _lists(output, values)
    if output.width:
        # Objects are the lists of the rows already.
        rows = values if values.dtype == object else values.reshape(-1, output.width)
        return pa.array([_row(row) for row in rows.tolist()], type=label)
    if label == pa.string():
        return pa.array([str(value) for value in values.tolist()], type=label)
    # NaN is not converted to null, since the model has predicted it.
    return pa.array(values).cast(label)


def _label_type(output: Output) -> pa.DataType:
    kind = np.dtype(output.dtype).kind
    if output.width:
        return _LIST if kind in "fiub" else pa.string()
    return {"f": pa.float64(), "i": pa.int64(), "u": pa.int64(), "b": pa.int64()}.get(kind, pa.string())


def _row(values: list[object]) -> str:
    """Several values of a row, not all of them numbers, as a JSON array."""
    return json.dumps(values, ensure_ascii=False, default=str)


def _lists(output: Output, values: Array) -> pa.Array:
    flat = pa.array(np.asarray(values, dtype=np.float64))
    offsets = pa.array(np.arange(0, len(values) + 1, output.width, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, flat)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a Parquet file atomically: temporary file, fsync, rename.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        sync_folder(path.parent.parent)
    with prepared_parquet(path, table) as temporary:
        os.replace(temporary, path)
        sync_folder(path.parent)


@contextlib.contextmanager
def prepared_parquet(path: Path, table: pa.Table, *, row_group_size: int | None = None) -> Iterator[Path]:
    """Write a Parquet file under a temporary name, which the block renames to `path`; otherwise it is deleted."""
    # Not matched by the readers' pattern (*.parquet).
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            # A dictionary of numbers that are all different takes two thirds of the time, and space.
            repeated = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
            pq.write_table(table, file, compression="zstd", use_dictionary=repeated, row_group_size=row_group_size)
            file.flush()
            os.fsync(file.fileno())
        yield Path(temporary)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
