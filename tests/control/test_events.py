"""Events reach every listener from any thread, and slow listeners block no one."""

from __future__ import annotations

import asyncio
import threading

from mlops_workbench.control.events import EventHub
from mlops_workbench.core.events import Event


async def rest(queue: asyncio.Queue[Event | None]) -> list[Event]:
    """Events until the hub closes."""
    heard = []
    while (event := await queue.get()) is not None:
        heard.append(event)
    return heard


def test_every_listener_receives_every_event() -> None:
    async def play() -> list[list[Event]]:
        hub = EventHub()
        with hub.listen() as one, hub.listen() as two, hub.listen() as three:

            def speak() -> None:
                for number in range(50):
                    hub.publish("runs", str(number))

            speakers = [threading.Thread(target=speak) for _ in range(2)]
            for speaker in speakers:
                speaker.start()
            for speaker in speakers:
                await asyncio.to_thread(speaker.join)
            hub.close()
            return [await rest(queue) for queue in (one, two, three)]

    heard = asyncio.run(play())
    assert [len(events) for events in heard] == [100, 100, 100]
    assert sorted(event.revision for event in heard[0]) == list(range(1, 101))


def test_a_listener_receives_events_from_before_it_waits() -> None:
    async def play() -> Event | None:
        hub = EventHub()
        with hub.listen() as queue:
            hub.publish("runs", "early")
            return await queue.get()

    heard = asyncio.run(play())
    assert heard is not None
    assert heard.id == "early"


def test_a_slow_listener_receives_one_event_for_everything() -> None:
    async def play() -> list[Event]:
        hub = EventHub()
        with hub.listen() as queue:
            for number in range(5000):
                hub.publish("runs", str(number))
            hub.close()
            return await rest(queue)

    heard = asyncio.run(play())
    assert len(heard) < 2000
    assert any(event.topic == "status" and event.id == "*" for event in heard)
    assert heard[-1].revision == 5000


def test_a_listener_that_stops_is_removed() -> None:
    async def play() -> int:
        hub = EventHub()
        with hub.listen():
            pass
        hub.publish("runs", "late")
        return len(hub._listeners)

    assert asyncio.run(play()) == 0


def test_a_closed_hub_ends_its_listeners() -> None:
    async def play() -> list[Event]:
        hub = EventHub()
        hub.close()
        with hub.listen() as queue:
            return await rest(queue)

    assert asyncio.run(play()) == []
