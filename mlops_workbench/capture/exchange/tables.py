"""Tables as Parquet, Feather or CSV; the first two give back the same table, of the same library."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.data.conversion import from_arrow, to_arrow, with_categories
from mlops_workbench.data.digest import digest_data
from mlops_workbench.data.snapshot import compare_with
from mlops_workbench.data.tables.kinds import kind_of

#: Key in the metadata of a file with the form of a table that is not one of pandas.
_FORM = b"mlops.table"
#: Rows by which it is checked that a type survives.
_HEAD = 16
_HINT = "give each column one type that Parquet has, or save the table as several simpler ones"


def write_table(value: Any, path: Path, ending: str) -> None:
    """Write a table.

    Parameters
    ----------
    value : table
        A DataFrame or Series of pandas or polars, or a pyarrow Table.
    path : Path
        The file.
    ending : str
        ``.csv``, ``.feather`` or ``.arrow``; anything else is Parquet.

    Raises
    ------
    InvalidInput
        The format cannot hold the table without loss.
    """
    if ending == ".csv":
        _write_csv(value, path)
        return
    table = _arrow(value)
    try:
        if ending in (".feather", ".arrow"):
            from pyarrow import feather

            feather.write_feather(table, str(path), compression="zstd")
        else:
            from pyarrow import parquet

            parquet.write_table(table, path, compression="zstd")
    except OSError:
        raise
    except Exception as error:  # pyarrow has a class for each kind of trouble with a type
        raise InvalidInput(f"the table cannot be saved: {error}", hint=_HINT) from error
    _verify(value, table, path, ending)


def read_table(file: BinaryIO | str, ending: str) -> Any:
    """Return the table in an open file, or in a folder of Parquet files.

    Raises
    ------
    InvalidInput
        It is not a table in the format that its ending tells.
    """
    try:
        if ending == ".csv":
            import pandas

            return pandas.read_csv(file)
        return _restored(_read(file, ending))
    except WorkbenchError:
        raise
    except Exception as error:  # of the file's content
        form = {".csv": "CSV", ".feather": "Feather", ".arrow": "Arrow"}.get(ending, "Parquet")
        raise InvalidInput(f"the file is not a table in the format {form}: {error}") from error


def concatenated(tables: Sequence[Any]) -> Any:
    """Return tables of one library below each other.

    Raises
    ------
    InvalidInput
        They are of different libraries or do not fit together.
    """
    roots = {type(table).__module__.partition(".")[0] for table in tables}
    if len(roots) > 1:
        raise InvalidInput(
            f"the tables are of different libraries: {', '.join(sorted(roots))}", hint="load them with as_list=True"
        )
    try:
        return _CONCATENATE[roots.pop()](tables)
    except Exception as error:  # of the library
        raise InvalidInput(
            f"the tables do not fit together: {error}", hint="load them with as_list=True and convert them first"
        ) from error


def _write_csv(value: Any, path: Path) -> None:
    if kind_of(value) == "arrow":
        from pyarrow import csv

        csv.write_csv(value, path)
    elif hasattr(value, "iloc"):
        # An index that only numbers the rows is no column.
        numbers_rows = type(value.index).__name__ == "RangeIndex" and value.index.name is None
        value.to_csv(path, index=not numbers_rows)
    else:
        (value if hasattr(value, "write_csv") else value.to_frame()).write_csv(path)


def _arrow(value: Any) -> Any:
    kind = kind_of(value)
    table = to_arrow(value)
    if kind in ("arrow", "polars"):
        form = {"kind": kind, "schema": base64.b64encode(table.schema.serialize().to_pybytes()).decode()}
        if kind == "polars" and not hasattr(value, "get_columns"):
            form["kind"] = "polars series"
        return _with_form(table, form)
    return table


def _with_form(table: Any, form: dict[str, Any]) -> Any:
    metadata = {key: text for key, text in (table.schema.metadata or {}).items() if key != _FORM}
    return table.replace_schema_metadata({**metadata, _FORM: json.dumps(form).encode()})


def _read(file: BinaryIO | str, ending: str) -> Any:
    if ending in (".feather", ".arrow"):
        from pyarrow import feather

        return feather.read_table(file)
    from pyarrow import parquet

    return parquet.read_table(file)


def _head(path: Path, ending: str) -> Any:
    """Return the first rows of a file."""
    if ending in (".feather", ".arrow"):
        return _read(str(path), ending).slice(0, _HEAD)
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        first = next(file.iter_batches(batch_size=_HEAD), None)
        # A table without rows has no batches.
        return file.read() if first is None else pa.Table.from_batches([first])


def _restored(table: Any) -> Any:
    form = json.loads((table.schema.metadata or {}).get(_FORM, b"{}"))
    if not form:
        return from_arrow(table)
    import pyarrow as pa

    if form["kind"] == "pandas":
        # Of a file that an earlier version has written.
        return with_categories(from_arrow(table), form["categories"])
    # Parquet has fewer units of time.
    table = table.cast(pa.ipc.read_schema(pa.BufferReader(base64.b64decode(form["schema"]))))
    if form["kind"] == "arrow":
        return table
    import polars

    frame: Any = polars.from_arrow(table)
    return frame.to_series(0) if form["kind"] == "polars series" else frame


def _verify(value: Any, table: Any, path: Path, ending: str) -> None:
    """Raise `InvalidInput` unless the file gives the table back."""
    if kind_of(value) in ("arrow", "polars"):
        return
    try:
        frame = value.to_frame() if kind_of(value) == "series" else value
        levels = [frame.index.get_level_values(i) for i in range(frame.index.nlevels)]
        # Objects may be anything: all of them are compared. Of other types, the type decides.
        objects = [str(part.dtype) for part in (*levels, *(frame.iloc[:, i] for i in range(frame.shape[1])))]
        if "object" in objects:
            compare_with(digest_data(value), _read(str(path), ending))
        got = _restored(_head(path, ending))
        got = got.to_frame() if kind_of(value) == "series" else got
        expected = frame.iloc[:_HEAD]
        changed = _difference(expected, got)
    except InvalidInput:
        raise
    except Exception as error:  # of pandas and pyarrow, which cannot read what they wrote
        raise InvalidInput(f"the table cannot be saved: {type(error).__name__}: {error}", hint=_HINT) from error
    if changed:
        raise InvalidInput(f"the table cannot be saved: what is read back differs in {changed}", hint=_HINT)


def _difference(expected: Any, got: Any) -> str:
    """Return what differs between two DataFrames, empty if nothing does."""
    names = list(expected.columns)
    if list(map(repr, names)) != list(map(repr, got.columns)):
        return "the names of its columns"
    for i, name in enumerate(names):
        before, after = expected.dtypes.iloc[i], got.dtypes.iloc[i]
        if before != after:
            return f"the type of the column {name!r}: {before} became {after}"
    before, after = expected.index, got.index
    if list(before.names) != list(after.names):
        return "the names of its index"
    kinds = [[str(index.get_level_values(i).dtype) for i in range(index.nlevels)] for index in (before, after)]
    if kinds[0] != kinds[1]:
        return f"the type of its index: {', '.join(kinds[0])} became {', '.join(kinds[1])}"
    return "" if before.equals(after) and expected.equals(got) else "its values"


def _pandas(tables: Sequence[Any]) -> Any:
    import pandas

    plain = all(type(table.index).__name__ == "RangeIndex" for table in tables)
    return pandas.concat(list(tables), ignore_index=plain)


def _polars(tables: Sequence[Any]) -> Any:
    import polars

    return polars.concat(list(tables))


def _pyarrow(tables: Sequence[Any]) -> Any:
    import pyarrow

    return pyarrow.concat_tables(list(tables))


_CONCATENATE: dict[str, Callable[[Sequence[Any]], Any]] = {"pandas": _pandas, "polars": _polars, "pyarrow": _pyarrow}
