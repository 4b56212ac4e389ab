"""What readers see of a log, and logs to be read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mlops_workbench.serving.log.catalog import DayFiles, Partition, reading

Row = tuple[str, int, float]


def visible(folder: Path) -> list[Path]:
    """Files that a reader of the log opens."""
    return [path for day in days(folder) for path in paths(day)]


def days(folder: Path) -> list[Partition]:
    """The days of a log, read anew."""
    return DayFiles(folder).read()


def paths(day: Partition) -> list[Path]:
    """Files of a day that count."""
    return [day.folder / name for name in [*(entry.name for entry in day.compacted), *day.segments]]


def seen(folder: Path) -> list[Row]:
    """Request, row and prediction of everything that a reader sees."""
    with reading(folder):
        return sorted(row for path in visible(folder) for row in rows_of(path))


def rows_of(path: Path) -> list[Row]:
    """Request, row and prediction of a file."""
    with open(path, "rb") as file:
        table: pa.Table = pq.read_table(file, columns=["request_id", "row", "prediction"])
    return list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
