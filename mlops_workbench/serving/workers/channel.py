"""Messages between the process of an endpoint and its workers, with file descriptors."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Literal, NamedTuple

#: From a worker: it has started; it has handed over what was idle and takes nothing more; a connection.
#: To a worker: take connections; hand over yours; a connection.
Kind = Literal["ready", "drained", "connection", "accept", "drain"]
_LARGEST = 4096


class Message(NamedTuple):
    """A message, and a descriptor that now belongs to the receiver; -1 for none."""

    kind: str
    descriptor: int = -1


class Channel:
    """One end of a pair of connected sockets, of which each message arrives whole.

    Parameters
    ----------
    end : socket
        The socket.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends."""
        first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return cls(first), cls(second)

    def fileno(self) -> int:
        """Descriptor, for selectors."""
        return self._end.fileno()

    def send(self, kind: Kind, descriptor: int = -1) -> bool:
        """Send a message; False if the other end has gone or does not read."""
        try:
            if descriptor < 0:
                self._end.send(kind.encode())
            else:
                socket.send_fds(self._end, [kind.encode()], [descriptor])
        except OSError:
            return False
        return True

    def receive(self) -> list[Message]:
        """Messages that have arrived."""
        found: list[Message] = []
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._end, _LARGEST, 4)
            except OSError:
                return found
            if not data and not descriptors:
                return found
            for extra in descriptors[1:]:
                with contextlib.suppress(OSError):
                    os.close(extra)
            found.append(Message(data.decode(), descriptors[0] if descriptors else -1))

    def close(self) -> None:
        """Close this end."""
        self._end.close()
