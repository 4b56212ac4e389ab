"""The output file: Parquet or CSV, complete or not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from mlops_workbench.core.files import atomic_file
from mlops_workbench.serving.scoring.parts import PARQUET

#: Rows of a row group.
_GROUP = 65_536


class OutputFile:
    """Takes tables of one schema, and writes them in groups."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= _GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks())
            self._waiting, self._rows = [], 0


@contextmanager
def output_file(path: Path, schema: pa.Schema, metadata: Mapping[bytes, bytes]) -> Iterator[OutputFile]:
    """Write a file that appears under its name when the block ends without an error, and not at all otherwise.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    with atomic_file(path) as temporary:
        if path.suffix.lower() == PARQUET:
            described = schema.with_metadata(dict(metadata))
            writer = parquet.ParquetWriter(temporary, described, compression="zstd")
        else:
            writer = csv.CSVWriter(str(temporary), schema)
        with writer:
            output = OutputFile(writer)
            yield output
            output.flush()
