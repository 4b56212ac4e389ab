"""Endpoints."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mlops_workbench.client.bodies import MOST_LOG_LINES, DeployRequest, EndpointLog
from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.endpoints import Endpoint
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


@router.put("/endpoints/{name}", status_code=202)
def deploy(plane: Plane, name: Annotated[str, Documented(NAME)], request: DeployRequest) -> Endpoint:
    """Serve a model version; the response does not wait until it is ready."""
    return plane.deploy(name, request)


@router.post("/endpoints/{name}/rollback", status_code=202)
def rollback_endpoint(plane: Plane, name: str) -> Endpoint:
    """Serve the previous version again."""
    endpoint = plane.endpoints.rollback(name)
    plane.wake("endpoints")
    return endpoint


@router.delete("/endpoints/{name}", status_code=204)
def remove_endpoint(plane: Plane, name: str) -> None:
    """Stop an endpoint permanently."""
    plane.endpoints.remove(name)
    plane.wake("endpoints")
