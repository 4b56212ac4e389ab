"""Leadership: of the control planes that use one database, one changes it and acts on it; the others stand by."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import threading
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

#: Key of the advisory lock; any number that no other program takes in this database.
_LOCK = 0x6D6C6F7073  # "mlops"


class Leadership(Protocol):
    """A lock that ends with the process that holds it."""

    def holds(self) -> bool:
        """Whether this process leads; takes the lock if nobody has it."""

    def leader(self) -> str:
        """Which process leads, as text; empty when unknown."""

    def release(self) -> None:
        """Let another process lead."""


def me() -> str:
    """Describe this process to others."""
    return f"process {os.getpid()} on {platform.node() or 'this machine'}"


class FileLeadership:
    """Leadership by a locked file beside an SQLite database.

    Parameters
    ----------
    file : Path
        The database.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.with_name(f"{file.name}.lock")
        self._descriptor: int | None = None
        self._changing = threading.Lock()

    def holds(self) -> bool:
        """Whether this process leads; takes the lock if nobody has it."""
        with self._changing:
            if self._descriptor is not None:
                return True
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            os.ftruncate(descriptor, 0)
            os.write(descriptor, me().encode())
            self._descriptor = descriptor
            return True

    def leader(self) -> str:
        """Which process leads, as text; empty when unknown."""
        with contextlib.suppress(OSError):
            return self._file.read_text(errors="replace")
        return ""

    def release(self) -> None:
        """Let another process lead."""
        with self._changing:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


class AdvisoryLeadership:
    """Leadership by an advisory lock of a PostgreSQL session, which ends with its connection.

    Parameters
    ----------
    engine : Engine
        The database. The lock is lost behind a pooler in transaction mode.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._changing = threading.Lock()

    def holds(self) -> bool:
        """Whether this process leads; takes the lock if nobody has it.

        Raises
        ------
        SQLAlchemyError
            The server does not answer.
        """
        with self._changing:
            if self._connection is not None:
                try:
                    self._connection.execute(text("SELECT 1"))
                    return True
                except SQLAlchemyError:
                    self._let_go()
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                connection.execute(text("SELECT set_config('application_name', :me, false)"), {"me": f"mlops: {me()}"})
                if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}).scalar():
                    # Not given back to the pool: the lock belongs to this connection.
                    connection.detach()
                    self._connection = connection
                    return True
            finally:
                if self._connection is not connection:
                    connection.close()
            return False

    def leader(self) -> str:
        """Which process leads, as text; empty when unknown."""
        query = text(
            "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' "
            "AND granted AND (classid::bigint << 32 | objid::bigint) = :key AND pg_locks.database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        with contextlib.suppress(SQLAlchemyError), self._engine.connect() as connection:
            return str(connection.execute(query, {"key": _LOCK}).scalar() or "").removeprefix("mlops: ")
        return ""

    def release(self) -> None:
        """Let another process lead."""
        with self._changing:
            self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None
