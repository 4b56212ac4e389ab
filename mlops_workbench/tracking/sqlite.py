"""Many rows into an SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

#: Rows in one statement. Python's interpreter lock is taken and given once a statement, so that the other thread of
#: ingest is not waited for at every row.
_ROWS = 400


def insert_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute an ``INSERT ... VALUES`` with hundreds of rows a statement."""
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        marks = "(" + ",".join("?" * len(some[0])) + ")"
        connection.execute(statement + ",".join([marks] * len(some)), [value for row in some for value in row])
