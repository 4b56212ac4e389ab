"""Sessions in the read index: the processes that write the journals, and their heartbeats."""

from __future__ import annotations

import sqlite3

from mlops_workbench.core.records import Heartbeat, SessionEnd, SessionStart
from mlops_workbench.tracking.mapping.values import as_text


def put_session(connection: sqlite3.Connection, session: str, record: SessionStart) -> None:
    """Write the process of a session to the index."""
    connection.execute(
        "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, 0, ?, 0, 0) ON CONFLICT (session) DO UPDATE SET"
        " pid=excluded.pid, process_started=excluded.process_started, host=excluded.host, user=excluded.user,"
        " ended=0, gone=0",
        (session, record.pid, record.process_started, record.host, as_text(record.user), record.started_ms),
    )


def ensure_session(connection: sqlite3.Connection, session: str) -> None:
    """Add a row for a session whose first journal, which names its process, may have expired.

    Such a session is judged by its heartbeats only, as one on another host.
    """
    if not connection.execute("SELECT 1 FROM sessions WHERE session = ?", (session,)).fetchone():
        connection.execute("INSERT INTO sessions VALUES (?, 0, 0, '', '', 0, 0, 0, 0)", (session,))


def put_heartbeat(connection: sqlite3.Connection, session: str, record: Heartbeat) -> list[str]:
    """Write a heartbeat to the index; return the uids of the runs that it reopens, which were ended as dead."""
    ensure_session(connection, session)
    connection.execute(
        "UPDATE sessions SET due_ms=?, last_ms=max(last_ms, ?) WHERE session=?",
        (record.due_ms, record.at_ms, session),
    )
    revived = connection.execute(
        "UPDATE runs SET status='RUNNING', end_ms=0, reaped=0, error='' WHERE reaped=1 AND end_ms < ?"
        " AND uid IN (SELECT uid FROM run_sessions WHERE session=?) RETURNING uid",
        (record.at_ms, session),
    )
    return [uid for (uid,) in revived.fetchall()]


def end_session(connection: sqlite3.Connection, session: str, record: SessionEnd) -> None:
    """Note that the session has closed its journal."""
    ensure_session(connection, session)
    connection.execute("UPDATE sessions SET ended=1, last_ms=max(last_ms, ?) WHERE session=?", (record.at_ms, session))
