"""Events: from any thread to every listener, and never a wait for a slow one."""

from __future__ import annotations

import asyncio
import threading

from mlops_workbench.control.events import EventHub
from mlops_workbench.core.events import Event


def test_every_listener_hears_every_event() -> None:
    async def play() -> list[list[Event]]:
        hub = EventHub()

        async def listen() -> list[Event]:
            return [event async for event in hub.listen()]

        listeners = [asyncio.create_task(listen()) for _ in range(3)]
        await asyncio.sleep(0)
        speakers = [threading.Thread(target=lambda: [hub.publish("runs", str(n)) for n in range(50)]) for _ in range(2)]
        for speaker in speakers:
            speaker.start()
        for speaker in speakers:
            await asyncio.to_thread(speaker.join)
        hub.close()
        return list(await asyncio.gather(*listeners))

    heard = asyncio.run(play())
    assert [len(events) for events in heard] == [100, 100, 100]
    assert sorted(event.revision for event in heard[0]) == list(range(1, 101))


def test_a_slow_listener_is_told_to_look_again() -> None:
    async def play() -> list[Event]:
        hub = EventHub()
        listening = hub.listen()
        first = asyncio.ensure_future(anext(listening))
        await asyncio.sleep(0)
        for number in range(5000):
            hub.publish("runs", str(number))
        hub.close()
        return [await first, *[event async for event in listening]]

    heard = asyncio.run(play())
    assert len(heard) < 2000
    assert any(event.topic == "status" and event.id == "*" for event in heard)
    assert heard[-1].revision == 5000


def test_a_closed_hub_has_nothing_to_say() -> None:
    async def play() -> list[Event]:
        hub = EventHub()
        hub.close()
        return [event async for event in hub.listen()]

    assert asyncio.run(play()) == []
