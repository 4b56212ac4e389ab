"""Tables as files in MLflow's format."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.secrets import MASK
from mlops_workbench.core.secrets.columns import is_secret_column, mask_texts
from mlops_workbench.core.secrets.names import name_strength
from mlops_workbench.core.tags import TABLE_PREFIX

#: Tag in which MLflow lists the tables of a run.
LOGGED_TABLES = "mlflow.loggedArtifacts"
MEDIA_TYPE = "application/json"
#: Largest number of rows and columns that are saved of a displayed table.
SHOWN_ROWS = 1000
SHOWN_COLUMNS = 200
_MAX_TEXT = 10_000
_LONGEST_NAME = 60
#: Number of tables that fit into a tag.
_MAX_LISTED = 60


@dataclass(frozen=True)
class Table:
    """Columns and rows of plain values.

    Attributes
    ----------
    columns : list of str
        Unique names.
    rows : list of list
        JSON-compatible values.
    note : str
        Describes missing rows or columns, else empty.
    """

    columns: list[str]
    rows: list[list[Any]]
    note: str = ""

    def to_json(self) -> bytes:
        """Return JSON in pandas' ``split`` format, which ``mlflow.load_table`` reads."""
        text = json.dumps({"columns": self.columns, "data": self.rows}, ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8", "backslashreplace")


class KeptTables:
    """Paths of the tables of a run."""

    def __init__(self) -> None:
        self._paths: list[str] = []

    def add(self, name: str, *, renumber: bool) -> str:
        """Add a table and return its path; `renumber` appends the next free number instead of replacing one."""
        stem = name.removesuffix(".json")
        path, count = f"{stem}.json", 1
        while renumber and path in self._paths:
            count += 1
            path = f"{stem}-{count}.json"
        if path not in self._paths:
            self._paths.append(path)
        return path

    def tags(self, path: str, table: Table) -> dict[str, str]:
        """Return the tags with MLflow's list of tables and the note of the table at `path`."""
        known = json.dumps([{"path": one, "type": "table"} for one in self._paths[:_MAX_LISTED]])
        return {LOGGED_TABLES: known, **({f"{TABLE_PREFIX}{path}": table.note} if table.note else {})}


def read_table(data: Any) -> Table:
    """Convert data to a table with plain values, with secrets masked.

    Parameters
    ----------
    data : object
        A DataFrame or Series of pandas or polars, an array with one or two dimensions, a dict of columns, a list of
        dicts or of rows.

    Raises
    ------
    InvalidInput
        It is none of these, or its columns differ in length.
    """
    names, parts = _columns(data)
    if len({len(part) for part in parts}) > 1:
        raise InvalidInput("the columns of the table differ in length", hint="pass columns of the same length")
    cells = [_masked(name, [_plain(value) for value in part]) for name, part in zip(names, parts, strict=True)]
    return Table(_unique(names), [_masked_row(list(row)) for row in zip(*cells, strict=True)])


def _masked(name: Any, values: list[Any]) -> list[Any]:
    """Mask the values of a column of secrets, and secrets in the texts of others."""
    if is_secret_column(name, values):
        return [None if value is None else MASK for value in values]
    return mask_texts(values)


def _masked_row(row: list[Any]) -> list[Any]:
    """Mask the value beside the name of a secret, as in a table of environment variables."""
    name = row[0] if row else None
    if isinstance(name, str) and len(name) <= _LONGEST_NAME and "_" in name and name_strength(name) == "strong":
        return [name, *(MASK if isinstance(value, str) and value else value for value in row[1:])]
    return row


@dataclass(frozen=True)
class ShownTable:
    """Copy of the first part of a displayed table, converted to values later.

    Attributes
    ----------
    part : object
        Its first rows and columns.
    rows, columns : int
        Size of the whole table.
    """

    part: Any
    rows: int
    columns: int

    @classmethod
    def copy(cls, data: Any) -> ShownTable:
        """Copy the first part of a table."""
        frame = data.data if type(data).__name__ == "Styler" else data
        rows, columns = frame.shape
        if hasattr(frame, "iloc"):
            return cls(frame.iloc[:SHOWN_ROWS, :SHOWN_COLUMNS].copy(), rows, columns)
        return cls(frame.head(SHOWN_ROWS)[:, :SHOWN_COLUMNS], rows, columns)

    def read(self) -> Table:
        """Return the values, with a note of missing rows and columns."""
        found = read_table(self.part)
        notes = [f"the first {SHOWN_ROWS:,} of {self.rows:,} rows"] if self.rows > SHOWN_ROWS else []
        notes += [f"the first {SHOWN_COLUMNS:,} of {self.columns:,} columns"] if self.columns > SHOWN_COLUMNS else []
        return Table(found.columns, found.rows, ", ".join(notes))


def is_shown_table(value: Any) -> bool:
    """Whether it is a DataFrame of a known library or its Styler."""
    kind = type(value)
    root = kind.__module__.partition(".")[0]
    names = ("DataFrame", "GeoDataFrame", "Styler")
    return root in ("pandas", "polars", "geopandas", "modin") and kind.__name__ in names


def _columns(data: Any) -> tuple[list[Any], list[Any]]:
    """Return names and columns."""
    if type(data).__name__ == "Styler" and hasattr(data, "data"):
        data = data.data
    if hasattr(data, "iloc") and hasattr(data, "index"):
        return _pandas(data)
    if hasattr(data, "get_columns") and hasattr(data, "columns"):
        return list(data.columns), [column.to_list() for column in data.get_columns()]
    if hasattr(data, "to_list") and hasattr(data, "name") and not hasattr(data, "columns"):
        return [data.name or "value"], [data.to_list()]
    if hasattr(data, "column_names") and hasattr(data, "to_pydict"):
        return list(data.column_names), list(data.to_pydict().values())
    if hasattr(data, "ndim") and hasattr(data, "tolist") and data.ndim in (1, 2):
        if data.ndim == 1:
            return ["value"], [data.tolist()]
        return list(range(data.shape[1])), [data[:, i].tolist() for i in range(data.shape[1])]
    if isinstance(data, Mapping):
        parts = [_listed(column) for column in data.values()]
        if not any(isinstance(column, list) for column in parts):
            return list(data), [[value] for value in parts]
        if not all(isinstance(column, list) for column in parts):
            raise InvalidInput(
                "each column of a table must be a list", hint='pass a dict like {"name": ["a", "b"], "auc": [0.9, 0.8]}'
            )
        return list(data), parts
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _rows(data)
    raise InvalidInput(
        f"{type(data).__name__} is not a table", hint="pass a DataFrame, a dict of columns or a list of dicts"
    )


def _pandas(data: Any) -> tuple[list[Any], list[Any]]:
    names: list[Any] = []
    parts: list[Any] = []
    index = data.index
    if type(index).__name__ != "RangeIndex" or index.name is not None:
        # The index of a summary labels its rows.
        levels = range(getattr(index, "nlevels", 1))
        unnamed = "index" if len(levels) == 1 else "level_{}"
        names += [unnamed.format(i) if index.names[i] is None else index.names[i] for i in levels]
        parts += [index.get_level_values(i).tolist() for i in levels]
    if hasattr(data, "columns"):
        names += list(data.columns)
        parts += [data.iloc[:, i].tolist() for i in range(data.shape[1])]
    else:
        names.append(data.name if data.name is not None else "value")
        parts.append(data.tolist())
    return names, parts


def _rows(data: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    rows = list(data)
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return names, [[row.get(name) for row in rows] for name in names]
    if rows and all(isinstance(row, list | tuple) for row in rows):
        width = max(len(row) for row in rows)
        return list(range(width)), [[row[i] if i < len(row) else None for row in rows] for i in range(width)]
    return ["value"], [rows]


def _listed(column: Any) -> Any:
    if hasattr(column, "tolist"):
        column = column.tolist()
    elif hasattr(column, "to_list"):
        column = column.to_list()
    return list(column) if isinstance(column, tuple | range) else column


def _unique(names: Sequence[Any]) -> list[str]:
    """Convert names to text; a second column of the same name gets a number."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        text = " ".join(map(str, name)) if isinstance(name, tuple) else str(name)
        seen[text] = seen.get(text, 0) + 1
        found.append(text if seen[text] == 1 else f"{text}.{seen[text]}")
    return found


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value if len(value) <= _MAX_TEXT else f"{value[:_MAX_TEXT]}… ({len(value):,} characters)"
    if isinstance(value, float):
        # JSON has no infinity; pandas converts these words to numbers.
        return value if math.isfinite(value) else None if math.isnan(value) else ("-Infinity", "Infinity")[value > 0]
    if isinstance(value, datetime.date | datetime.time):
        return None if str(value) == "NaT" else value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return _plain(value.tolist())
    text = str(value)
    return None if text in ("<NA>", "NaT", "nan") else text[:_MAX_TEXT]
