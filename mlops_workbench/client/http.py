"""Requests over HTTP/1.1 with the standard library: httpx takes longer to import than a command takes otherwise."""

from __future__ import annotations

import http.client
import select
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import urlencode, urlsplit

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 180.0


class NotSent(OSError):
    """The server did not receive the request."""


@dataclass(frozen=True)
class Response:
    """Status, headers and body of an answer."""

    status: int
    headers: Message
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class HttpSession:
    """Sends requests to one server, and keeps one connection for the next request.

    Threads may share it. The proxies of the environment are not used: the server is on loopback or a team's own host.

    Parameters
    ----------
    url : str
        ``http://host:port`` or ``https://...``, with a path or without.
    headers : mapping
        Headers of every request.
    timeout : float
        Seconds without a byte of the answer after which a request fails.

    Raises
    ------
    ValueError
        The URL is not valid.
    """

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float = _ANSWER_SECONDS) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it needs 'http://' or 'https://' and a host")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port  # the port may raise ValueError
        self._base = parts.path.rstrip("/")
        self._headers = dict(headers)
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: http.client.HTTPConnection | None = None

    def request(
        self, method: str, path: str, *, params: Mapping[str, object] | None = None, content: bytes | None = None
    ) -> Response:
        """Send a request and return the answer, whatever its status.

        Raises
        ------
        NotSent
            There is no connection.
        TimeoutError
            No answer came in time.
        OSError, http.client.HTTPException
            The connection was lost.
        """
        query = urlencode({key: value for key, value in (params or {}).items() if value is not None}, doseq=True)
        target = f"{self._base}{path}" + (f"?{query}" if query else "")
        connection = self._connection()
        try:
            connection.request(method, target, body=content, headers=self._headers)
            answer = connection.getresponse()
            response = Response(answer.status, answer.headers, answer.read())
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._keep(connection)
        return response

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            connection, self._idle = self._idle, None
        if connection is not None:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        with self._lock:
            connection, self._idle = self._idle, None
        if connection is not None:
            if not _was_closed(connection.sock):
                return connection
            connection.close()
        if self._secure:
            import ssl

            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=_CONNECT_SECONDS, context=context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=_CONNECT_SECONDS)
        try:
            connection.connect()
        except OSError as error:
            raise NotSent(str(error)) from error
        connection.sock.settimeout(self._timeout)
        # Headers and body are two writes, and the second must not wait for the answer to the first.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._idle, other = connection, self._idle
        if other is not None:
            other.close()


def _was_closed(connection: socket.socket | None) -> bool:
    """Whether the server has closed an idle connection, on which there is nothing to read otherwise."""
    if connection is None:
        return True
    poller = select.poll()
    poller.register(connection, select.POLLIN)
    return bool(poller.poll(0))
