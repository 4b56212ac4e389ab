"""Snapshots: the data itself as Parquet in the content-addressed store, written once for every version."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import InvalidInput, StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.tables.kinds import kind_of

#: Snapshots up to this size are delivered to MLflow as artifacts too; larger ones stay in the store.
ARTIFACT_BYTES = 32 << 20
_KIND = b"mlops"
_MOST_COLUMNS = 20_000


def keep_snapshot(workspace: Workspace, data: Any, digest: str, covers: str) -> tuple[str, int]:
    """Write data to the store as Parquet, unless this version of it is there.

    Parameters
    ----------
    workspace : Workspace
        Whose store.
    data : table, or path of a Parquet or CSV file
        What is kept; imports pyarrow.
    digest, covers : str
        Its version. Only one of the whole content names a snapshot that can stand for it.

    Returns
    -------
    blob : str
        Digest of the Parquet file.
    size : int
        Bytes.

    Raises
    ------
    InvalidInput
        It cannot be written as Parquet.
    StorageError
        The disk does not take it.
    """
    known = workspace.state / "snapshots" / digest
    if covers == "content":
        try:
            blob = known.read_text().strip()
            return blob, workspace.blobs.path(blob).stat().st_size
        except OSError:
            # Never written, or the store was emptied since.
            pass
    table = to_arrow(data)
    from pyarrow import parquet

    try:
        with tempfile.TemporaryDirectory(prefix="mlops-snapshot-") as folder:
            file = Path(folder) / "data.parquet"
            parquet.write_table(table, file, compression="zstd")
            blob, size = workspace.blobs.put_file(file), file.stat().st_size
        if covers == "content":
            known.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(known, blob + "\n")
    except OSError as error:
        raise StorageError(
            f"the snapshot cannot be written: {error.strerror or error}", where=str(workspace.state)
        ) from error
    return blob, size


def to_arrow(data: Any) -> Any:
    """Any data as a pyarrow Table that :func:`from_arrow` turns back into what it was.

    Raises
    ------
    InvalidInput
        It has no form as a table.
    """
    import pyarrow as pa

    kind = kind_of(data)
    try:
        if kind == "path":
            return _read(Path(data))
        if kind == "frame":
            return pa.Table.from_pandas(data)
        if kind == "series":
            frame = data.to_frame(name="value" if data.name is None else data.name)
            return _marked(pa.Table.from_pandas(frame), {"kind": "series", "named": data.name is not None})
        if kind == "array":
            return _array(data, pa)
        if kind == "sparse":
            coo = data.reshape(1, -1).tocoo() if data.ndim == 1 else data.tocoo()
            table = pa.table({"row": coo.row, "column": coo.col, "value": coo.data})
            return _marked(table, {"kind": "sparse", "shape": list(coo.shape)})
        if kind == "arrow":
            return data
        if kind == "polars":
            return (data.to_frame() if not hasattr(data, "get_columns") else data).to_arrow()
        if kind == "records":
            rows = data if isinstance(data[0], dict) else [_row(row) for row in data]
            return pa.Table.from_pylist(rows)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InvalidInput(
            f"the data cannot be kept as Parquet: {error}", hint="give columns one type each, and different names"
        ) from error
    raise InvalidInput(f"{type(data).__name__} cannot be kept as Parquet", hint="give a table that is in memory")


def from_arrow(table: Any) -> Any:
    """What :func:`to_arrow` was given: a DataFrame, Series, ndarray or sparse matrix; imports pandas."""
    told = json.loads((table.schema.metadata or {}).get(_KIND, b"{}"))
    kind = told.get("kind")
    if kind == "array":
        import numpy

        parts = [column.to_numpy() for column in table.columns]
        if told["ndim"] == 1:
            return parts[0].astype(told["dtype"], copy=False)
        return numpy.stack(parts, axis=1).astype(told["dtype"], copy=False).reshape(told["shape"])
    if kind == "sparse":
        from scipy.sparse import coo_array

        row, column, value = (part.to_numpy() for part in table.columns)
        return coo_array((value, (row, column)), shape=tuple(told["shape"])).tocsr()
    frame = table.to_pandas()
    if kind == "series":
        series = frame.iloc[:, 0]
        return series if told["named"] else series.rename(None)
    return frame


def _array(data: Any, pa: Any) -> Any:
    told = {"kind": "array", "ndim": data.ndim, "dtype": data.dtype.str, "shape": list(data.shape)}
    if data.dtype.kind in "cV":
        raise TypeError(f"Parquet has no type for {data.dtype}")
    flat = data if data.ndim == 1 else data.reshape(len(data), -1)
    parts = [flat] if flat.ndim == 1 else [flat[:, i] for i in range(flat.shape[1])]
    if len(parts) > _MOST_COLUMNS:
        raise ValueError(f"{len(parts)} columns are too many")
    names = [f"x{i}" for i in range(len(parts))]
    return _marked(pa.table([pa.array(part) for part in parts], names=names), told)


def _row(row: Any) -> dict[str, Any]:
    values = row if isinstance(row, list | tuple) else [row]
    return {f"x{i}": value for i, value in enumerate(values)}


def _marked(table: Any, told: dict[str, Any]) -> Any:
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KIND: json.dumps(told).encode()})


def _read(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        from pyarrow import csv

        return csv.read_csv(path)
    if suffix == ".parquet" or path.is_dir():
        from pyarrow import parquet

        return parquet.read_table(path)
    raise ValueError(f"{path.name} is neither Parquet nor CSV")


def read_snapshot(parquet: bytes) -> Any:
    """What was put into a snapshot."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    from mlops_workbench.data.snapshot import from_arrow

    return from_arrow(pq.read_table(pa.BufferReader(parquet)))
