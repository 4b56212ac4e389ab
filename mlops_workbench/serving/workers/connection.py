"""A connection to an endpoint: requests go from the parser to the application, and answers to the network.

uvicorn's own way for a request and its answer, with a message for each part and a timer for each answer, takes longer
than a small model.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from mlops_workbench.serving.app import EndpointApp
from mlops_workbench.serving.asgi import Event, Reply, Request
from mlops_workbench.serving.http_protocol import LARGEST_HEADERS, HttpProtocol

#: Bytes of a body that are copied behind the headers; larger ones are written by themselves.
_COPIED = 64 << 10
#: Addresses that are not parsed again, and the longest of them.
_MOST_PATHS, _LONGEST_PATH = 256, 512
#: The name of a header with which a client offers another protocol, and what takes its place.
_UPGRADE, _NO_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE), b"\r\nignored:"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """A request and its answer.

    Attributes
    ----------
    message_event, response_complete, disconnected, keep_alive, more_body
        As uvicorn's protocol asks and sets them.
    """

    __slots__ = (
        "_body", "_connection", "_expects_continue", "_headers", "_method", "_path", "_waiting",
        "disconnected", "keep_alive", "more_body", "response_complete", "task",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        method: str,
        path: str,
        headers: dict[bytes, bytes],
        *,
        keep_alive: bool,
        expects_continue: bool,
    ) -> None:
        self._connection = connection
        self._method = method
        self._path = path
        self._headers = headers
        self._expects_continue = expects_continue
        self._body: bytes | bytearray = b""
        self._waiting: asyncio.Future[None] | None = None
        self.keep_alive = keep_alive
        self.more_body = True
        self.response_complete = False
        self.disconnected = False
        self.task: asyncio.Task[None] | None = None

    @property
    def message_event(self) -> Exchange:
        """Has `set`, as the event that uvicorn's protocol sets when the client has gone."""
        return self

    def set(self) -> None:
        """Wake who waits for more of the body."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def take(self, body: bytes) -> int:
        """Keep a part of the body; returns the bytes that wait."""
        if not self._body:
            self._body = body
        elif isinstance(self._body, bytearray):
            self._body += body
        else:
            self._body = bytearray(self._body) + body
        self.set()
        return len(self._body)

    async def receive(self) -> Event:
        """The next part of the body, as ASGI has it."""
        if self._expects_continue:
            self._expects_continue = False
            if not self._connection.transport.is_closing():
                self._connection.transport.write(_CONTINUE)
        while self.more_body and not (self._body or self.disconnected):
            self._connection.flow.resume_reading()
            self._waiting = self._connection.loop.create_future()
            await self._waiting
        if self.disconnected:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), b""
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def run(self, app: EndpointApp) -> None:
        """Answer the request."""
        connection = self._connection
        try:
            reply = await app.reply(Request(self._method, self._path, self._headers, self.receive))
            if connection.flow.write_paused and not self.disconnected:
                await connection.flow.drain()
            if reply is not None and not self.disconnected:
                self._write(reply)
        except BaseException:
            # The application answers all its errors; this is the end of the server, or a defect.
            connection.transport.close()
            raise
        finally:
            connection.tasks.discard(self.task)

    def _write(self, reply: Reply) -> None:
        connection = self._connection
        head = [
            STATUS_LINE[reply.status],
            *[b"%s: %s\r\n" % pair for pair in connection.server_state.default_headers],
            b"content-type: %s\r\ncontent-length: %d\r\n" % (reply.media_type.encode(), len(reply.body)),
        ]
        for name, value in reply.headers.items():
            head.append(f"{name}: {value}\r\n".encode("latin-1"))
            if name == "Connection":
                self.keep_alive = False
        if not self.keep_alive and "Connection" not in reply.headers:
            head.append(b"connection: close\r\n")
        head.append(b"\r\n")
        if self._method != "HEAD" and len(reply.body) <= _COPIED:
            head.append(reply.body)
        connection.transport.write(b"".join(head))
        if self._method != "HEAD" and len(reply.body) > _COPIED:
            connection.transport.write(reply.body)
        self.response_complete = True
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()


class Connection(HttpProtocol):
    """A connection to an `EndpointApp`, without middleware between, that can change its process.

    Parameters
    ----------
    **of_uvicorn
        Arguments of uvicorn's protocol.

    Attributes
    ----------
    successor : callable or None
        Takes the descriptor of a connection between two requests, and returns whether it did; None while this process
        keeps its connections.
    """

    successor: Callable[[int], bool] | None = None
    # Where uvicorn has exchanges of its own, with the application to call.
    cycle: Exchange | None  # type: ignore[assignment]
    pipeline: deque[Exchange]  # type: ignore[assignment]
    #: Paths of the addresses that came lately.
    _paths: dict[bytes, str] = {}

    def __init__(self, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        assert isinstance(self.app, EndpointApp)
        self._endpoint = self.app
        self._fields: dict[bytes, bytes] = {}
        self._in_body = False
        #: Of the headers of a request: the beginning of a line.
        self._held = b""
        #: Until when a connection without a request is kept; 0 while there is one.
        self._idle_until = 0.0

    def data_received(self, data: bytes) -> None:
        """Parse what the network has read."""
        if not self._in_body:
            data = self._without_offer(data)
        if data:
            super().data_received(data)

    def _without_offer(self, data: bytes) -> bytes:
        """Part of the network's read, and of what was held of those before, without the offer of another protocol.

        The parser takes no body of a request with such an offer, as Java's client makes one of HTTP/2; a server may
        ignore it.
        """
        data, self._held = self._held + data, b""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            # The last line waits for its rest; the parser finds that it is too long.
            is_cut = data.endswith(b"\r") and not data.endswith(b"\r\n\r")
            end = len(data) - 1 if is_cut else data.rfind(b"\r\n")
            if end >= 0 and len(data) - end <= LARGEST_HEADERS:
                data, self._held = data[:end], data[end:]
        head = data[:end] if end >= 0 else data
        return _UPGRADE.sub(_NO_UPGRADE, head) + data[len(head) :] if b"upgrade:" in head.lower() else data

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the connection has ended."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def on_message_begin(self) -> None:
        """Called by the parser at the first byte of a request."""
        self.url = b""
        self.expect_100_continue = False
        self._fields = {}
        self._collecting = self._progress = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser with each header."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self._fields[name] = value

    def on_headers_complete(self) -> None:
        """Called by the parser after the last header."""
        self._progress = self._in_body = True
        parser, before = self.parser, self.cycle
        self.cycle = exchange = Exchange(
            self,
            parser.get_method().decode("ascii"),
            self._paths.get(self.url) or self._path(),
            self._fields,
            keep_alive=parser.get_http_version() != "1.0" and parser.should_keep_alive(),
            expects_continue=self.expect_100_continue,
        )
        if before is None or before.response_complete:
            self._begin(exchange)
        else:
            # The answers have the order of the requests.
            self.flow.pause_reading()
            self.pipeline.appendleft(exchange)

    def on_body(self, body: bytes) -> None:
        """Called by the parser with a part of the body."""
        self._progress = True
        assert self.cycle is not None
        if not self.cycle.response_complete and self.cycle.take(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a request."""
        self._collecting = self._in_body = False
        assert self.cycle is not None
        self.cycle.more_body = False
        self.cycle.set()
        if self.successor is not None:
            # The next request is for the other process.
            self.transport.pause_reading()

    def on_response_complete(self) -> None:
        """Called when an answer was given to the transport."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._begin(self.pipeline.pop())
            else:
                self._wait_for_next()
        if self.successor is not None:
            # The transport writes at the end of this turn of the event loop.
            self.loop.call_soon(self.hand_over)

    def hand_over(self) -> None:
        """Give the connection to another process, if no request and no answer is under way.

        What the client has sent and nobody has read stays in the socket, so that no request is lost.
        """
        transport = self.transport
        if self.successor is None or self._collecting or transport.is_closing():
            return
        transport.pause_reading()
        is_idle = (self.cycle is None or self.cycle.response_complete) and not self.pipeline
        if not is_idle or transport.get_write_buffer_size():
            return
        if self.successor(transport.get_extra_info("socket").fileno()):
            # Closes the descriptor of this process only.
            transport.abort()

    def _begin(self, exchange: Exchange) -> None:
        exchange.task = self.loop.create_task(exchange.run(self._endpoint))
        self.tasks.add(exchange.task)

    def _path(self) -> str:
        path = httptools.parse_url(self.url).path.decode("ascii")
        path = unquote(path) if "%" in path else path
        if len(self._paths) < _MOST_PATHS and len(self.url) <= _LONGEST_PATH:
            self._paths[self.url] = path
        return path

    def _should_upgrade(self) -> bool:
        return False

    def _unset_keepalive_if_required(self) -> None:
        # The timer goes on: to stop one for each request takes longer than to let one look again.
        self._idle_until = 0.0

    def _wait_for_next(self) -> None:
        self._idle_until = self.loop.time() + self.timeout_keep_alive
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._end_if_idle)

    def _end_if_idle(self) -> None:
        self.timeout_keep_alive_task = None
        if not self._idle_until:
            return
        rest = self._idle_until - self.loop.time()
        if rest > 0:
            self.timeout_keep_alive_task = self.loop.call_later(rest, self._end_if_idle)
        elif not self.transport.is_closing():
            self.transport.close()
