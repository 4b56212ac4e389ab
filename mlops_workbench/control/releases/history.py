"""The history of what endpoints served: what was decided, by whom and why, and since when it answered."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from mlops_workbench.control.database import Database
from mlops_workbench.control.releases import quarantine
from mlops_workbench.control.tables import ReleaseRow, ReplayRow, ServedRow
from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.errors import NotFound, did_you_mean
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.models import model_name
from mlops_workbench.core.releases import Quarantine, Release, ReleaseKind, ReplayReport

#: Releases of an endpoint that are shown.
MOST_SHOWN = 1000
#: Milliseconds by which a clock may have been set back between a decision and its effect.
_SLACK_MS = 1000


def add_release(
    session: Session,
    endpoint: str,
    model: str,
    version: int,
    replaced: int,
    kind: ReleaseKind,
    reason: str,
    *,
    by: str = "",
    replay: int = 0,
) -> None:
    """Record a change of what an endpoint serves, see `Release`; by default whoever acts has decided it."""
    session.add(
        ReleaseRow(
            endpoint=endpoint, model=model, version=version, replaced=replaced, kind=kind, reason=reason,
            actor=by or quarantine.who(), replay=replay, at_ms=now_ms(),
        )
    )  # fmt: skip


def versions_before(session: Session, endpoint: str) -> list[int]:
    """Versions that an endpoint had, the newest first, since it was made or given another model; 0 for none."""
    query = select(ReleaseRow).where(ReleaseRow.endpoint == endpoint).order_by(ReleaseRow.id.desc())
    found: list[int] = []
    for row in session.scalars(query):
        found += [row.version, row.replaced]
        if not row.replaced:
            break
    return found


class ReleaseHistory:
    """Reads the history, and notes since when versions answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[str, tuple[int, str]] = {}
        self._noting = threading.Lock()

    def of(self, endpoint: str) -> list[Release]:
        """Releases of an endpoint, the newest first.

        Raises
        ------
        NotFound
            It never had one; the hint names the nearest that had.
        """
        query = select(ReleaseRow).where(ReleaseRow.endpoint == endpoint).order_by(ReleaseRow.id.desc())
        served = select(ServedRow).where(ServedRow.endpoint == endpoint).order_by(ServedRow.id)
        with self._database.session() as session:
            rows = list(session.scalars(query.limit(MOST_SHOWN)))[::-1]
            if not rows:
                known = session.scalars(select(ReleaseRow.endpoint).distinct()).all()
                raise NotFound(f"endpoint '{endpoint}' never had a release", hint=did_you_mean(endpoint, known))
            spans = _spans(rows, list(session.scalars(served)))
            replays = _replays(session, rows)
            found: dict[tuple[str, int], Quarantine | None] = {}
            for row in rows:
                key = (model_name(row.model), row.version)
                if key not in found:
                    found[key] = quarantine.find(session, *key) if row.version and row.model else None
        return [
            Release(
                row.endpoint, row.model, row.version, row.replaced, msgspec.convert(row.kind, ReleaseKind), row.reason,
                row.actor, row.at_ms, *span, replays.get(row.replay), found[(model_name(row.model), row.version)],
            )
            for row, span in zip(rows, spans, strict=True)
        ][::-1]  # fmt: skip

    def note(self, endpoint: Endpoint) -> None:
        """Note the version that answers, if it is another one than before."""
        if endpoint.version and endpoint.url and endpoint.since_ms:
            self._note(endpoint.name, endpoint.version, endpoint.digest, endpoint.since_ms)

    def note_end(self, name: str) -> None:
        """Note that an endpoint has stopped for good."""
        self._note(name, 0, "", now_ms())

    def _note(self, name: str, version: int, digest: str, since_ms: int) -> None:
        with self._noting:
            if self._noted.get(name) == (version, digest):
                return
            query = select(ServedRow).where(ServedRow.endpoint == name).order_by(ServedRow.id.desc()).limit(1)
            with self._database.change() as session:
                last = session.scalar(query)
                if (last.version, last.digest) != (version, digest) if last is not None else version:
                    session.add(ServedRow(endpoint=name, version=version, digest=digest, since_ms=since_ms))
            self._noted[name] = (version, digest)


def _spans(rows: Sequence[ReleaseRow], served: Sequence[ServedRow]) -> list[tuple[int, int]]:
    """Since when and until when each release answered; the oldest comes first in all of these."""
    spans = []
    place = 0
    for number, row in enumerate(rows):
        # A later release of the same version has a beginning of its own.
        later = next((other.at_ms for other in rows[number + 1 :] if other.version == row.version), None)
        found = next(
            (
                at
                for at in range(place, len(served))
                if served[at].version == row.version
                and (number == 0 or served[at].since_ms >= row.at_ms - _SLACK_MS)
                and (later is None or served[at].since_ms < later)
            ),
            None,
        )
        if found is None or not row.version:
            spans.append((0, 0))
            continue
        place = found + 1
        spans.append((served[found].since_ms, served[place].since_ms if place < len(served) else 0))
    return spans


def _replays(session: Session, rows: Sequence[ReleaseRow]) -> dict[int, ReplayReport]:
    ids = {row.replay for row in rows if row.replay}
    if not ids:
        return {}
    query = select(ReplayRow).where(ReplayRow.id.in_(ids))
    return {row.id: msgspec.convert(row.report, ReplayReport) for row in session.scalars(query)}
