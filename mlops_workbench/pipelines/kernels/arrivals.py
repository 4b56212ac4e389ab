"""The messages of a kernel as they arrive on the channels of a client."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import zmq
from jupyter_client.channels import ZMQSocketChannel

#: Messages and bytes that are taken at once.
_AT_ONCE, _BYTES_AT_ONCE = 100, 4_000_000
#: Seconds after which other tasks of the loop have their turn.
_TURN_SECONDS = 0.02


class Arrivals:
    """Takes what a kernel answers and what it publishes, in one wait for both.

    Jupyter's channels wait for one message each, so that nbclient has three tasks for each cell; for a cell without
    work these take longer than the kernel.

    Parameters
    ----------
    client : KernelClient
        Its channels are open, and use sockets of zmq; see :meth:`can_read`.
    """

    def __init__(self, client: Any) -> None:
        self._session = client.session
        # Views without asyncio of the client's sockets.
        self._shell, self._iopub = (
            zmq.Socket.shadow(channel.socket.underlying) for channel in (client.shell_channel, client.iopub_channel)
        )
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Future[None] | None = None
        self._turn = 0.0
        # Copies, since a loop calls one function for a descriptor, and the client may have one of its own.
        self._descriptors = [os.dup(socket.FD) for socket in (self._shell, self._iopub)]
        for descriptor in self._descriptors:
            self._loop.add_reader(descriptor, self._wake)

    @staticmethod
    def can_read(client: Any) -> bool:
        """Whether the channels of a client use sockets of zmq in this process."""
        channels = (client.shell_channel, client.iopub_channel)
        return all(isinstance(channel, ZMQSocketChannel) and channel.socket is not None for channel in channels)

    def close(self) -> None:
        """Wait for nothing more; the client stays open."""
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        self._descriptors.clear()

    async def next(self, seconds: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the replies and the published messages that have arrived.

        Parameters
        ----------
        seconds : float
            The longest time to wait for the first one.
        """
        found = self._take()
        if any(found):
            if time.monotonic() - self._turn > _TURN_SECONDS:
                await asyncio.sleep(0)
                self._turn = time.monotonic()
            return found
        self._arrived = self._loop.create_future()
        timer = self._loop.call_later(max(seconds, 0.0), self._wake)
        try:
            await self._arrived
        finally:
            timer.cancel()
            self._turn = time.monotonic()
        return self._take()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _take(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        # The output of a cell before its reply: most of it is sent before.
        published = self._messages(self._iopub)
        return self._messages(self._shell), published

    def _messages(self, socket: zmq.Socket[bytes]) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        size = 0
        while len(messages) < _AT_ONCE and size < _BYTES_AT_ONCE:
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            size += sum(map(len, frames))
            _, frames = self._session.feed_identities(frames)
            messages.append(self._session.deserialize(frames))
        return messages
