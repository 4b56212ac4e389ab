"""Monitors and alerts."""

from __future__ import annotations

from fastapi import APIRouter

from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.monitors import Alert, MonitorReport, MonitorSpec

router = APIRouter(tags=["monitors"])


@router.get("/monitors")
def list_monitors(plane: Plane) -> list[MonitorReport]:
    """Every monitor with its windows."""
    return plane.monitors.reports()


@router.get("/monitors/{endpoint}")
def get_monitor(plane: Plane, endpoint: str) -> MonitorReport:
    """The monitor of an endpoint."""
    return plane.monitors.report(endpoint)


@router.put("/monitors")
def put_monitor(plane: Plane, spec: MonitorSpec) -> MonitorReport:
    """Create or change the monitor of an endpoint."""
    return plane.monitors.put(spec)


@router.post("/monitors/{endpoint}/evaluate")
def evaluate_monitor(plane: Plane, endpoint: str) -> MonitorReport:
    """Evaluate the monitor of an endpoint now."""
    return plane.monitors.evaluate(endpoint)


@router.get("/alerts")
def list_alerts(plane: Plane, endpoint: str | None = None) -> list[Alert]:
    """Alerts, newest first."""
    return plane.monitors.alerts(endpoint)
