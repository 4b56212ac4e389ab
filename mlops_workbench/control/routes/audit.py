"""The audit trail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mlops_workbench.control.audit.checkpoints import parse_anchor
from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.audit import AuditEntry, AuditReport

router = APIRouter(tags=["audit"])


@router.get("/audit")
def list_audit(
    plane: Plane,
    subject: str = "",
    action: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> list[AuditEntry]:
    """Who changed models and endpoints, newest first; `before`: only entries with a smaller number."""
    return plane.audit.entries(subject, action, limit, before)


@router.get("/audit/verify")
def verify_audit(
    plane: Plane, anchor: Annotated[str | None, Query(pattern="^[0-9]{1,9}:[0-9a-f]{64}$")] = None
) -> AuditReport:
    """Whether the trail is as it was written; `anchor`: the number and hash of an entry that must be in it."""
    return plane.audit.verify(parse_anchor(anchor) if anchor else None)
