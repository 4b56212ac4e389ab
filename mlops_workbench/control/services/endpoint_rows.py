"""The rows of endpoints, and the record of each change in the audit trail."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mlops_workbench.control.audit.subjects import endpoint_subject
from mlops_workbench.control.audit.trail import append
from mlops_workbench.control.tables import EndpointRow
from mlops_workbench.core.audit import Action
from mlops_workbench.core.endpoints import EndpointSpec


def spec_of(row: EndpointRow) -> EndpointSpec:
    """The noun of a row."""
    return EndpointSpec(row.name, row.model, row.version, row.previous, row.port, row.wanted, row.generation)


def record_change(
    session: Session, action: Action, row: EndpointRow, before: EndpointSpec | None, reason: str = ""
) -> None:
    """Add a change of an endpoint to the audit trail; `row` is as it shall be, `before` what it was."""
    append(
        session, action, endpoint_subject(session, row.name, row.model, row.version), reason=reason,
        before=_served(before) if before is not None else {}, after=_served(spec_of(row)),
    )  # fmt: skip


def _served(spec: EndpointSpec) -> dict[str, int | str]:
    """What an endpoint shall serve; nothing when it is removed."""
    return {"model": spec.model, "version": spec.version, "port": spec.port} if spec.wanted else {}
