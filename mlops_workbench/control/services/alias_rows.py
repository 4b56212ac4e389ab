"""The rows of aliases: how they follow a look at MLflow, and the record of each change."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from mlops_workbench.control.audit.actors import IN_MLFLOW
from mlops_workbench.control.audit.subjects import model_subject
from mlops_workbench.control.audit.trail import append
from mlops_workbench.control.releases import quarantine
from mlops_workbench.control.tables import AliasChangeRow, AliasRow
from mlops_workbench.core.audit import Action
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.models import GateResult
from mlops_workbench.core.releases import Quarantine
from mlops_workbench.registry.aliases import Alias, is_previous, previous_of, reconciled
from mlops_workbench.tracking.mlflow.registry import StoredModel

log = logging.getLogger("mlops_workbench.control")

#: Reasons of changes.
PROMOTED = "promoted"
ROLLED_BACK = "rolled back"
SET_IN_MLFLOW = "set in MLflow"
DELETED_IN_MLFLOW = "deleted in MLflow"


def differs(model: StoredModel, rows: Mapping[str, AliasRow]) -> bool:
    """Whether MLflow has other aliases than when they were last read."""
    if any(row.model_created_ms != model.created_ms for row in rows.values()):
        return True
    return model.aliases != {alias: row.stored for alias, row in rows.items() if row.stored}


def reconcile(session: Session, model: StoredModel) -> None:
    """Take over the aliases that others have changed in MLflow."""
    rows = rows_of(session, model.name)
    for alias, row in list(rows.items()):
        if row.model_created_ms != model.created_ms:
            # Of an earlier model of this name.
            session.delete(rows.pop(alias))
    session.flush()
    is_new = not rows
    for alias in sorted({*rows, *model.aliases}):
        here = rows.get(alias)
        known = Alias(here.version, here.stored) if here else Alias()
        after = reconciled(known, model.aliases.get(alias, 0))
        if known.version and after.version not in (0, known.version) and not is_previous(alias):
            found = quarantine.find(session, model.name, after.version)
            if found is not None:
                _refuse(session, model.name, alias, after.version, known.version, found)
                # Ours is written to MLflow again.
                after = Alias(known.version, after.stored)
        _put(session, rows, model, alias, after)
        if after.version == known.version:
            if known.version == known.stored:
                # It was refused above.
                continue
            if after.stored not in (known.stored, after.version):
                log.warning(
                    "'%s' of model '%s' was set to version %d in MLflow; it is version %d, by a change made here",
                    alias, model.name, after.stored, after.version,
                )  # fmt: skip
            continue
        if is_new:
            continue
        reason = SET_IN_MLFLOW if after.version else DELETED_IN_MLFLOW
        log.warning("'%s' of model '%s': version %d, %s", alias, model.name, after.version, reason)
        record_change(session, model.name, alias, after.version, known.version, reason)
        previous = previous_of(alias)
        stored = model.aliases.get(previous, 0)
        was_moved = stored != (rows[previous].stored if previous in rows else 0)
        if after.version and known.version and not was_moved and not is_previous(alias):
            # So that it can be taken back.
            _put(session, rows, model, previous, Alias(known.version, stored))


def rows_of(session: Session, name: str) -> dict[str, AliasRow]:
    """The rows of a model by alias."""
    return {row.alias: row for row in session.scalars(select(AliasRow).where(AliasRow.model == name))}


def set_versions(session: Session, rows: dict[str, AliasRow], model: StoredModel, versions: Mapping[str, int]) -> None:
    """Give versions to aliases, those without a version left out."""
    for alias, version in versions.items():
        if version:
            stored = rows[alias].stored if alias in rows else 0
            _put(session, rows, model, alias, Alias(version, stored))


def _put(session: Session, rows: dict[str, AliasRow], model: StoredModel, alias: str, known: Alias) -> None:
    row = rows.get(alias)
    if row is None:
        if known.version:
            rows[alias] = AliasRow(
                model=model.name, alias=alias, version=known.version, stored=known.stored,
                model_created_ms=model.created_ms,
            )  # fmt: skip
            session.add(rows[alias])
    elif known.version:
        row.version, row.stored = known.version, known.stored
    else:
        session.delete(rows.pop(alias))


#: What a change of an alias is in the audit trail, by its reason.
_ACTIONS: dict[str, Action] = {
    PROMOTED: "model.promote",
    ROLLED_BACK: "model.rollback",
    SET_IN_MLFLOW: "model.take_over",
    DELETED_IN_MLFLOW: "model.take_over",
}


def record_change(
    session: Session,
    model: str,
    alias: str,
    version: int,
    replaced: int,
    reason: str,
    *,
    gate: GateResult | None = None,
    digest: str = "",
    why: str = "",
    words: str = "",
) -> None:
    """Record a change of an alias, in the list of these and in the audit trail."""
    session.add(
        AliasChangeRow(
            model=model, alias=alias, version=version, replaced=replaced, reason=reason,
            gate=msgspec.to_builtins(gate) if gate else None, at_ms=now_ms(),
            actor=IN_MLFLOW.name if _ACTIONS[reason] == "model.take_over" else quarantine.who(), why=words,
        )
    )  # fmt: skip
    action = _ACTIONS[reason]
    append(
        session, action, model_subject(session, model, version, digest),
        reason=f"{reason}: {why}" if why else reason, before={alias: replaced}, after={alias: version},
        evidence=gate, who=IN_MLFLOW if action == "model.take_over" else None,
    )  # fmt: skip


def _refuse(session: Session, model: str, alias: str, version: int, current: int, found: Quarantine) -> None:
    """Record that an alias that was set in MLflow to a version in quarantine is not taken over."""
    error = quarantine.refusal(found, model, version)
    log.warning("'%s' of model '%s', set in MLflow, is version %d again: %s", alias, model, current, error.message)
    append(
        session, "model.refuse", model_subject(session, model, version), outcome="refused",
        reason=f"{SET_IN_MLFLOW}: {error.message}", before={alias: current}, after={alias: current}, who=IN_MLFLOW,
    )  # fmt: skip
