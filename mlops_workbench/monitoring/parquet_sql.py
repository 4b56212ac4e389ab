"""Parquet files of a log in DuckDB's SQL."""

from __future__ import annotations

import glob
from collections.abc import Sequence


def parquet_source(files: Sequence[str]) -> str:
    """A source of rows of several files, with ``filename`` and ``file_row_number``."""
    # By name, since segments of several versions may have different inputs.
    listed = ", ".join("'" + glob.escape(file).replace("'", "''") + "'" for file in files)
    options = "union_by_name = true, hive_partitioning = false, filename = true, file_row_number = true"
    return f"read_parquet([{listed}], {options})"


def quoted(name: str) -> str:
    """A name of a column."""
    return '"' + name.replace('"', '""') + '"'
