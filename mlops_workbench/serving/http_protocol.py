"""HTTP as uvicorn speaks it, with a limit for the headers of a request."""

from __future__ import annotations

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
    """

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

    def data_received(self, data: bytes) -> None:
        """Parse what the network has read."""
        self._progress = False
        super().data_received(data)
        # Of a read in which something was handed on, the rest is at most its size.
        self._collected = 0 if self._progress or not self._collecting else self._collected + len(data)
        if self._collected > LARGEST_HEADERS and not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()
