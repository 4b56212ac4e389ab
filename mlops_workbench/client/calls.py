"""What the parts of the client have in common: requests, and waiting for what they start."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from mlops_workbench.client.http import Response
from mlops_workbench.client.transport import Transport
from mlops_workbench.core.errors import NotFound, Unavailable
from mlops_workbench.core.wire.json_numbers import json_value

Noun = TypeVar("Noun")


class Calls:
    """Requests to a control plane whose answers are nouns.

    Parameters
    ----------
    transport : Transport
        The connection.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def url(self) -> str:
        """Current address of the control plane."""
        return self._transport.url

    def _get(self, path: str, kind: type[Noun], query: Mapping[str, Any] | None = None) -> Noun:
        return decoded(self._send("GET", path, params=query), kind)

    def _post(self, path: str, kind: type[Noun], body: object = None) -> Noun:
        content = b"{}" if body is None else encoded(body)
        return decoded(self._send("POST", path, content=content), kind)

    def _send(self, method: str, path: str, **options: Any) -> Response:
        return self._transport.send(method, path, **options)


def encoded(body: object) -> bytes:
    """The body of a request as JSON."""
    return msgspec.json.encode(json_value(msgspec.to_builtins(body)))


def decoded(response: Response, kind: type[Noun]) -> Noun:
    """The noun in the body of an answer."""
    return msgspec.json.decode(response.content, type=kind)


def path_part(name: str) -> str:
    """A name as a part of a path; raises NotFound for one that cannot be a name."""
    # Such a name would change the path of the URL and so request something else.
    if name in ("", ".", "..") or "/" in name:
        raise NotFound(f"nothing is named '{name}'", hint="names consist of letters, digits, '_', '-' and '.'")
    return quote(name, safe="@")


def too_long(problem: str, timeout: float) -> Unavailable:
    """The error of something that was waited for."""
    return Unavailable(f"{problem} within {timeout:.0f} s", hint="'mlops status' shows its state")


def wait(poll: Callable[[], Noun | None], timeout: float, problem: str) -> Noun:
    """Poll until something is there; raises Unavailable after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.05
    while True:
        found = poll()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise too_long(problem, timeout)
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
