"""HTTP as uvicorn speaks it, with a limit for the headers of a request, and connections that change their process."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes of a request's line and headers; a part of the network's read may come on top.
LARGEST_HEADERS = 64 << 10

_MESSAGE = f"the line and the headers of the request exceed {LARGEST_HEADERS >> 10} KiB"
#: Read by clients of the control plane (code, message) and of endpoints (error).
_BODY = msgspec.json.encode({"code": "headers_too_large", "message": _MESSAGE, "error": _MESSAGE})
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class HttpProtocol(HttpToolsProtocol):
    """Ends a connection whose request has more than 64 KiB of headers, before any of it is looked at.

    The parser itself collects headers, and the trailers of a chunked body, of any size, also of clients without a
    token.

    Attributes
    ----------
    successor : callable or None
        Takes the descriptor of a connection between two requests, and returns whether it did; None while this process
        keeps its connections.
    """

    successor: Callable[[int], bool] | None = None
    #: Bytes since the parser has handed on something, while it collects headers or trailers.
    _collected = 0
    _collecting = False
    _progress = False

    def on_message_begin(self) -> None:
        """Called by the parser at the first byte of a request."""
        super().on_message_begin()
        self._collecting = self._progress = True

    def on_headers_complete(self) -> None:
        """Called by the parser after the last header."""
        super().on_headers_complete()
        self._progress = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser with a part of the body."""
        super().on_body(body)
        self._progress = True

    def on_message_complete(self) -> None:
        """Called by the parser at the end of a request."""
        super().on_message_complete()
        self._collecting = False
        if self.successor is not None:
            # The next request is for the other process.
            self.transport.pause_reading()

    def on_response_complete(self) -> None:
        """Called when an answer was given to the transport."""
        super().on_response_complete()
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
            self._unset_keepalive_if_required()
            # Closes the descriptor of this process only.
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what the network has read."""
        self._progress = False
        super().data_received(data)
        # Of a read in which something was handed on, the rest is at most its size.
        self._collected = 0 if self._progress or not self._collecting else self._collected + len(data)
        if self._collected > LARGEST_HEADERS and not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()
