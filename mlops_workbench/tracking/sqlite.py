"""SQLite files: reopened when replaced, statements with many rows or values, a copy before a migration."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import put_aside

#: Rows in one statement. The interpreter lock is released once a statement, so that the other thread of ingest does
#: not wait at every row.
_ROWS = 400
#: Values in one ``IN (...)``; SQLite limits the parameters of a statement.
_VALUES = 500

#: Seconds to wait for the lock of another program.
_LOCK_SECONDS = 20.0

#: Runs a statement and returns its rows.
Query: TypeAlias = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


class ReplaceableFile:
    """A connection to an SQLite file that may be deleted or replaced while it is open.

    Parameters
    ----------
    path : Path
        The file.
    connect : callable
        Opens the file at a path.
    """

    def __init__(self, path: Path, connect: Callable[[Path], sqlite3.Connection]) -> None:
        self.path = path
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._inode = -1

    def replaced(self) -> bool:
        """Whether the path holds another file than the open one, or none."""
        return self._inode != self._inode_now()

    def connection(self) -> sqlite3.Connection:
        """The connection, opened again if the file was replaced."""
        if self._connection is None or self.replaced():
            self.close()
            # Read first: a file that replaces this one meanwhile is noticed by the next call.
            inode = self._inode_now()
            self._connection = self._connect(self.path)
            self._inode = inode if inode >= 0 else self._inode_now()
        return self._connection

    def close(self) -> None:
        """Close the file; the next :meth:`connection` opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _inode_now(self) -> int:
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            return -1


def connect_read_only(path: Path, timeout: float) -> sqlite3.Connection:
    """Open an existing file for reading in any thread; wait `timeout` seconds for a lock."""
    # as_uri escapes characters that have a meaning in a URI.
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=timeout, check_same_thread=False)


def select_in(query: Query, sql: str, values: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Rows of a statement with ``IN ?``, for any number of values."""
    for start in range(0, len(values), _VALUES):
        some = values[start : start + _VALUES]
        yield from query(sql.replace("IN ?", f"IN ({','.join('?' * len(some))})"), some)


def insert_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Execute an ``INSERT ... VALUES`` with hundreds of rows a statement."""
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        marks = "(" + ",".join("?" * len(some[0])) + ")"
        connection.execute(statement + ",".join([marks] * len(some)), [value for row in some for value in row])


def is_damaged(error: BaseException, file: Path | None = None) -> bool:
    """Whether an error means that the content of a file is not that of a database, or that `file` cannot be opened.

    The latter holds for a file without the permissions for its owner and for another kind of file.
    """
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return True
    return code == sqlite3.SQLITE_CANTOPEN and file is not None and _is_closed(file)


def _is_closed(file: Path) -> bool:
    try:
        with open(file, "r+b"):
            return False
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP)


def put_database_aside(file: Path) -> Path:
    """Rename a damaged database, and delete its side files, which must not be applied to its successor.

    Returns
    -------
    Path
        The file's new name.
    """
    aside = put_aside(file)
    for name in (f"{file.name}-wal", f"{file.name}-shm", f"{file.name}-journal"):
        file.with_name(name).unlink(missing_ok=True)
    return aside


def copy_database(file: Path, copy: Path) -> None:
    """Copy a database to a new file, with what is still in its write-ahead log.

    Raises
    ------
    sqlite3.Error
        The database cannot be read, or the copy not be written.
    """
    copy.unlink(missing_ok=True)
    write_over(file, copy)


def write_over(file: Path, target: Path) -> None:
    """Write the content of a database into another file in one transaction.

    Raises
    ------
    sqlite3.Error
        The database cannot be read, the target not be written, or another program has locked it for 20 seconds.
    """
    deadline = time.monotonic() + _LOCK_SECONDS

    def check(_status: int, _remaining: int, _total: int) -> None:
        # Python itself waits for a lock without end.
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError("database is locked")

    with contextlib.closing(sqlite3.connect(file)) as source, contextlib.closing(sqlite3.connect(target)) as to:
        source.backup(to, progress=check)


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
        copy_database(file, unfinished)
        os.replace(unfinished, copy)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"{file.name} cannot be copied before it is migrated: {error}",
            where=str(copy),
            hint="check that the folder is writable and has free space",
        ) from error
    return copy
