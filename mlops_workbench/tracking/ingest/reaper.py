"""End the runs of dead processes.

A run whose process died has no end in any journal. The reaper writes one to a journal of its own, so that
the read index, a rebuilt index and MLflow all read it in the same way.

A run is ended only when every session that wrote to it is dead: a stage's kernel may end long before the
pipeline that started the run, and the pipeline's process may die while the kernel still works.

A session on another host is judged by its heartbeats. Its runs are ended when a heartbeat is overdue; since the
host may have been suspended or disconnected, its files are still read, and its next heartbeat reopens its runs.
"""

from __future__ import annotations

import platform
import sqlite3

import msgspec

from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.records import TYPE_NUMBERS, Record, RunEnd, RunStart, SessionEnd
from mlops_workbench.core.sessions import session_start
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.journal import JournalWriter
from mlops_workbench.tracking.journals.files import REAPER

#: How much the heartbeat of a session on another host may be overdue.
GRACE_MS = 60_000
#: A session on another host without a heartbeat is dead after a day.
_UNPROMISED_MS = 86_400_000
#: Without a heartbeat for this long, the files of a session on another host are not read any more.
_FORGOTTEN_MS = 30 * 86_400_000

ERROR = "the process of this run ended without closing it"


def dead_sessions(connection: sqlite3.Connection) -> set[str]:
    """Sessions that have ended or whose process is dead, without those already marked so in the index."""
    here, now = platform.node(), now_ms()
    dead = set()
    for session, pid, started, host, due_ms, last_ms, ended in connection.execute(
        "SELECT session, pid, process_started, host, due_ms, last_ms, ended FROM sessions WHERE gone = 0"
    ).fetchall():
        if ended:
            dead.add(session)
        elif host == here:
            if not ProcessIdentity(pid, started).alive():
                dead.add(session)
        # Without a host the process is unknown and may still write.
        elif host and now > max(due_ms, last_ms) + _FORGOTTEN_MS:
            dead.add(session)
    return dead


def orphaned_runs(connection: sqlite3.Connection) -> list[tuple[str, bool, int]]:
    """Open runs that no living session writes to, as ``(uid, started, time of the last record in ms)``."""
    return [
        (uid, bool(started), max(last_ms, session_ms or 0))
        for uid, started, last_ms, session_ms in connection.execute(
            "SELECT r.uid, r.started, r.last_ms, max(s.last_ms) FROM runs r JOIN run_sessions rs ON rs.uid = r.uid"
            " LEFT JOIN sessions s ON s.session = rs.session WHERE r.status = 'RUNNING'"
            " GROUP BY r.uid HAVING min(CASE WHEN s.session IS NULL THEN 0 WHEN s.gone = 1 THEN 1"
            "  WHEN s.host = :here THEN 0"
            "  ELSE :now > iif(s.due_ms > 0, s.due_ms + :grace, max(s.last_ms, r.last_ms) + :unpromised) END) = 1",
            {"here": platform.node(), "now": now_ms(), "grace": GRACE_MS, "unpromised": _UNPROMISED_MS},
        ).fetchall()
    ]


def write_ends(workspace: Workspace, runs: list[tuple[str, bool, int]]) -> None:
    """Write the end of `runs` to a journal, and the start of those whose start was lost."""
    session = REAPER + new_id()
    writer = JournalWriter(workspace.journal, session, segment_bytes=1 << 22, fsync_seconds=60.0)
    try:
        _append(writer, session_start(session))
        for uid, started, last_ms in runs:
            if not started:
                experiment = workspace.settings.tracking.experiment
                _append(writer, RunStart(uid, f"recovered-{uid[:8]}", experiment, last_ms or now_ms()))
            _append(writer, RunEnd(uid, last_ms or now_ms(), "KILLED", error=ERROR, complete=started))
        _append(writer, SessionEnd(now_ms()))
        writer.sync()
    finally:
        writer.close()


def _append(writer: JournalWriter, record: Record) -> None:
    writer.append(TYPE_NUMBERS[type(record)], msgspec.msgpack.encode(record))
