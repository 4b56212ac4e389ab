"""Access control of an endpoint, before anything of a request is looked at."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from mlops_workbench.core.tokens import Tokens
from mlops_workbench.serving.asgi import Reply, Request
from mlops_workbench.serving.protocols import invocations, v2

#: Probes that load balancers send without a token; they return only health.
_OPEN = frozenset({"/v2/health/live", "/v2/health/ready", "/ping", "/health"})
_MOST_KNOWN = 256


class Guard:
    """Checks the bearer token; without a token, refuses requests of foreign web pages.

    A browser sends requests of any page to loopback addresses. Without a token such a page could read nothing, but
    could write to the prediction log; so requests with a foreign ``Origin`` or ``Host`` are refused.

    Parameters
    ----------
    tokens : Tokens
        Tokens that are taken.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._known: dict[tuple[str, str], bool] = {}

    def refusal(self, request: Request) -> Reply | None:
        """The answer 401 or 403; None if the request may pass."""
        if self._tokens:
            if request.path in _OPEN:
                return None
            kind, _, token = request.header(b"authorization").partition(" ")
            scopes = self._tokens.scopes(token) if kind.lower() == "bearer" else None
            if scopes is None:
                message = "a valid bearer token is needed (serving.token)"
                return refusal(request.path, 401, message, {"WWW-Authenticate": "Bearer"})
            needed = _needed(request.path)
            if needed and needed not in scopes:
                message = f"this token does not allow that; it needs the scope '{needed}'"
                challenge = f'Bearer error="insufficient_scope", scope="{needed}"'
                return refusal(request.path, 403, message, {"WWW-Authenticate": challenge})
            return None
        names = request.header(b"host"), request.header(b"origin")
        own = self._known.get(names)
        if own is None:
            own = _own(*names)
            if len(self._known) < _MOST_KNOWN:
                self._known[names] = own
        if own:
            return None
        message = "requests of web pages of other hosts are refused; set serving.token to allow them"
        return refusal(request.path, 403, message)


def refusal(path: str, status: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    """An error response in the format of the protocol of this path."""
    body = invocations.error_body(status, message) if path == "/invocations" else v2.error_body(message)
    return Reply(body, status, headers=headers or {})


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _needed(path: str) -> str:
    """The scope that a path needs; empty for what every token may read."""
    last = path.rpartition("/")[2]
    if path == "/invocations" or last == "infer":
        return "infer"
    if last in ("load", "unload"):
        return "admin"
    return "feedback" if last == "feedback" else ""


def _own(host: str, origin: str) -> bool:
    try:
        if host and not is_loopback(urlsplit(f"//{host}").hostname or ""):
            return False
        return not origin or is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False
