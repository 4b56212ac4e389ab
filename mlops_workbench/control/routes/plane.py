"""What routes depend on: the services, and for changes that this control plane leads."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response

from mlops_workbench.client.bodies import CATCHING_UP
from mlops_workbench.control.plane import ControlPlane


def _plane(request: Request) -> ControlPlane:
    plane: ControlPlane = request.app.state.plane
    return plane


Plane = Annotated[ControlPlane, Depends(_plane)]


def changes_if_leading(request: Request, plane: Plane) -> None:
    """Refuse a change while this control plane stands by, before any part of it is made."""
    if request.method not in ("GET", "HEAD"):
        plane.check_leads()


def _catch_up(plane: Plane, response: Response) -> None:
    if not plane.runs.catch_up():
        response.headers[CATCHING_UP] = "true"


#: Of every route that reads runs: the answer has what was logged before, or is marked as catching up.
READS_RUNS = Depends(_catch_up)
