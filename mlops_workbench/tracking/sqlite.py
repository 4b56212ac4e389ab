"""SQLite: many rows in one statement, and a copy of a database before it is migrated."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import StorageError

#: Rows in one statement. Python's interpreter lock is taken and given once a statement, so that the other thread of
#: ingest is not waited for at every row.
_ROWS = 400


def insert_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute an ``INSERT ... VALUES`` with hundreds of rows a statement."""
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        marks = "(" + ",".join("?" * len(some[0])) + ")"
        connection.execute(statement + ",".join([marks] * len(some)), [value for row in some for value in row])


def keep_database(file: Path, revision: str) -> Path:
    """Copy a database to ``<stem>-<revision>.db`` beside it, unless that copy exists.

    Raises
    ------
    StorageError
        The copy cannot be made.
    """
    copy = file.with_name(f"{file.stem}-{revision}{file.suffix}")
    if copy.exists():
        return copy
    unfinished = copy.with_suffix(".tmp")
    try:
        unfinished.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(file)) as source, contextlib.closing(sqlite3.connect(unfinished)) as to:
            # Includes what is still in the write-ahead log, which a copy of the file would lack.
            source.backup(to)
        os.replace(unfinished, copy)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"{file.name} cannot be copied before it is migrated: {error}",
            where=str(copy),
            hint="check that the folder is writable and has room",
        ) from error
    return copy
