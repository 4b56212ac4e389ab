"""A small client of HTTP/1.1 for load with checks of every answer: connections that are kept, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit


class Connection:
    """A connection to a server, opened again when it was lost.

    Parameters
    ----------
    url : str
        Base URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises
        ------
        ConnectionError
            There was no answer, or not the whole of one.
        """
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port, limit=1 << 24)
            reader, writer = self._streams
            more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
            head = (
                f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            given = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            answer = await reader.readexactly(int(given["content-length"]))
            if given.get("connection") == "close":
                self.close()
            return int(lines[0].split()[1]), answer
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            self.close()
            raise ConnectionError(f"no answer: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
