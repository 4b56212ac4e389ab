"""Versions in quarantine: what a rollback leaves does not come back unless someone asks for just that."""

from __future__ import annotations

import re
from dataclasses import replace

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from mlops_workbench.control.audit.actors import acting
from mlops_workbench.control.audit.subjects import model_subject
from mlops_workbench.control.audit.trail import append
from mlops_workbench.control.database import Database
from mlops_workbench.control.tables import QuarantineRow, VersionRow
from mlops_workbench.core.errors import InvalidInput, Quarantined
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.models import ModelVersion
from mlops_workbench.core.releases import Quarantine
from mlops_workbench.core.shown.formats import moment
from mlops_workbench.core.tags import ANSWERS
from mlops_workbench.core.wire.patterns import MAX_REASON, REASON


def check_reason(reason: str, where: str, example: str) -> None:
    """Raise `InvalidInput` unless this is a line of text."""
    if len(reason) > MAX_REASON or not re.fullmatch(REASON, reason):
        raise InvalidInput(
            f"the {where} is a line of text of at most {MAX_REASON:,} characters", where=where, hint=example
        )


def who() -> str:
    """Who acts, as it is shown: name and where the request came from."""
    found = acting()
    return f"{found.name} ({found.source})"


def find(session: Session, model: str, version: int, digest: str = "") -> Quarantine | None:
    """The quarantine of a version, None if it is in none.

    Parameters
    ----------
    session : Session
        A session.
    model, version
        The version.
    digest : str
        Identity of its model, if it is known without a look at the database.
    """
    rows = _rows(session, model, version, digest)
    return quarantine_of(rows[-1]) if rows else None


def shown(database: Database, versions: list[ModelVersion]) -> list[ModelVersion]:
    """Versions with the quarantines that they are in."""
    with database.session() as session:
        query = select(QuarantineRow.id).where(QuarantineRow.lifted_ms == 0).limit(1)
        if session.scalar(query) is None:
            return versions
        found = [find(session, one.name, one.version, one.digest) for one in versions]
    return [replace(one, quarantine=its) for one, its in zip(versions, found, strict=True)]


def impose(session: Session, model: str, version: int, returns_to: int, reason: str, digest: str = "") -> None:
    """Put a version in quarantine, unless it is in one.

    Parameters
    ----------
    session : Session
        Of the rollback.
    model, version
        The version that is left.
    returns_to : int
        The version that is returned to. If both give the same answers, these are not the reason.
    reason : str
        Why, in words.
    digest : str
        Identity of the model of the version, if it is known.
    """
    subject = model_subject(session, model, version, digest)
    if _rows(session, model, version, subject.digest):
        return
    answers = _answers(session, model, version)
    if answers == _answers(session, model, returns_to):
        answers = ""
    session.add(
        QuarantineRow(
            model=model, version=version, digest=subject.digest, answers=answers, reason=reason, actor=who(),
            at_ms=now_ms(), lifted_ms=0, lifted_by="", lifted_reason="",
        )
    )  # fmt: skip
    append(session, "model.quarantine", subject, reason=reason)


def check(session: Session, model: str, version: int, digest: str = "", *, release: str = "") -> None:
    """Raise `Quarantined` for a version in quarantine; with a reason in `release`, lift it instead."""
    rows = _rows(session, model, version, digest)
    if not rows:
        return
    if not release:
        raise refusal(quarantine_of(rows[-1]), model, version)
    for row in rows:
        row.lifted_ms, row.lifted_by, row.lifted_reason = now_ms(), who(), release
    before = rows[-1]
    append(
        session, "model.lift_quarantine", model_subject(session, model, version, digest), reason=release,
        before={"quarantine": f"{before.reason} ({before.actor})"},
    )  # fmt: skip


def refusal(found: Quarantine, model: str, version: int) -> Quarantined:
    """The error of who brings a version back."""
    same = f" as {found.model}/{found.version}" if (found.model, found.version) != (model, version) else ""
    return Quarantined(
        f"{model}/{version} is in quarantine: {found.by} rolled it back{same} at {moment(found.at_ms)}: {found.reason}",
        hint="nothing was changed. To bring it back nevertheless, repeat the command with --release-quarantine REASON",
    )


def quarantine_of(row: QuarantineRow) -> Quarantine:
    """The noun of a row."""
    return Quarantine(row.model, row.version, row.digest, row.reason, row.actor, row.at_ms)


def _rows(session: Session, model: str, version: int, digest: str) -> list[QuarantineRow]:
    """Rows in force, the oldest first. A number alone may be that of another model, which has another digest."""
    known = digest or model_subject(session, model, version).digest
    numbered = and_(QuarantineRow.model == model, QuarantineRow.version == version)
    if known:
        numbered = or_(QuarantineRow.digest == known, and_(numbered, QuarantineRow.digest == ""))
    if answers := _answers(session, model, version):
        # A model that is fitted anew on the same data has another digest and the same answers.
        numbered = or_(numbered, QuarantineRow.answers == answers)
    query = select(QuarantineRow).where(QuarantineRow.lifted_ms == 0, numbered).order_by(QuarantineRow.id)
    return list(session.scalars(query))


def _answers(session: Session, model: str, version: int) -> str:
    row = session.get(VersionRow, (model, version)) if version else None
    return row.tags.get(ANSWERS, "") if row is not None else ""
