"""What starts by itself, and what it did."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.schedules import Occasion, Schedule

router = APIRouter(tags=["schedules"])


@router.get("/schedules")
def list_schedules(plane: Plane) -> list[Schedule]:
    """Pipelines and notebooks that start by themselves."""
    return plane.schedules.schedules()


@router.get("/schedules/{name}")
def get_schedule(plane: Plane, name: str) -> Schedule:
    """What starts a pipeline or a notebook."""
    return plane.schedules.schedule(name)


@router.get("/schedules/{name}/occasions")
def list_occasions(plane: Plane, name: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[Occasion]:
    """What happened, newest first: why it was started, and why not."""
    return plane.schedules.occasions(name, limit)


@router.post("/schedules/{name}/pause")
def pause_schedule(plane: Plane, name: str) -> Schedule:
    """Start nothing until it is resumed."""
    return plane.schedules.pause(name)


@router.post("/schedules/{name}/resume")
def resume_schedule(plane: Plane, name: str) -> Schedule:
    """Start again; what happened during the pause starts nothing."""
    return plane.schedules.resume(name)
