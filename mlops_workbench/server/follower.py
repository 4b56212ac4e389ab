"""Forwards the control plane's events to the Jupyter server's subscribers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import httpx
import msgspec

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.events import Event
from mlops_workbench.server.connection import PlaneConnection, PlaneLink

#: Event after which subscribers must fetch everything they show again.
EVERYTHING = Event("status", "*", 0)

_SHORTEST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class EventFollower:
    """Background task that listens to the control plane while the server runs.

    Parameters
    ----------
    connection : PlaneConnection
        Finds the control plane. The follower never starts it, but waits until a request does.
    client : httpx.AsyncClient
        For the event stream.
    emit : callable
        Called with each event on the event loop.
    log : logging.Logger
        Receives connection errors at level debug.
    """

    def __init__(
        self,
        connection: PlaneConnection,
        client: httpx.AsyncClient,
        emit: Callable[[Event], None],
        log: logging.Logger,
    ) -> None:
        self._connection = connection
        self._client = client
        self._emit = emit
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def start(self) -> None:
        """Start the task, or make a waiting task connect at once."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow(), name="mlops-workbench follower")
        else:
            self._wake.set()

    async def stop(self) -> None:
        """Cancel the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        pause = _SHORTEST_PAUSE
        while True:
            self._wake.clear()
            try:
                link = await self._connection.running()
                if link is not None:
                    async for event in _events(self._client, link):
                        self._emit(event)
                        if event is not EVERYTHING:
                            pause = _SHORTEST_PAUSE
            except (httpx.HTTPError, msgspec.MsgspecError, WorkbenchError, OSError) as error:
                self._log.debug("no events from the control plane: %s", error)
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                pause = min(2 * pause, _LONGEST_PAUSE)


async def _events(client: httpx.AsyncClient, link: PlaneLink) -> AsyncIterator[Event]:
    """Events of a control plane until it stops; the first is EVERYTHING, as earlier events may have been missed."""
    # The control plane sends a keep-alive every 15 s.
    timeout = httpx.Timeout(10.0, read=60.0)
    headers = {**link.headers, "Accept": "text/event-stream"}
    async with client.stream("GET", f"{link.url}/api/events", headers=headers, timeout=timeout) as response:
        response.raise_for_status()
        yield EVERYTHING
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                yield msgspec.json.decode(line.removeprefix("data:"), type=Event)
