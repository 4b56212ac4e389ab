"""The ASGI application of an endpoint."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.tokens import Tokens
from mlops_workbench.serving.asgi import Disconnected, Receive, Reply, Request, Scope, Send
from mlops_workbench.serving.errors import InvalidRequest, NotReady, UnsupportedMedia
from mlops_workbench.serving.guard import Guard, refusal
from mlops_workbench.serving.protocols import metadata
from mlops_workbench.serving.protocols.binary import LENGTH_HEADER
from mlops_workbench.serving.protocols.encoding import (
    CODINGS,
    check_coding,
    compress,
    decompress,
    response_coding,
)
from mlops_workbench.serving.protocols.openapi import openapi_document
from mlops_workbench.serving.service import Answer, InferenceService

log = logging.getLogger("mlops_workbench.serving")

#: Bodies that are compressed and decompressed in a moment; none is inflated to more than a thousand times its size.
_SMALL = 4096
_LENGTH = LENGTH_HEADER.lower().encode()
_LOADING = ("load", "unload")
_Handler = Callable[[Request], Awaitable[Reply]]
_Routes = Mapping[str, tuple[str, _Handler]]


def create_app(service: InferenceService, settings: ServingSettings, version: str = "") -> EndpointApp:
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
    return EndpointApp(service, settings, version)


class EndpointApp:
    """Guard, routes and errors of an endpoint; see :func:`create_app`."""

    def __init__(self, service: InferenceService, settings: ServingSettings, version: str) -> None:
        self._service = service
        self._guard = Guard(Tokens(settings.token, settings.tokens))
        handlers = self._handlers = _Handlers(service, settings, version)
        #: Method and handler by path.
        self._fixed: _Routes = {
            "/v2": ("GET", handlers.server),
            "/v2/": ("GET", handlers.server),
            "/v2/health/live": ("GET", handlers.live),
            "/v2/health/ready": ("GET", handlers.ready),
            "/v2/models": ("GET", handlers.models),
            "/v2/repository/index": ("POST", handlers.index),
            "/openapi.json": ("GET", handlers.openapi),
            "/invocations": ("POST", handlers.invocations),
            "/ping": ("GET", handlers.ping),
            "/health": ("GET", handlers.ping),
            "/version": ("GET", handlers.version),
            "/metrics": ("GET", handlers.metrics),
        }
        #: The same by what follows ``/v2/models/NAME``; further, also after ``/versions/NUMBER``.
        self._of_model: _Routes = {
            "": ("GET", handlers.model),
            "ready": ("GET", handlers.model_ready),
            "infer": ("POST", handlers.infer),
        }
        self._only_of_model: _Routes = {"feedback": ("POST", handlers.feedback)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Follow the life of the server; requests come to :meth:`reply`, not as messages of ASGI."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)

    async def reply(self, request: Request) -> Reply | None:
        """Answer a request; None if its client has gone."""
        refused = self._guard.refusal(request)
        if refused is not None:
            return refused
        try:
            return await self._answer(request)
        except Disconnected:
            return None

    async def _answer(self, request: Request) -> Reply:
        found = self._fixed.get(request.path) or self._route(request)
        if found is None:
            return refusal(request.path, 404, "there is no such path")
        method, handler = found
        if request.method != method and not (request.method == "HEAD" and method == "GET"):
            allowed = "GET, HEAD" if method == "GET" else method
            return refusal(request.path, 405, f"this path takes {method}", {"Allow": allowed})
        try:
            return await handler(request)
        except WorkbenchError as error:
            headers = id_header(given_id(request) or new_id())
            if error.status == 503:
                headers["Retry-After"] = "1"
            elif error.status == 413:
                # The rest of the body is not read.
                headers["Connection"] = "close"
            elif isinstance(error, UnsupportedMedia):
                headers["Accept-Encoding"] = ", ".join(CODINGS)
            return refusal(request.path, error.status, error.message, headers)
        except Disconnected:
            raise
        except Exception:
            log.exception("a request failed")
            return refusal(request.path, 500, "internal error")

    def _route(self, request: Request) -> tuple[str, _Handler] | None:
        parts = request.path.split("/")
        if parts[:4] == ["", "v2", "repository", "models"] and len(parts) == 6 and parts[5] in _LOADING:
            request.parts = {"model": parts[4]}
            return "POST", self._handlers.repository
        if parts[:3] != ["", "v2", "models"] or len(parts) < 4:
            return None
        rest = parts[4:]
        if rest[:1] == ["versions"] and len(rest) in (2, 3):
            request.parts = {"model": parts[3], "version": rest[1]}
            return self._of_model.get("".join(rest[2:]))
        request.parts = {"model": parts[3]}
        if len(rest) > 1:
            return None
        what = "".join(rest)
        return self._of_model.get(what) or self._only_of_model.get(what)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await asyncio.to_thread(self._service.close)
                await send({"type": "lifespan.shutdown.complete"})
                return


class _Handlers:
    def __init__(self, service: InferenceService, settings: ServingSettings, version: str) -> None:
        self._service = service
        self._max_body = settings.max_body_mb << 20
        self._has_token = bool(settings.token or settings.tokens)
        self._version = version

    async def server(self, request: Request) -> Reply:
        return _json(metadata.server_metadata(self._version))

    async def live(self, request: Request) -> Reply:
        return _json({"live": True})

    async def ready(self, request: Request) -> Reply:
        ready = self._service.router.route is not None
        # Clients of the specification read "live", those of KServe "ready", probes the status.
        return _json({"live": True, "ready": ready}, 200 if ready else 503)

    async def models(self, request: Request) -> Reply:
        return _json({"models": [self._service.name]})

    async def index(self, request: Request) -> Reply:
        ready_only = metadata.wants_ready_only(await self._body(request))
        return _json(
            metadata.repository_index(self._service.name, self._service.router.versions, ready_only=ready_only)
        )

    async def repository(self, request: Request) -> Reply:
        self._service.check_name(request.parts["model"])
        raise InvalidRequest(
            "an endpoint loads no versions by request: `mlops deploy NAME@ALIAS` verifies, loads and switches to one,"
            " and `mlops rollback NAME` returns to the one before"
        )

    async def openapi(self, request: Request) -> Reply:
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

    async def model(self, request: Request) -> Reply:
        self._service.check_name(request.parts["model"])
        loaded = self._service.router.find(request.parts.get("version"))
        versions = self._service.router.versions
        return _json(metadata.model_metadata(self._service.name, versions, loaded.runtime))

    async def model_ready(self, request: Request) -> Reply:
        self._service.check_name(request.parts["model"])
        try:
            self._service.router.find(request.parts.get("version"))
        except NotReady:
            return _json({"name": self._service.name, "ready": False}, 503)
        return _json({"name": self._service.name, "ready": True})

    async def infer(self, request: Request) -> Reply:
        self._service.check_name(request.parts["model"])
        body = await self._body(request)
        length = request.header(_LENGTH) if request.has(_LENGTH) else None
        answer = await self._service.infer_v2(body, request.parts.get("version"), given_id(request), length)
        return await _reply(request, answer)

    async def invocations(self, request: Request) -> Reply:
        body = await self._body(request)
        kind = request.header(b"content-type") or None
        answer = await self._service.invoke(body, kind, given_id(request), self._max_body)
        return await _reply(request, answer)

    async def feedback(self, request: Request) -> Reply:
        self._service.check_name(request.parts["model"])
        body = await self._body(request)
        kind = request.header(b"content-type")
        outcomes = await asyncio.to_thread(self._service.read_feedback, body, kind, self._max_body)
        assert self._service.feedback is not None
        await asyncio.wrap_future(self._service.feedback.submit(outcomes))
        return _json({"stored": len(outcomes.labels)})

    async def ping(self, request: Request) -> Reply:
        return Reply(b"\n", 200 if self._service.router.route is not None else 503)

    async def version(self, request: Request) -> Reply:
        # The version of MLflow, as its scoring server returns it.
        return Reply(self._service.router.find().mlflow_version.encode())

    async def metrics(self, request: Request) -> Reply:
        return Reply(self._service.exposition().encode(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _body(self, request: Request) -> bytes:
        coding = check_coding(request.header(b"content-encoding"))
        body = await request.body(self._max_body)
        return await _apart(decompress, body, coding, self._max_body) if coding else body


async def _reply(request: Request, answer: Answer) -> Reply:
    body, media_type, more = answer.content
    headers = id_header(answer.request_id)
    if more:
        headers |= more
    if answer.status == 503:
        headers["Retry-After"] = "1"
    accepted = request.header(b"accept-encoding")
    if accepted and (coding := response_coding(accepted, len(body))):
        body = await _apart(compress, body, coding)
        headers |= {"Content-Encoding": coding, "Vary": "Accept-Encoding"}
    return Reply(body, answer.status, media_type, headers)


async def _apart(work: Callable[..., bytes], body: bytes, *rest: Any) -> bytes:
    """Run in a thread what would delay other requests."""
    return work(body, *rest) if len(body) < _SMALL else await asyncio.to_thread(work, body, *rest)


def _json(body: object, status: int = 200) -> Reply:
    return Reply(orjson.dumps(body), status)


def given_id(request: Request) -> str:
    """The id that the client gave; empty without one."""
    return request.header(b"x-request-id")[:512]


def id_header(identity: str) -> dict[str, str]:
    """The header with the id of a request."""
    if not (identity.isascii() and identity.isalnum()):
        # An id is any text; a header must be visible ASCII, without line breaks, which would allow header injection.
        identity = quote(identity, safe="!#$&'()*+,/:;=?@[]~ ").strip()
    return {"X-Request-Id": identity}
