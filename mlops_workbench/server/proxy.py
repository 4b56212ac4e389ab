"""Forwards requests of JupyterLab to the control plane."""

from __future__ import annotations

import httpx
from jupyter_server.auth.decorator import authorized
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.iostream import StreamClosedError

from mlops_workbench.client.bodies import CATCHING_UP
from mlops_workbench.client.caller import caller_headers, user_name
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
    CATCHING_UP,
    "ETag",
    "Last-Modified",
)


class ProxyHandler(WorkbenchHandler):
    """``mlops-workbench/api/<noun>/...``: returns the status and body of the control plane's response.

    On the resource ``mlops``, GET needs the action ``read``, PUT and DELETE need ``write``, and POST, which starts
    pipelines, promotions and rollbacks, needs ``execute``.
    """

    def initialize(self, connection: PlaneConnection, follower: EventFollower, client: httpx.AsyncClient) -> None:
        """Store the shared objects."""
        self._connection = connection
        self._follower = follower
        self._client = client

    @property
    def content_security_policy(self) -> str:
        """Artifacts are untrusted output of cells: opened on their own they run no scripts and have no origin."""
        return "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"

    @web.authenticated
    @authorized
    async def get(self, rest: str) -> None:
        """Read an object or a list."""
        await self._forward()

    @web.authenticated
    @authorized(action="execute")  # type: ignore[untyped-decorator]
    async def post(self, rest: str) -> None:
        """Start an action."""
        await self._forward()

    @web.authenticated
    @authorized
    async def put(self, rest: str) -> None:
        """Create or change an object."""
        await self._forward()

    @web.authenticated
    @authorized
    async def delete(self, rest: str) -> None:
        """Remove an object."""
        await self._forward()

    async def _forward(self) -> None:
        # From the raw path, because the pattern's group is already decoded: "a%2Fb" would become "a/b".
        prefix = url_path_join(self.base_url, "mlops-workbench/api/")
        path = control_path(self.request.path[len(prefix) :])
        link = await self._connection.open()
        self._follower.start()
        response = await self._send(path, link)
        if response is None:
            # The control plane stopped or was replaced without executing the request, so it may be sent again.
            response = await self._send(path, await self._connection.open(stale=link))
        if response is None:
            raise Unavailable(
                "the control plane stopped during the request",
                where=link.url,
                hint="try again; 'mlops status' shows whether it runs",
            )
        try:
            await self._stream(response)
        finally:
            await response.aclose()

    async def _send(self, path: str, link: PlaneLink) -> httpx.Response | None:
        """The response with its body unread; None if the control plane did not execute the request."""
        headers = {name: self.request.headers[name] for name in _REQUEST_HEADERS if name in self.request.headers}
        request = self._client.build_request(
            str(self.request.method),
            f"{link.url}{path}" + (f"?{self.request.query}" if self.request.query else ""),
            headers={**headers, **self._caller(), **link.headers, "Accept-Encoding": "identity"},
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
                hint="check whether the request took effect before you repeat it; 'mlops status' shows the state",
            ) from error
        if response.status_code == 401:
            await response.aclose()
            return None
        return response

    def _caller(self) -> dict[str, str]:
        """Headers that name the user of this Jupyter server, never what the browser sends by these names."""
        user = self.current_user
        # Whoever has only the server's token gets a name such as "Anonymous Io" that changes with the browser.
        anonymous = user is None or user.name.startswith("Anonymous ")
        return caller_headers(user_name() if anonymous else user.username, "lab")

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
            self.log.debug("the browser closed the connection before the end of %s", self.request.path)
