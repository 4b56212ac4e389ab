"""The rows of a part: any range of them as a batch of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from mlops_workbench.serving.protocols.delimited import line_columns
from mlops_workbench.serving.protocols.parquet import arrow_values, wanted_columns
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import Signature
from mlops_workbench.serving.scoring.parts import InputFile, Part


class PartRows(Protocol):
    """Rows as they are in a file."""

    count: int

    def batch(self, first: int, last: int) -> Batch:
        """Rows from `first` to before `last`; `InvalidRequest` if a value is not one of its column."""
        ...

    def kept(self, name: str) -> Any:
        """A column as it is in the file, as an array of Arrow."""
        ...


class TableRows:
    """Rows of a Parquet file."""

    def __init__(self, table: pa.Table, signature: Signature) -> None:
        self.count = table.num_rows
        self._table = table
        self._signature = signature
        names = table.column_names
        self._wanted = {name: names[at] for name, at in wanted_columns(names, signature).items()}

    def batch(self, first: int, last: int) -> Batch:
        """Rows as a batch."""
        signature = self._signature
        return Batch.of_columns(
            signature,
            {
                name: arrow_values(signature.by_name[name], self._table[label].slice(first, last - first))
                for name, label in self._wanted.items()
            },
        )

    def kept(self, name: str) -> Any:
        """A column as it is; texts that are stored once each are written out, as the output has them."""
        column = self._table[name]
        return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


class LineRows:
    """Rows of a CSV file."""

    def __init__(self, names: Sequence[str], lines: Sequence[Sequence[str]], signature: Signature) -> None:
        self.count = len(lines)
        self._names = names
        self._lines = lines
        self._signature = signature

    def batch(self, first: int, last: int) -> Batch:
        """Rows as a batch."""
        values = line_columns(self._names, self._lines[first:last], self._signature)
        return Batch.of_values(self._signature, values)

    def kept(self, name: str) -> Any:
        """A column as text; null where a line is too short."""
        place = list(self._names).index(name)
        return pa.array([line[place] if place < len(line) else None for line in self._lines], pa.string())


def rows_of_part(part: Part, file: InputFile, opened: Any, signature: Signature) -> PartRows:
    """Return the rows of a part; `opened` is its Parquet file."""
    if part.groups:
        return TableRows(file.read(opened, part.groups), signature)
    if part.table:
        with pa.ipc.open_stream(part.table) as stream:
            return TableRows(stream.read_all(), signature)
    return LineRows(file.names, part.lines, signature)
