"""Passes requests of JupyterLab on to the control plane."""

from __future__ import annotations

import httpx
from jupyter_server.auth.decorator import authorized
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.server.answers import WorkbenchHandler
from mlops_workbench.server.connection import PlaneConnection, PlaneLink
from mlops_workbench.server.follower import EventFollower
from mlops_workbench.server.paths import control_path

_REQUEST_HEADERS = ("Accept", "Content-Type", "If-None-Match", "If-Modified-Since", "Range")
_RESPONSE_HEADERS = (
    "Accept-Ranges",
    "Cache-Control",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "ETag",
    "Last-Modified",
)


class ProxyHandler(WorkbenchHandler):
    """``mlops-workbench/api/<noun>/...``: the control plane's answer, its status and its bytes.

    Reading needs the action ``read`` on the resource ``mlops``; PUT and DELETE need ``write``; POST starts
    things (a pipeline, a promotion, a rollback) and needs ``execute``.
    """

    def initialize(self, connection: PlaneConnection, follower: EventFollower, client: httpx.AsyncClient) -> None:
        """Keep what the requests go through."""
        self._connection = connection
        self._follower = follower
        self._client = client

    @property
    def content_security_policy(self) -> str:
        """Artifacts are whatever a cell wrote: opened on their own they run nothing and have no origin."""
        return "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"

    @web.authenticated
    @authorized
    async def get(self, rest: str) -> None:
        """Read."""
        await self._pass_on()

    @web.authenticated
    @authorized(action="execute")
    async def post(self, rest: str) -> None:
        """Start or do something."""
        await self._pass_on()

    @web.authenticated
    @authorized
    async def put(self, rest: str) -> None:
        """Say what is wanted."""
        await self._pass_on()

    @web.authenticated
    @authorized
    async def delete(self, rest: str) -> None:
        """Take away."""
        await self._pass_on()

    async def _pass_on(self) -> None:
        # The path as it was sent: the pattern's group is decoded already, and "a%2Fb" would be lost.
        prefix = url_path_join(self.base_url, "mlops-workbench/api/")
        path = control_path(self.request.path[len(prefix) :])
        link = await self._connection.open()
        self._follower.start()
        response = await self._send(path, link)
        if response is None:
            # It is gone, or another one took its place: the request was not carried out, so that it may be
            # sent once more to the one that runs now.
            response = await self._send(path, await self._connection.open(stale=link))
        if response is None:
            raise Unavailable(
                "the control plane went away while it was asked",
                where=link.url,
                hint="try again; 'mlops status' tells whether it runs",
            )
        try:
            await self._stream(response)
        finally:
            await response.aclose()

    async def _send(self, path: str, link: PlaneLink) -> httpx.Response | None:
        """The answer with its body still to be read; None when the control plane did not take the request."""
        headers = {name: self.request.headers[name] for name in _REQUEST_HEADERS if name in self.request.headers}
        request = self._client.build_request(
            str(self.request.method),
            f"{link.url}{path}" + (f"?{self.request.query}" if self.request.query else ""),
            headers={**headers, **link.headers, "Accept-Encoding": "identity"},
            content=self.request.body or None,
        )
        try:
            response = await self._client.send(request, stream=True)
        except httpx.ConnectError:
            return None
        except httpx.HTTPError as error:
            if self.request.method == "GET" and isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
                return None
            raise Unavailable(
                f"the control plane did not answer: {type(error).__name__}",
                where=link.url,
                hint="look whether it was done before trying again; 'mlops status' tells whether it runs",
            ) from error
        if response.status_code == 401:
            await response.aclose()
            return None
        return response

    async def _stream(self, response: httpx.Response) -> None:
        self.set_status(response.status_code, response.reason_phrase or None)
        for name in _RESPONSE_HEADERS:
            if name in response.headers:
                self.set_header(name, response.headers[name])
        media_type = response.headers.get("Content-Type", "application/octet-stream")
        self.set_header("Content-Type", media_type)
        try:
            async for chunk in response.aiter_raw():
                self.write(chunk)
                await self.flush()
            await self.finish(set_content_type=media_type)
        except StreamClosedError:
            self.log.debug("the browser went away before the end of %s", self.request.path)
