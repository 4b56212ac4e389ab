"""Access control of an endpoint: ASGI middleware in front of all routes."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_workbench.serving.protocols import invocations, v2

#: Probes that load balancers send without a token; they return only health.
_OPEN = frozenset({"/v2/health/live", "/v2/health/ready", "/ping", "/health"})


class Guard:
    """Checks the bearer token; without a token, refuses requests of foreign web pages.

    A browser sends requests of any page to loopback addresses. Without a token such a page could read nothing, but
    could write to the prediction log; so requests with a foreign ``Origin`` or ``Host`` are refused.

    Parameters
    ----------
    app : ASGI application
        The protected application.
    token : str
        Empty for none.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401 or 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        path: str = scope["path"]
        if self._expected and path not in _OPEN:
            if not compare_digest(headers.get(b"authorization", b""), self._expected):
                message = "a valid bearer token is needed (serving.token)"
                response = refusal(path, 401, message, {"WWW-Authenticate": "Bearer"})
                await response(scope, receive, send)
                return
        elif not self._expected and not _own(headers):
            message = "requests of web pages of other hosts are refused; set serving.token to allow them"
            await refusal(path, 403, message)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def refusal(path: str, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error response in the format of the protocol of this path."""
    body = invocations.error_body(status, message) if path == "/invocations" else v2.error_body(message)
    return Response(body, status, headers=dict(headers or {}), media_type="application/json")


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _own(headers: Mapping[bytes, bytes]) -> bool:
    host = headers.get(b"host", b"").decode("latin-1")
    try:
        if host and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return False
        origin = headers.get(b"origin", b"").decode("latin-1")
        return not origin or is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False
