"""Data of every kind as a table of Arrow, and back."""

from __future__ import annotations

import base64
import datetime
import json
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.data.files import read_arrow
from mlops_workbench.data.tables.kinds import kind_of

_KIND = b"mlops"
_MOST_COLUMNS = 20_000


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
            return _frame(data.to_frame(name="value"), pa, {"kind": "series", "name": label_form(data.name)})
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
        raise refused(error) from error
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
    for position, seconds in form.get("offsets", []):
        zone = datetime.timezone(datetime.timedelta(seconds=seconds))
        frame.isetitem(position, frame.iloc[:, position].dt.tz_convert(zone))
    frame = with_categories(frame, form.get("categories", []))
    if "labels" in form:
        frame = frame.set_axis(labels_of(form), axis=1)
    if kind == "series":
        series = frame.iloc[:, 0]
        # Without a name: of a snapshot of version 0.1.
        return (
            series.rename(label_of(form["name"]))
            if "name" in form
            else series
            if form["named"]
            else series.rename(None)
        )
    return frame


def refused(error: Exception) -> InvalidInput:
    """The error for data that Parquet cannot hold."""
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
    # Arrow may make zones of pytz of those of Python.
    offsets = [
        (i, dtype.tz.utcoffset(None).total_seconds())
        for i, dtype in enumerate(data.dtypes)
        if type(getattr(dtype, "tz", None)) is datetime.timezone and dtype.tz is not datetime.UTC
    ]
    # Parquet keeps no categories that are numbers, and not all of very many.
    categories = [
        (i, _encoded(dtype.categories), bool(dtype.ordered))
        for i, dtype in enumerate(data.dtypes)
        if str(dtype) == "category"
    ]
    more = {"objects": objects, "units": units, "offsets": offsets, "categories": categories}
    form |= {key: found for key, found in more.items() if found}
    names = list(data.columns)
    if not all(type(name) is str for name in names) or len(set(names)) < len(names):
        # It has only texts as names, each once.
        form |= labels_form(data.columns)
        data = data.set_axis([f"x{i}" for i in range(len(names))], axis=1)
    return _marked(pa.Table.from_pandas(data), form)


def _encoded(categories: Any) -> str:
    """The categories as a table of Arrow, in Base64."""
    import pyarrow as pa

    table = to_arrow(categories.to_series())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return base64.b64encode(sink.getvalue().to_pybytes()).decode()


def with_categories(found: Any, categories: list[tuple[int, str, bool]]) -> Any:
    """Give columns of a DataFrame or Series their categories: position, the encoded categories, whether ordered."""
    import pandas
    import pyarrow as pa

    for i, encoded, ordered in categories:
        names = from_arrow(pa.ipc.open_stream(base64.b64decode(encoded)).read_all())
        kind = pandas.CategoricalDtype(pandas.Index(names.array), ordered)
        if found.ndim == 1:
            return found.astype(kind)
        found.isetitem(i, found.iloc[:, i].astype(kind))
    return found


def _missing(column: Any) -> str:
    """What stands for a missing value in a column of objects: ``none`` or ``nan``."""
    return "nan" if any(isinstance(value, float) and value != value for value in column.tolist()) else "none"


def _objects(column: Any, missing: str, index: Any) -> Any:
    import numpy
    import pandas

    values = numpy.empty(len(column), dtype=object)
    values[:] = [float("nan") if value is None and missing == "nan" else value for value in column.to_pylist()]
    return pandas.Series(values, index=index, dtype=object)


def labels_form(columns: Any) -> dict[str, Any]:
    """Return labels of columns as JSON that keeps their types.

    Raises
    ------
    TypeError
        A label has no such form.
    """
    return {
        "labels": [label_form(name) for name in columns],
        "names": [label_form(name) for name in columns.names],
        "levels": columns.nlevels,
        "range": type(columns).__name__ == "RangeIndex",
    }


def label_form(name: Any) -> list[Any]:
    """Return a label as JSON that keeps its type."""
    if isinstance(name, tuple):
        return ["tuple", [label_form(part) for part in name]]
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


def label_of(label: list[Any]) -> Any:
    """Return the label of a form."""
    kind, value = label[:2]
    match kind:
        case "tuple":
            return tuple(label_of(part) for part in value)
        case "float":
            return float.fromhex(value)
        case "time":
            import pandas

            moment = pandas.Timestamp(value).as_unit(label[3])
            return moment.tz_convert(label[2]) if label[2] is not None else moment
    return value


def labels_of(form: dict[str, Any]) -> Any:
    """Return the labels of a form."""
    import pandas

    labels, names = ([label_of(label) for label in form[key]] for key in ("labels", "names"))
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
