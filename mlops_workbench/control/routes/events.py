"""Server-sent events: what changed, from now on."""

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
    """What changed, as server-sent events; a listener that was away refetches what it shows."""
    return EventStream(_frames(plane.hub), headers={"Cache-Control": "no-store"})


async def _frames(hub: EventHub) -> AsyncIterator[bytes]:
    # Listening begins before the listener is told that it does: what it fetches then is older than no event.
    with hub.listen() as events:
        yield b": connected\n\n"
        while True:
            try:
                event = await asyncio.wait_for(events.get(), _KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield b": still here\n\n"  # also finds out that the listener is gone
                continue
            if event is None:
                return
            yield b"event: change\ndata: " + msgspec.json.encode(event) + b"\n\n"
