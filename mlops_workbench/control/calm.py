"""When clients wait for no answer: long work of the background jobs begins then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

#: Seconds without a request, and the longest time that work is put off: clients that ask again and again may be waiting
#: for this very work.
_QUIET_SECONDS, _LONGEST_SECONDS = 0.3, 2.0
_LOOK_SECONDS = 0.05
#: Streams that stay open as long as a page is open.
_STREAMS = ("/api/events",)


class Calm:
    """Counts the requests that are being answered.

    MLflow takes seconds of processor time to import. The first command in a workspace starts the control plane and
    asks it for something at once, which must not have to wait for that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active = 0
        self._since = time.monotonic()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request while it is answered."""
        with self._lock:
            self._active += 1
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                self._since = time.monotonic()

    def wait(self, stop: threading.Event) -> None:
        """Return when no request was active for a moment, when `stop` is set, or after two seconds."""
        deadline = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < deadline and not self._quiet():
            if stop.wait(_LOOK_SECONDS):
                return

    def _quiet(self) -> bool:
        with self._lock:
            return not self._active and time.monotonic() - self._since > _QUIET_SECONDS


class CountedRequests:
    """ASGI middleware that counts the requests of an application."""

    def __init__(self, app: ASGIApp, calm: Calm) -> None:
        self.app = app
        self._calm = calm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        if scope["type"] != "http" or scope["path"] in _STREAMS:
            await self.app(scope, receive, send)
            return
        with self._calm.request():
            await self.app(scope, receive, send)
