"""Health, status and shutdown."""

from __future__ import annotations

import os

from fastapi import APIRouter, BackgroundTasks

from mlops_workbench.client.bodies import Health, ShutdownRequest
from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.events import WorkspaceStatus
from mlops_workbench.core.version import __version__

router = APIRouter(tags=["status"])


@router.get("/health")
def health(plane: Plane) -> Health:
    """Version, workspace folder and process id."""
    return Health(__version__, str(plane.workspace.root), os.getpid())


@router.get("/status")
def get_status(plane: Plane) -> WorkspaceStatus:
    """Processes, delivery and counts."""
    return plane.status()


@router.post("/shutdown", status_code=202)
def shutdown(plane: Plane, request: ShutdownRequest, later: BackgroundTasks) -> Health:
    """Stop the control plane after this response."""
    later.add_task(plane.shut_down, keep_endpoints=request.keep_endpoints)
    return health(plane)
