"""Sessions in the read index: who writes the journals, and their signs of life."""

from __future__ import annotations

import sqlite3

from mlops_workbench.core.records import Heartbeat, SessionEnd, SessionStart
from mlops_workbench.tracking.mapping.values import as_text


def put_session(connection: sqlite3.Connection, session: str, record: SessionStart) -> None:
    """Take in who writes a session's journals."""
    connection.execute(
        "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, 0, ?, 0, 0) ON CONFLICT (session) DO UPDATE SET"
        " pid=excluded.pid, process_started=excluded.process_started, host=excluded.host, user=excluded.user,"
        " ended=0, gone=0",
        (session, record.pid, record.process_started, record.host, as_text(record.user), record.started_ms),
    )


def know_session(connection: sqlite3.Connection, session: str) -> None:
    """Make sure that there is a row for a session: its first journal, which says who writes it, may have expired.

    Of such a session only its silence is known, as of one on another host.
    """
    if not connection.execute("SELECT 1 FROM sessions WHERE session = ?", (session,)).fetchone():
        connection.execute("INSERT INTO sessions VALUES (?, 0, 0, '', '', 0, 0, 0, 0)", (session,))


def put_beat(connection: sqlite3.Connection, session: str, record: Heartbeat) -> list[str]:
    """Take in a sign of life; give the uids of the runs that it brings back, which were given up."""
    know_session(connection, session)
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
    """The session closed its journal in good order."""
    know_session(connection, session)
    connection.execute("UPDATE sessions SET ended=1, last_ms=max(last_ms, ?) WHERE session=?", (record.at_ms, session))
