"""Server-sent events about changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from fastapi import APIRouter
from starlette.responses import StreamingResponse

from mlops_workbench.control.events import EventHub
from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.events import Event

router = APIRouter(tags=["events"])

_KEEP_ALIVE_SECONDS = 15.0


class EventStream(StreamingResponse):
    """``event: change`` with an :class:`~mlops_workbench.core.events.Event` as JSON."""

    media_type = "text/event-stream"


@router.get("/events", response_class=EventStream, response_model=Event)
async def stream_events(plane: Plane) -> EventStream:
    """Changes as server-sent events; a client that reconnects must fetch again what it shows."""
    return EventStream(_frames(plane.hub), headers={"Cache-Control": "no-store"})


async def _frames(hub: EventHub) -> AsyncIterator[bytes]:
    # Events are queued before the client is connected, so that it misses no change after its next request.
    with hub.listen() as events:
        yield b": connected\n\n"
        while True:
            try:
                event = await asyncio.wait_for(events.get(), _KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield b": still here\n\n"  # also detects that the client has disconnected
                continue
            if event is None:
                return
            yield b"event: change\ndata: " + msgspec.json.encode(event) + b"\n\n"
