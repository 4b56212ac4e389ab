"""Snapshots: data as Parquet in the content-addressed store, written once per version."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import InvalidInput, StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.files import read_arrow
from mlops_workbench.data.tables.kinds import kind_of

#: Largest snapshots that are also delivered to MLflow as artifacts.
ARTIFACT_BYTES = 32 << 20
_KIND = b"mlops"
_MOST_COLUMNS = 20_000


def keep_snapshot(workspace: Workspace, data: Any, digest: str, covers: str) -> tuple[str, int]:
    """Write data to the store as Parquet, unless the store has this version.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the store.
    data : table, or path of a Parquet or CSV file
        The data; pyarrow is imported.
    digest, covers : str
        Its version. Snapshots are reused only for digests of the whole content.

    Returns
    -------
    blob : str
        Digest of the Parquet file.
    size : int
        Bytes.

    Raises
    ------
    InvalidInput
        The data cannot be written as Parquet.
    StorageError
        The file cannot be written.
    """
    known = workspace.state / "snapshots" / digest
    if covers == "content":
        try:
            blob = known.read_text().strip()
            return blob, workspace.blobs.path(blob).stat().st_size
        except OSError:
            pass  # There is no snapshot, or it was deleted.
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
    """Return data as a pyarrow Table that :func:`from_arrow` converts back.

    Raises
    ------
    InvalidInput
        The data cannot be converted to a table.
    """
    import pyarrow as pa

    kind = kind_of(data)
    try:
        if kind == "path":
            return read_arrow(Path(data))
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
            f"the data cannot be saved as Parquet: {error}",
            hint="make sure that each column has one type and a unique name",
        ) from error
    raise InvalidInput(f"{type(data).__name__} cannot be saved as Parquet", hint="pass a table that is in memory")


def from_arrow(table: Any) -> Any:
    """Return the data that :func:`to_arrow` converted: a DataFrame, Series, ndarray or sparse matrix."""
    form = json.loads((table.schema.metadata or {}).get(_KIND, b"{}"))
    kind = form.get("kind")
    if kind == "array":
        import numpy

        parts = [column.to_numpy() for column in table.columns]
        if form["ndim"] == 1:
            return parts[0].astype(form["dtype"], copy=False)
        return numpy.stack(parts, axis=1).astype(form["dtype"], copy=False).reshape(form["shape"])
    if kind == "sparse":
        from scipy.sparse import coo_array

        row, column, value = (part.to_numpy() for part in table.columns)
        return coo_array((value, (row, column)), shape=tuple(form["shape"])).tocsr()
    frame = table.to_pandas()
    if kind == "series":
        series = frame.iloc[:, 0]
        return series if form["named"] else series.rename(None)
    return frame


def _array(data: Any, pa: Any) -> Any:
    form = {"kind": "array", "ndim": data.ndim, "dtype": data.dtype.str, "shape": list(data.shape)}
    if data.dtype.kind in "cV":
        raise TypeError(f"Parquet has no type for {data.dtype}")
    flat = data if data.ndim == 1 else data.reshape(len(data), -1)
    parts = [flat] if flat.ndim == 1 else [flat[:, i] for i in range(flat.shape[1])]
    if len(parts) > _MOST_COLUMNS:
        raise ValueError(f"{len(parts)} columns are too many")
    names = [f"x{i}" for i in range(len(parts))]
    return _marked(pa.table([pa.array(part) for part in parts], names=names), form)


def _row(row: Any) -> dict[str, Any]:
    values = row if isinstance(row, list | tuple) else [row]
    return {f"x{i}": value for i, value in enumerate(values)}


def _marked(table: Any, form: dict[str, Any]) -> Any:
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KIND: json.dumps(form).encode()})


def read_snapshot(parquet: bytes) -> Any:
    """Return the data in a snapshot."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    return from_arrow(pq.read_table(pa.BufferReader(parquet)))
