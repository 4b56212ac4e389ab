"""Sweeps."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.sweeps import BestTrial, Sweep, SweepRequest

router = APIRouter(tags=["sweeps"])


@router.post("/sweeps", status_code=202)
def start_sweep(plane: Plane, request: SweepRequest) -> Sweep:
    """Start a sweep; its values, its limits and its first trial are checked first."""
    return plane.sweeps.start(request)


@router.get("/sweeps")
def list_sweeps(plane: Plane, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[Sweep]:
    """Sweeps, newest first, without their trials."""
    return plane.sweeps.sweeps(limit)


@router.get("/sweeps/{sweep_id}")
def get_sweep(plane: Plane, sweep_id: str) -> Sweep:
    """One sweep with its trials."""
    return plane.sweeps.sweep(sweep_id)


@router.get("/sweeps/{sweep_id}/best")
def get_best_trial(plane: Plane, sweep_id: str) -> BestTrial:
    """The best trial of a sweep, and the run whose model can be registered."""
    return plane.sweeps.best(sweep_id)


@router.post("/sweeps/{sweep_id}/cancel")
def cancel_sweep(plane: Plane, sweep_id: str) -> Sweep:
    """End a sweep and the trials that run."""
    return plane.sweeps.cancel(sweep_id)


@router.post("/sweeps/{sweep_id}/resume")
def resume_sweep(plane: Plane, sweep_id: str) -> Sweep:
    """Let a sweep go on that was cancelled, has failed or was killed; trials that have ended are not repeated."""
    return plane.sweeps.resume(sweep_id)
