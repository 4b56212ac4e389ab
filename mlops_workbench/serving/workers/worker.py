"""A worker: a forked process that answers requests with the versions that its parent has loaded."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from mlops_workbench.serving.app import EndpointApp
from mlops_workbench.serving.workers.channel import Channel
from mlops_workbench.serving.workers.connection import Connection

log = logging.getLogger("mlops_workbench.serving")

#: Seconds for requests under way when the worker is asked to end.
_GRACE = 10
#: Seconds for requests under way after another worker has taken over.
_DRAIN_SECONDS = 30.0
#: Seconds that an idle connection is kept; longer than clients and proxies keep theirs, since a request that meets the
#: end of its connection fails.
_KEEP_ALIVE = 75
_COUNT_SECONDS = 0.5
_STEP = 0.02
#: ``prctl`` of Linux: the signal that a process gets when its parent ends.
_PDEATHSIG = 1


class Worker:
    """The server of a worker.

    Parameters
    ----------
    app : EndpointApp
        The application.
    channel : Channel
        To the parent.
    listener : socket
        Where new connections arrive; shared by all workers.
    parent : int
        Process id of the parent.
    publish : callable
        Publishes the counts of this process.
    """

    def __init__(
        self,
        app: EndpointApp,
        channel: Channel,
        listener: socket.socket,
        *,
        parent: int,
        publish: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._listener = listener
        self._publish = publish
        self._parent = parent
        self._config = uvicorn.Config(
            app,
            http=Connection,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="on",
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
        self._server = _Server(self._config, self._started)
        self._tasks: set[asyncio.Task[Any]] = set()

    def run(self) -> None:
        """Serve until the parent ends the worker or has ended, or another worker has taken over."""
        # uvicorn raises the signals it caught again when it has ended; by then the logs are written.
        signal.signal(signal.SIGTERM, lambda *_: None)
        # An interrupt from a terminal is for the parent, which then ends its workers.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _end_with_parent()
        self._server.run(sockets=[])
        self._publish()

    async def _started(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.fileno(), self._read)
        self._keep(self._watch())
        self._channel.send("ready")

    def _read(self) -> None:
        for kind, descriptor in self._channel.receive():
            if kind == "connection" and descriptor >= 0:
                self._keep(self._adopt(descriptor))
            elif kind == "accept":
                self._keep(self._accept())
            elif kind == "drain":
                self._drain()

    async def _accept(self) -> None:
        # A copy, since the server closes its own.
        server = await asyncio.get_running_loop().create_server(self._protocol, sock=self._listener.dup(), backlog=2048)
        self._server.servers.append(server)

    async def _adopt(self, descriptor: int) -> None:
        connection = socket.socket(fileno=descriptor)
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError as error:
            log.info("a connection ended while it was handed over: %s", error)
            connection.close()

    def _protocol(self) -> Connection:
        return Connection(
            config=self._config,
            server_state=self._server.server_state,
            app_state=self._server.lifespan.state,
        )

    def _drain(self) -> None:
        """Hand over all connections, those of requests under way after their answers."""
        for server in self._server.servers:
            server.close()
        for connection in list(self._server.server_state.connections):
            assert isinstance(connection, Connection)
            connection.successor = self._give
            connection.hand_over()
        self._channel.send("drained")
        self._keep(self._finish())

    def _give(self, descriptor: int) -> bool:
        return self._channel.send("connection", descriptor)

    async def _finish(self) -> None:
        end = asyncio.get_running_loop().time() + _DRAIN_SECONDS
        while self._server.server_state.connections and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(_STEP)
            for connection in list(self._server.server_state.connections):
                assert isinstance(connection, Connection)
                connection.successor = self._give
                connection.hand_over()
        self._server.should_exit = True

    async def _watch(self) -> None:
        """Publish the counts, and end with the parent where the system does not see to it."""
        while True:
            self._publish()
            if os.getppid() != self._parent:
                self._server.should_exit = True
            await asyncio.sleep(_COUNT_SECONDS)

    def _keep(self, work: Any) -> None:
        # The event loop itself holds tasks weakly.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], Any]) -> None:
        super().__init__(config)
        self._when_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        # uvicorn renews its headers later in each second.
        await self.on_tick(0)
        await self._when_started()


def _end_with_parent() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)
