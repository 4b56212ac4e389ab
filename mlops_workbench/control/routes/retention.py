"""What the rule of retention removes, and runs that are kept from it."""

from __future__ import annotations

from fastapi import APIRouter

from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.retention import Kept, RetentionReport

router = APIRouter(tags=["retention"])


@router.get("/retention")
def get_retention(plane: Plane) -> RetentionReport:
    """What the rule would remove now, and why the rest stays."""
    return plane.retention.preview()


@router.post("/retention")
def apply_retention(plane: Plane) -> RetentionReport:
    """Remove what the rule lets go."""
    return plane.retention.apply()


@router.put("/retention/kept/{ref}")
def keep_run(plane: Plane, ref: str) -> Kept:
    """Keep the files of a run from the rule."""
    return plane.retention.keep(ref, kept=True)


@router.delete("/retention/kept/{ref}")
def release_run(plane: Plane, ref: str) -> Kept:
    """Leave the files of a run to the rule."""
    return plane.retention.keep(ref, kept=False)
