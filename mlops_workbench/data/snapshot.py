"""Snapshots: data as Parquet in the content-addressed store, written once per version."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import InvalidInput, StorageError, WorkbenchError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.digest import Digest, digest_data
from mlops_workbench.data.files import read_arrow
from mlops_workbench.data.tables.kinds import kind_of

#: Largest snapshots that are also delivered to MLflow as artifacts.
ARTIFACT_BYTES = 32 << 20
_KIND = b"mlops"
_MOST_COLUMNS = 20_000
#: Kinds of data that their owner may change after they were written.
_CHANGEABLE = ("frame", "series", "array", "sparse")


def keep_snapshot(workspace: Workspace, data: Any, digest: str, covers: str) -> tuple[str, int]:
    """Write data to the store as Parquet, unless the store has this version; see `write_snapshot`.

    Returns
    -------
    blob : str
        Digest of the Parquet file.
    size : int
        Bytes.
    """
    written = write_snapshot(workspace, data, digest, covers)
    return written.keep() if isinstance(written, WrittenSnapshot) else written


def write_snapshot(workspace: Workspace, data: Any, digest: str, covers: str) -> WrittenSnapshot | tuple[str, int]:
    """Write data to a temporary Parquet file, from which `WrittenSnapshot.keep` makes the snapshot.

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
    WrittenSnapshot or tuple of str and int
        Blob and size if the store has this version.

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
            if workspace.blobs.holds(blob):
                return blob, workspace.blobs.path(blob).stat().st_size
        except OSError:
            pass  # There is no snapshot, or it was deleted.
    table = to_arrow(data)
    try:
        # The caller may change the data from now on. Arrow's tables do not change.
        put = digest_data(data) if kind_of(data) in _CHANGEABLE else table
        return WrittenSnapshot(workspace, table, put, known if covers == "content" else None)
    except OSError as error:
        raise _unwritten(workspace, error) from error
    except Exception as error:  # pyarrow's, and those of objects in the data
        raise _refused(error) from error


class WrittenSnapshot:
    """Data in a temporary Parquet file, which `keep` removes.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the store.
    table : pyarrow.Table
        The data.
    put : Digest or pyarrow.Table
        What must be read back.
    known : Path or None
        File that names the blob of this version.
    """

    def __init__(self, workspace: Workspace, table: Any, put: Digest | Any, known: Path | None) -> None:
        from pyarrow import parquet

        self._workspace = workspace
        self._put = put
        self._known = known
        # Not a TemporaryDirectory: a forked child that ends would remove it.
        self._folder = Path(tempfile.mkdtemp(prefix="mlops-snapshot-"))
        self._file = self._folder / "data.parquet"
        try:
            parquet.write_table(table, self._file, compression="zstd")
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def keep(self) -> tuple[str, int]:
        """Compare what is read back with what was put in, and put the file into the store.

        Returns
        -------
        blob : str
            Digest of the Parquet file.
        size : int
            Bytes.

        Raises
        ------
        InvalidInput
            What is read back is not the same.
        StorageError
            The file cannot be stored.
        """
        from pyarrow import parquet

        try:
            compare_with(self._put, parquet.read_table(self._file))
            blob, size = self._workspace.blobs.put_file(self._file), self._file.stat().st_size
            if self._known is not None:
                self._known.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(self._known, blob + "\n")
        except WorkbenchError:
            raise
        except OSError as error:
            raise _unwritten(self._workspace, error) from error
        except Exception as error:  # pyarrow's and pandas'
            raise _refused(error) from error
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
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
            return _frame(data, pa)
        if kind == "series":
            return _frame(data.to_frame(name="value"), pa, {"kind": "series", "name": _label(data.name)})
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
    except InvalidInput:
        raise
    except Exception as error:  # pyarrow's, and those of objects in the data
        raise _refused(error) from error
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
    for position, missing in form.get("objects", []):
        frame.isetitem(position, _objects(table.column(position), missing, frame.index))
    for position, kind_of_column in form.get("units", []):
        frame.isetitem(position, frame.iloc[:, position].astype(kind_of_column))
    if "labels" in form:
        frame = frame.set_axis(_columns(form), axis=1)
    if kind == "series":
        series = frame.iloc[:, 0]
        # Without a name: of a snapshot of version 0.1.
        return (
            series.rename(_value(form["name"])) if "name" in form else series if form["named"] else series.rename(None)
        )
    return frame


def compare_with(expected: Digest | Any, read: Any) -> None:
    """Compare what was read from a file with what was written: Arrow converts what it has no type for.

    Parameters
    ----------
    expected : Digest or pyarrow.Table
        What was written.
    read : pyarrow.Table
        What was read.

    Raises
    ------
    InvalidInput
        The file does not give the data back.
    """
    if isinstance(expected, Digest):
        put, got = expected, digest_data(from_arrow(read))
    else:
        # Parquet has fewer units of time.
        put, got = digest_data(expected), digest_data(read.cast(expected.schema))
    if put.hex != got.hex or put.covers != "content":
        different = [name for name, digest in put.columns.items() if got.columns.get(name) != digest]
        where = f" in {', '.join(map(repr, different[:3]))}" if different else ""
        raise InvalidInput(
            f"the data cannot be saved as Parquet: what is read back differs{where}",
            hint="give each column values of one type that Parquet has: no dicts with different keys, tuples, or times"
            " of different zones",
        )


def _unwritten(workspace: Workspace, error: OSError) -> StorageError:
    return StorageError(f"the snapshot cannot be written: {error.strerror or error}", where=str(workspace.state))


def _refused(error: Exception) -> InvalidInput:
    return InvalidInput(
        f"the data cannot be saved as Parquet: {error}",
        hint="make sure that each column has one type and a unique name",
    )


def _frame(data: Any, pa: Any, form: dict[str, Any] | None = None) -> Any:
    form = form or {"kind": "frame"}
    kinds = [(i, getattr(dtype, "kind", ""), str(dtype)) for i, dtype in enumerate(data.dtypes)]
    objects = [(i, _missing(data.iloc[:, i])) for i, _, name in kinds if name == "object"]
    # Parquet has no seconds.
    units = [(i, name) for i, kind, name in kinds if kind in ("m", "M") and "[s" in name]
    form |= ({"objects": objects} if objects else {}) | ({"units": units} if units else {})
    names = list(data.columns)
    if not all(type(name) is str for name in names) or len(set(names)) < len(names):
        # It has only texts as names, each once.
        form |= {
            "labels": [_label(name) for name in names],
            "names": [_label(name) for name in data.columns.names],
            "levels": data.columns.nlevels,
            "range": type(data.columns).__name__ == "RangeIndex",
        }
        data = data.set_axis([f"x{i}" for i in range(len(names))], axis=1)
    return _marked(pa.Table.from_pandas(data), form)


def _missing(column: Any) -> str:
    """What stands for a missing value in a column of objects: ``none`` or ``nan``."""
    return "nan" if any(isinstance(value, float) and value != value for value in column.tolist()) else "none"


def _objects(column: Any, missing: str, index: Any) -> Any:
    import numpy
    import pandas

    values = numpy.empty(len(column), dtype=object)
    values[:] = [float("nan") if value is None and missing == "nan" else value for value in column.to_pylist()]
    return pandas.Series(values, index=index, dtype=object)


def _label(name: Any) -> list[Any]:
    """The label of a column as JSON that keeps its type."""
    if isinstance(name, tuple):
        return ["tuple", [_label(part) for part in name]]
    if name is None or isinstance(name, str):
        return ["text", name]
    kind = getattr(getattr(name, "dtype", None), "kind", "")
    if isinstance(name, bool) or kind == "b":
        return ["bool", bool(name)]
    if isinstance(name, int) or kind in ("i", "u"):
        return ["int", int(name)]
    if isinstance(name, float) or kind == "f":
        return ["float", float(name).hex()]
    if type(name).__name__ == "Timestamp":
        return ["time", name.isoformat(), str(name.tz) if name.tz is not None else None, name.unit]
    raise TypeError(f"{name!r} cannot be the label of a column")


def _value(label: list[Any]) -> Any:
    kind, value = label[:2]
    match kind:
        case "tuple":
            return tuple(_value(part) for part in value)
        case "float":
            return float.fromhex(value)
        case "time":
            import pandas

            moment = pandas.Timestamp(value).as_unit(label[3])
            return moment.tz_convert(label[2]) if label[2] is not None else moment
    return value


def _columns(form: dict[str, Any]) -> Any:
    import pandas

    labels, names = ([_value(label) for label in form[key]] for key in ("labels", "names"))
    if form["levels"] > 1:
        return pandas.MultiIndex.from_tuples(labels, names=names)
    if form["range"]:
        step = labels[1] - labels[0] if len(labels) > 1 else 1
        return pandas.RangeIndex(labels[0], labels[-1] + (1 if step > 0 else -1), step, name=names[0])
    return pandas.Index(labels, name=names[0], tupleize_cols=False)


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
