"""The ASGI application of an endpoint."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.serving.errors import BodyTooLarge, InvalidRequest, NotReady, UnsupportedMedia
from mlops_workbench.serving.guard import Guard, refusal
from mlops_workbench.serving.protocols import metadata
from mlops_workbench.serving.protocols.binary import LENGTH_HEADER
from mlops_workbench.serving.protocols.body import JSON
from mlops_workbench.serving.protocols.encoding import (
    CODINGS,
    check_coding,
    compress,
    decompress,
    response_coding,
)
from mlops_workbench.serving.protocols.openapi import openapi_document
from mlops_workbench.serving.service import MOST_WAITING, Answer, InferenceService

#: Bodies that are compressed and decompressed in a moment; none is inflated to more than a thousand times its size.
_SMALL = 4096
_LOADING = ("load", "unload")


def create_app(service: InferenceService, settings: ServingSettings, version: str = "") -> Starlette:
    """Build the application.

    Parameters
    ----------
    service : InferenceService
        The service of the endpoint; it is closed with the application.
    settings : ServingSettings
        Token and limits.
    version : str
        Version of the workbench, for ``GET /v2``.
    """
    handlers = _Handlers(service, settings, version)
    model = "/v2/models/{model}"
    one = f"{model}/versions/{{version}}"
    routes = [
        Route("/v2", handlers.server),
        Route("/v2/", handlers.server),
        Route("/v2/health/live", handlers.live),
        Route("/v2/health/ready", handlers.ready),
        Route("/v2/models", handlers.models),
        *(Route(path, handlers.model) for path in (model, one)),
        *(Route(f"{path}/ready", handlers.model_ready) for path in (model, one)),
        *(Route(f"{path}/infer", handlers.infer, methods=["POST"]) for path in (model, one)),
        Route(f"{model}/feedback", handlers.feedback, methods=["POST"]),
        Route("/v2/repository/index", handlers.index, methods=["POST"]),
        *(Route(f"/v2/repository/models/{{model}}/{do}", handlers.repository, methods=["POST"]) for do in _LOADING),
        Route("/openapi.json", handlers.openapi),
        Route("/invocations", handlers.invocations, methods=["POST"]),
        Route("/ping", handlers.ping),
        Route("/health", handlers.ping),
        Route("/version", handlers.version),
        Route("/metrics", handlers.metrics),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, token=settings.token)],
        exception_handlers={
            WorkbenchError: _workbench_error,
            HTTPException: _http_error,
            ClientDisconnect: _disconnected,
            Exception: _bug,
        },
        lifespan=lifespan,
    )


class _Handlers:
    def __init__(self, service: InferenceService, settings: ServingSettings, version: str) -> None:
        self._service = service
        self._max_body = settings.max_body_mb << 20
        self._has_token = bool(settings.token)
        self._version = version

    async def server(self, request: Request) -> Response:
        return _json(metadata.server_metadata(self._version))

    async def live(self, request: Request) -> Response:
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:
        ready = self._service.router.route is not None
        # Clients of the specification read "live", those of KServe "ready", probes the status.
        return _json({"live": True, "ready": ready}, 200 if ready else 503)

    async def models(self, request: Request) -> Response:
        return _json({"models": [self._service.name]})

    async def index(self, request: Request) -> Response:
        body = await self._body(request)
        ready_only = metadata.wants_ready_only(body)
        return _json(
            metadata.repository_index(self._service.name, self._service.router.versions, ready_only=ready_only)
        )

    async def repository(self, request: Request) -> Response:
        self._service.check_name(request.path_params["model"])
        raise InvalidRequest(
            "an endpoint loads no versions by request: `mlops deploy NAME@ALIAS` verifies, loads and switches to one,"
            " and `mlops rollback NAME` returns to the one before"
        )

    async def openapi(self, request: Request) -> Response:
        route = self._service.router.route
        loaded = route.present if route else None
        document = openapi_document(
            self._service.name,
            str(loaded.version) if loaded else "",
            loaded.runtime if loaded else None,
            loaded.example if loaded else b"",
            has_token=self._has_token,
        )
        return _json(document)

    async def model(self, request: Request) -> Response:
        self._service.check_name(request.path_params["model"])
        loaded = self._service.router.find(request.path_params.get("version"))
        versions = self._service.router.versions
        return _json(metadata.model_metadata(self._service.name, versions, loaded.runtime))

    async def model_ready(self, request: Request) -> Response:
        self._service.check_name(request.path_params["model"])
        try:
            self._service.router.find(request.path_params.get("version"))
        except NotReady:
            return _json({"name": self._service.name, "ready": False}, 503)
        return _json({"name": self._service.name, "ready": True})

    async def infer(self, request: Request) -> Response:
        self._service.check_name(request.path_params["model"])
        body = await self._body(request)
        version = request.path_params.get("version")
        length = request.headers.get(LENGTH_HEADER)
        return await self._run(request, lambda: self._service.infer_v2(body, version, _given_id(request), length))

    async def invocations(self, request: Request) -> Response:
        body = await self._body(request)
        kind = request.headers.get("content-type")
        most = self._max_body
        return await self._run(request, lambda: self._service.invoke(body, kind, _given_id(request), most))

    async def feedback(self, request: Request) -> Response:
        self._service.check_name(request.path_params["model"])
        body = await self._body(request)
        outcomes = await asyncio.to_thread(self._service.read_feedback, body)
        assert self._service.feedback is not None
        await asyncio.wrap_future(self._service.feedback.submit(outcomes))
        return _json({"stored": len(outcomes.labels)})

    async def ping(self, request: Request) -> Response:
        return Response("\n", 200 if self._service.router.route is not None else 503, media_type=JSON)

    async def version(self, request: Request) -> Response:
        # The version of MLflow, as its scoring server returns it.
        return Response(self._service.router.find().mlflow_version, media_type=JSON)

    async def metrics(self, request: Request) -> Response:
        return PlainTextResponse(self._service.exposition(), media_type="text/plain; version=0.0.4")

    async def _run(self, request: Request, work: Callable[[], Answer]) -> Response:
        if self._service.waiting >= MOST_WAITING:
            raise NotReady(f"{MOST_WAITING} requests are waiting already", hint="try again in a moment")
        self._service.waiting += 1
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._service.executor, work)
        finally:
            self._service.waiting -= 1
        body, media_type, more = answer.content
        headers = {**_id_header(answer.request_id), **more}
        if coding := response_coding(request.headers.get("accept-encoding", ""), len(body)):
            body = await _apart(compress, body, coding)
            headers |= {"Content-Encoding": coding, "Vary": "Accept-Encoding"}
        return Response(body, answer.status, headers=headers, media_type=media_type)

    async def _body(self, request: Request) -> bytes:
        coding = check_coding(request.headers.get("content-encoding", ""))
        pieces = bytearray()
        async for piece in request.stream():
            pieces += piece
            if len(pieces) > self._max_body:
                raise BodyTooLarge(f"the body is larger than {self._max_body >> 20} MiB (serving.max_body_mb)")
        body = bytes(pieces)
        return await _apart(decompress, body, coding, self._max_body) if coding else body


async def _apart(work: Callable[..., bytes], body: bytes, *rest: Any) -> bytes:
    """Run in a thread what would delay other requests."""
    return work(body, *rest) if len(body) < _SMALL else await asyncio.to_thread(work, body, *rest)


def _json(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, media_type=JSON)


def _given_id(request: Request) -> str:
    return request.headers.get("x-request-id", "")[:512]


def _id_header(identity: str) -> dict[str, str]:
    # An id is any text; a header must be visible ASCII, without line breaks, which would allow header injection.
    return {"X-Request-Id": quote(identity, safe="!#$&'()*+,/:;=?@[]~ ").strip()}


async def _workbench_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, WorkbenchError)
    headers = _id_header(_given_id(request) or new_id())
    if error.status == 503:
        headers["Retry-After"] = "1"
    elif isinstance(error, UnsupportedMedia):
        headers["Accept-Encoding"] = ", ".join(CODINGS)
    return refusal(request.url.path, error.status, error.message, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(request.url.path, error.status_code, error.detail, error.headers)


async def _disconnected(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


async def _bug(request: Request, error: Exception) -> Response:
    return refusal(request.url.path, 500, "internal error")
