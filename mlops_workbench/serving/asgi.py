"""Requests, with bodies as ASGI has them, and replies, without a framework between them and a handler.

A framework's objects for a request, its middleware and its routes take longer than a small model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

from mlops_workbench.serving.errors import BodyTooLarge

JSON = "application/json"

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class Disconnected(Exception):
    """The client has gone before its request was complete."""


class Reply(NamedTuple):
    """Body, status, content type and further headers of a response."""

    body: bytes
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = {}


class Request:
    """A request whose body has not been read.

    Parameters
    ----------
    method : str
        In upper case.
    path : str
        Decoded.
    headers : dict of bytes to bytes
        By their names in lower case.
    receive : callable
        Gives the parts of the body, as ASGI has them.

    Attributes
    ----------
    parts : mapping of str to str
        Variable parts of the path, such as ``model``.
    """

    __slots__ = ("_headers", "_receive", "method", "parts", "path")

    def __init__(self, method: str, path: str, headers: dict[bytes, bytes], receive: Receive) -> None:
        self.method = method
        self.path = path
        self.parts: Mapping[str, str] = {}
        self._headers = headers
        self._receive = receive

    def header(self, name: bytes) -> str:
        """A header by its name in lower case; empty without one."""
        value = self._headers.get(name)
        return "" if value is None else value.decode("latin-1")

    def has(self, name: bytes) -> bool:
        """Whether there is a header of this name."""
        return name in self._headers

    async def body(self, most: int) -> bytes:
        """The body.

        Raises
        ------
        BodyTooLarge
            It has more than `most` bytes.
        Disconnected
            The client has gone.
        """
        length = self._headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        event = await self._receive()
        first: bytes = event.get("body", b"")
        if event["type"] == "http.request" and not event.get("more_body") and len(first) <= most:
            return first
        pieces = bytearray()
        while True:
            if event["type"] == "http.disconnect":
                raise Disconnected
            pieces += event.get("body", b"")
            if len(pieces) > most:
                raise _too_large(most)
            if not event.get("more_body"):
                return bytes(pieces)
            event = await self._receive()


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {most >> 20} MiB (serving.max_body_mb)")
