"""Distributes change events to listeners."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mlops_workbench.core.events import Event, Topic

_QUEUE = 1000


class EventHub:
    """Sends events from any thread to any number of asynchronous listeners.

    A listener that is more than 1000 events behind receives one event instead: anything may have changed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revision = 0
        self._listeners: dict[asyncio.Queue[Event | None], asyncio.AbstractEventLoop] = {}
        self._closed = False

    @property
    def revision(self) -> int:
        """Number of the last event."""
        return self._revision

    def publish(self, topic: Topic, name: str) -> None:
        """Notify every listener that `name` of `topic` changed; callable from any thread."""
        with self._lock:
            self._revision += 1
            event = Event(topic, name, self._revision)
            listeners = list(self._listeners.items())
        for queue, loop in listeners:
            loop.call_soon_threadsafe(_offer, queue, event)

    @contextmanager
    def listen(self) -> Iterator[asyncio.Queue[Event | None]]:
        """Queue of the events from now on; None means that the hub is closed."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(_QUEUE)
        with self._lock:
            if self._closed:
                queue.put_nowait(None)
            else:
                self._listeners[queue] = asyncio.get_running_loop()
        try:
            yield queue
        finally:
            with self._lock:
                self._listeners.pop(queue, None)

    def close(self) -> None:
        """End all listeners."""
        with self._lock:
            self._closed = True
            listeners = list(self._listeners.items())
        for queue, loop in listeners:
            loop.call_soon_threadsafe(_offer, queue, None)


def _offer(queue: asyncio.Queue[Event | None], event: Event | None) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        revision = event.revision if event else 0
        queue.put_nowait(Event("status", "*", revision))
    queue.put_nowait(event)
