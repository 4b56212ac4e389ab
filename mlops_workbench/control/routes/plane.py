"""The parameter through which routes access the services."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from mlops_workbench.control.plane import ControlPlane


def _plane(request: Request) -> ControlPlane:
    plane: ControlPlane = request.app.state.plane
    return plane


Plane = Annotated[ControlPlane, Depends(_plane)]
