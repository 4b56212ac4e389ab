"""Where a rollback leads: to the newest version that was there before, and that is not in quarantine."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from mlops_workbench.control.releases import quarantine
from mlops_workbench.control.releases.history import versions_before
from mlops_workbench.control.tables import AliasChangeRow, AliasRow
from mlops_workbench.core.endpoints import EndpointSpec
from mlops_workbench.core.errors import Conflict, NotFound, did_you_mean
from mlops_workbench.core.models import model_name
from mlops_workbench.core.releases import Quarantine, RollbackPlan
from mlops_workbench.registry.aliases import previous_of


def way_back_of_alias(session: Session, name: str, alias: str, gone: Collection[int]) -> tuple[RollbackPlan, int]:
    """What a rollback would do, and the version that one after it would return to, 0 for none."""
    rows = {row.alias: row for row in session.scalars(select(AliasRow).where(AliasRow.model == name))}
    if alias not in rows:
        raise NotFound(f"model '{name}' has no alias '{alias}'", hint=did_you_mean(alias, rows))
    current, previous = rows[alias], rows.get(previous_of(alias))
    query = select(AliasChangeRow).where(
        AliasChangeRow.model == name, AliasChangeRow.alias == alias, AliasChangeRow.at_ms >= current.model_created_ms
    )
    held = [previous.version] if previous is not None else []
    for change in session.scalars(query.order_by(AliasChangeRow.id.desc())):
        held += [change.version, change.replaced]
    return plan_of(session, name, name, alias, current.version, [one for one in held if one not in gone])


def plan_of(
    session: Session, name: str, model: str, alias: str, current: int, held: Collection[int]
) -> tuple[RollbackPlan, int]:
    """A rollback to the newest of the versions that were there before, without those in quarantine.

    Parameters
    ----------
    session : Session
        A session.
    name, model, alias : str
        See `RollbackPlan`.
    current : int
        The version that is there now.
    held : collection of int
        The versions that were there before, the newest first; 0 counts for none.

    Returns
    -------
    RollbackPlan
        What a rollback would do.
    int
        The version that one after it would return to, 0 for none.

    Raises
    ------
    Conflict
        There is no version to go back to.
    """
    good: list[int] = []
    passed_over: list[Quarantine] = []
    for version in dict.fromkeys(held):
        if version in (0, current):
            continue
        if found := quarantine.find(session, model, version):
            if not good:
                passed_over.append(found)
            continue
        good.append(version)
        if len(good) > 1:
            break
    if not good:
        bad = "; ".join(f"version {one.version} is in quarantine: {one.reason} ({one.by})" for one in passed_over)
        raise Conflict(
            f"{f'model {model!r}' if alias else f'endpoint {name!r}'} has no version before {current} to go back to"
            + (f"; {bad}" if bad else ""),
            hint=f"promote one: mlops promote {model}/VERSION --alias {alias}"
            if alias
            else f"deploy the version you want: mlops deploy {model}/VERSION --name {name}",
        )
    return RollbackPlan(name, model, alias, current, good[0], passed_over), good[1] if len(good) > 1 else 0


def way_back_of_endpoint(session: Session, spec: EndpointSpec, gone: Collection[int]) -> tuple[RollbackPlan, int]:
    """The same for an endpoint that follows no alias."""
    held = [spec.previous, *versions_before(session, spec.name)]
    known = [version for version in held if version not in gone]
    return plan_of(session, spec.name, model_name(spec.model), "", spec.version, known)


def next_way_back(session: Session, reference: str, version: int) -> int:
    """The version that a rollback of ``name@alias`` would return to from a version; 0 for none."""
    model, _, alias = reference.partition("@")
    row = session.get(AliasRow, (model, previous_of(alias)))
    if row is None or row.version == version or quarantine.find(session, model, row.version):
        return 0
    return row.version
