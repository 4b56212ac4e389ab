"""The audit trail in the database: entries are added in the transaction of a change, read, and verified."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

import msgspec
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from mlops_workbench.control.audit.actors import acting
from mlops_workbench.control.audit.chain import (
    FIRST,
    Link,
    body_of,
    entry_of,
    filed_under,
    hash_of,
    time_ms,
    time_text,
    verify,
)
from mlops_workbench.control.audit.checkpoints import CheckpointFile, absence
from mlops_workbench.control.database import Database
from mlops_workbench.control.tables import AuditRow
from mlops_workbench.core.audit import (
    FORM,
    Action,
    Actor,
    AuditEntry,
    AuditReport,
    Checkpoint,
    Outcome,
    Subject,
)
from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.models import GateResult
from mlops_workbench.core.version import __version__
from mlops_workbench.core.wire.json_numbers import json_value
from mlops_workbench.core.workspace import Workspace

#: Key of the advisory lock of a PostgreSQL database; leadership has another one.
_LOCK = 0x6D6C6F707361  # "mlopsa"
#: Entries that are read at once.
_PAGE = 1000
#: A checkpoint is due after so many entries, or after this time if there are new ones.
_CHECKPOINT_ENTRIES, _CHECKPOINT_MS = 100, 3_600_000


def append(
    session: Session,
    action: Action,
    subject: Subject,
    *,
    reason: str = "",
    before: Mapping[str, int | str] | None = None,
    after: Mapping[str, int | str] | None = None,
    evidence: GateResult | None = None,
    outcome: Outcome = "done",
    who: Actor | None = None,
) -> AuditEntry:
    """Add an entry in the transaction of a session, so that neither it nor the change exists without the other.

    Until the transaction ends, no other process can add one: each entry has the hash of the one before.

    Parameters
    ----------
    session : Session
        Of the change.
    action, subject, reason, before, after, evidence, outcome
        See `AuditEntry`.
    who : Actor, optional
        Who did it; by default the client of the request or the job that calls.

    Returns
    -------
    AuditEntry
        As it is stored.
    """
    session.flush()
    _serialise(session)
    seq, prev = _head(session)
    entry = AuditEntry(
        FORM, seq + 1, time_text(now_ms()), prev, who or acting(), action, subject, outcome, reason,
        dict(before or {}), dict(after or {}), evidence, f"mlops-workbench {__version__}",
    )  # fmt: skip
    body = body_of(entry)
    stored = entry_of(body)
    session.add(AuditRow(seq=seq + 1, prev=prev, hash=hash_of(prev, body), body=body, **filed_under(stored)))
    session.flush()
    return stored


def is_recorded(session: Session, action: Action, subject: Subject) -> bool:
    """Whether there is an entry of this action about this very version, and not an earlier one of its number."""
    query = select(AuditRow.seq, AuditRow.body).where(
        AuditRow.action == action,
        AuditRow.kind == subject.kind,
        AuditRow.subject == subject.name,
        AuditRow.version == subject.version,
    )
    return any(_read(seq, body).subject.digest == subject.digest for seq, body in session.execute(query))


class AuditTrail:
    """Reads and verifies the trail, and keeps a checkpoint of it.

    Parameters
    ----------
    database : Database
        Has the entries.
    workspace : Workspace
        Has the file of the checkpoint.
    """

    def __init__(self, database: Database, workspace: Workspace) -> None:
        self._database = database
        self._workspace = workspace
        self._file = CheckpointFile(workspace.audit_checkpoint)

    def entries(self, subject: str = "", action: str = "", limit: int = 100, before: int = 0) -> list[AuditEntry]:
        """Entries, newest first.

        Parameters
        ----------
        subject : str
            Name of a model or an endpoint; empty for all.
        action : str
            See `core.audit.Action`; empty for all.
        limit : int
            Most entries.
        before : int
            Number of an entry: those before it; 0 for the newest.

        Raises
        ------
        StorageError
            The text of an entry is none.
        """
        query = select(AuditRow.seq, AuditRow.body).order_by(AuditRow.seq.desc()).limit(limit)
        for column, value in ((AuditRow.subject, subject), (AuditRow.action, action)):
            if value:
                query = query.where(column == json_value(value))
        if before:
            query = query.where(AuditRow.seq < before)
        with self._database.session() as session:
            return [_read(seq, body) for seq, body in session.execute(query)]

    def verify(self, anchor: Checkpoint | None = None) -> AuditReport:
        """Whether every entry is as it was written, and the last checkpoint and `anchor` are among them."""
        found = verify(self._links())
        problems = [found.problem] if found.problem else []
        checkpoint = None
        try:
            checkpoint = self._file.read()
        except StorageError as error:
            problems.append(str(error))
        for name, known in (("checkpoint", checkpoint), ("anchor", anchor)):
            if known is not None and (problem := self._absence(known)):
                problems.append(f"the {name} is not in the chain: {problem}")
        return AuditReport(not problems, found.good, found.head, found.bad, problems, checkpoint)

    def step(self) -> None:
        """Write a checkpoint if one is due.

        Raises
        ------
        StorageError
            The last checkpoint is not in the chain, or cannot be read. It stays: it is the evidence.
        """
        with self._database.session() as session:
            seq, head = _head(session)
        known = self._file.read()
        if known is not None and (problem := self._absence(known)):
            raise StorageError(
                f"the audit trail is not the one of its checkpoint: {problem}",
                where=str(self._file.path),
                hint="'mlops audit verify' says more; move the file away when you know why",
            )
        at_ms = now_ms()
        if seq and (known is None or _is_due(known, seq, at_ms)):
            self._file.write(Checkpoint(seq, head, time_text(at_ms), str(self._workspace.root)))

    def _links(self) -> Iterator[Link]:
        query = select(AuditRow).order_by(AuditRow.seq).limit(_PAGE)
        page = query
        while True:
            # A session for each page: a long trail must not hold a transaction.
            with self._database.session() as session:
                rows = list(session.scalars(page))
            for row in rows:
                filed = {name: getattr(row, name) for name in ("at_ms", "action", "kind", "subject", "version")}
                yield Link(row.seq, row.prev, row.hash, row.body, filed)
            if len(rows) < _PAGE:
                return
            page = query.where(AuditRow.seq > rows[-1].seq)

    def _absence(self, known: Checkpoint) -> str:
        with self._database.session() as session:
            found = session.scalar(select(AuditRow.hash).where(AuditRow.seq == known.seq))
            return absence(known, found, _head(session)[0])


def _serialise(session: Session) -> None:
    """Wait until no other transaction adds an entry, and let none begin before this one ends."""
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        return
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    # Python's driver begins a transaction, which then has the lock for writing, with the first change only. What is
    # read before that may be changed by another process.
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _head(session: Session) -> tuple[int, str]:
    found = session.execute(select(AuditRow.seq, AuditRow.hash).order_by(AuditRow.seq.desc()).limit(1)).first()
    return (found.seq, found.hash) if found is not None else (0, FIRST)


def _read(seq: int, body: str) -> AuditEntry:
    try:
        return entry_of(body)
    except msgspec.DecodeError as error:
        raise StorageError(
            f"entry {seq} of the audit trail cannot be read: {error}", hint="'mlops audit verify' says what is wrong"
        ) from error


def _is_due(known: Checkpoint, seq: int, at_ms: int) -> bool:
    return seq - known.seq >= _CHECKPOINT_ENTRIES or (seq > known.seq and at_ms - time_ms(known.at) >= _CHECKPOINT_MS)
