"""Endpoints."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mlops_workbench.client.bodies import (
    MOST_LOG_LINES,
    DeployRequest,
    EndpointLog,
    LendRequest,
    LentProcess,
    RollbackRequest,
)
from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.releases import Release, RollbackPlan
from mlops_workbench.core.wire.patterns import NAME, Documented

router = APIRouter(tags=["endpoints"])


@router.get("/endpoints")
def list_endpoints(plane: Plane) -> list[Endpoint]:
    """State of every endpoint."""
    return plane.endpoints.all()


@router.get("/endpoints/{name}")
def get_endpoint(plane: Plane, name: str) -> Endpoint:
    """State of an endpoint."""
    return plane.endpoints.get(name)


@router.get("/endpoints/{name}/log")
def get_endpoint_log(
    plane: Plane,
    name: str,
    lines: Annotated[int, Query(ge=1, le=MOST_LOG_LINES)] = 50,
    after: Annotated[int, Query(ge=-1, le=2**53)] = -1,
) -> EndpointLog:
    """The last lines of the log of an endpoint's process, or with `after` the first ones from that position on."""
    return EndpointLog(*plane.endpoints.log(name, lines, after))


@router.post("/scoring-processes")
def lend_process(plane: Plane, request: LendRequest) -> LentProcess:
    """Make a process that has imported its libraries score files for whoever listens at a socket of this machine."""
    return plane.endpoints.lend_process(request)


@router.put("/endpoints/{name}", status_code=202)
def deploy(plane: Plane, name: Annotated[str, Documented(NAME)], request: DeployRequest) -> Endpoint:
    """Serve a model version; the response does not wait until it is ready."""
    return plane.deploy(name, request)


@router.post("/endpoints/{name}/rollback", status_code=202)
def rollback_endpoint(plane: Plane, name: str, request: RollbackRequest) -> Endpoint:
    """Serve the previous version again, and put the one that is left in quarantine."""
    endpoint = plane.endpoints.rollback(name, request)
    plane.wake("endpoints")
    return endpoint


@router.get("/endpoints/{name}/rollback")
def plan_rollback_of_endpoint(plane: Plane, name: str) -> RollbackPlan:
    """The versions that a rollback would leave and return to."""
    return plane.endpoints.plan(name)


@router.get("/endpoints/{name}/releases")
def list_releases(plane: Plane, name: str) -> list[Release]:
    """What an endpoint served when, why and by whom, the newest first; removed endpoints have a history too."""
    return plane.endpoints.releases(name)


@router.delete("/endpoints/{name}", status_code=204)
def remove_endpoint(plane: Plane, name: str) -> None:
    """Stop an endpoint permanently."""
    plane.endpoints.remove(name)
    plane.wake("endpoints")
