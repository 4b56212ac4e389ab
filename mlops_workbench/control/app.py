"""The HTTP application: routes and error responses."""

from __future__ import annotations

import logging

import orjson
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mlops_workbench.client.bodies import Problem
from mlops_workbench.control.audit.actors import RequestActors
from mlops_workbench.control.request_bodies import RequestBodies
from mlops_workbench.control.routes import (
    audit,
    data,
    endpoints,
    events,
    hooks,
    models,
    monitors,
    pipelines,
    retention,
    runs,
    schedules,
    status,
    sweeps,
)
from mlops_workbench.control.routes.plane import changes_if_leading
from mlops_workbench.core.errors import InvalidInput, NotFound, WorkbenchError
from mlops_workbench.core.files import disk_error
from mlops_workbench.core.version import __version__

log = logging.getLogger("mlops_workbench.control")

#: Codes of the errors that the framework answers with.
_CODES = {405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


def create_app() -> FastAPI:
    """The application; the process sets ``app.state.plane`` to the services."""
    app = FastAPI(
        title="mlops-workbench control plane",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        responses={"4XX": {"model": Problem, "description": "What was wrong, where, and how to fix it"}},
    )
    for module in (status, runs, data, events, hooks):
        app.include_router(module.router, prefix="/api")
    for module in (models, endpoints, pipelines, sweeps, schedules, monitors, retention, audit):
        app.include_router(module.router, prefix="/api", dependencies=[Depends(changes_if_leading)])
    app.add_middleware(RequestBodies)
    app.add_middleware(RequestActors)
    app.add_exception_handler(WorkbenchError, _workbench_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _answer(error: WorkbenchError) -> Response:
    return Response(orjson.dumps(error.to_dict()), error.status, media_type="application/json")


def _workbench_error(_request: Request, error: Exception) -> Response:
    return _answer(error if isinstance(error, WorkbenchError) else WorkbenchError(str(error)))


def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return _answer(InvalidInput(f"{place}: {first['msg']}", where=place, hint="/api/openapi.json has the schema"))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _answer(NotFound(f"no route {request.url.path}", hint="/api/openapi.json lists the routes"))
    problem = WorkbenchError(str(error.detail), where=request.url.path)
    problem.status = error.status_code
    problem.code = _CODES.get(error.status_code, InvalidInput.code)
    answer = _answer(problem)
    # Allow, for a method that a route does not have.
    answer.headers.update(error.headers or {})
    return answer


def _unexpected(request: Request, error: Exception) -> Response:
    if (found := disk_error(error, request.app.state.plane.workspace.state)) is not None:
        log.error("%s %s failed: %s", request.method, request.url.path, found)
        return _answer(found)
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(
        WorkbenchError(
            f"this is a defect of the workbench: {type(error).__name__}: {error}",
            where=request.url.path,
            hint="the control plane's log (.mlops/logs/control.log) has the details",
        )
    )
