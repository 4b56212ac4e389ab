"""A process that a fork server has made, with the methods of `subprocess.Popen` that a provisioner needs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import msgspec

from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.pipelines.kernels.requests import (
    TAKEN,
    ForkRequest,
    StopRequest,
    encoded,
    reply_decoder,
    short_address,
)

_TIMEOUT = 5.0  # seconds for the answer of a server, which does nothing but fork


class NotForked(Exception):
    """A server gave no process; the message says why."""


class ForkedProcess:
    """A process forked by a server; `returncode` is None until its end was noticed.

    Attributes
    ----------
    pid : int
        Its id, which is also that of its process group and session.
    returncode : int or None
        Exit code, negative for a signal.
    """

    #: It has the descriptors of the requester; there is no pipe to it.
    stdin = stdout = stderr = None

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._connection = connection
        self._data = b""
        self._identity = ProcessIdentity.of(pid)

    def poll(self) -> int | None:
        """Return the exit code if the process has ended."""
        if self.returncode is None:
            self._read(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code.

        Raises
        ------
        TimeoutError
            It has not ended within `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = 0.5 if deadline is None else min(0.5, deadline - time.monotonic())
            if left < 0:
                raise TimeoutError(f"process {self.pid} has not ended")
            self._read(left)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None and self._identity is not None and self._identity.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _read(self, seconds: float) -> None:
        self._connection.settimeout(seconds)
        try:
            data = self._connection.recv(4096)
        except (TimeoutError, BlockingIOError):
            return
        except OSError:
            data = b""
        if not data:
            self._without_server(seconds)
            return
        self._data += data
        if self._data.endswith(b"\n"):
            self._ended(reply_decoder.decode(self._data).code)

    def _without_server(self, seconds: float) -> None:
        """The server has ended, so that nobody reports the exit code."""
        if self._identity is None or not self._identity.alive():
            self._ended(-signal.SIGKILL)
        else:
            time.sleep(min(seconds, 0.1))

    def _ended(self, code: int | None) -> None:
        self.returncode = -signal.SIGKILL if code is None else code
        self._connection.close()


def fork(server: Path, request: ForkRequest, streams: tuple[int, int, int]) -> ForkedProcess:
    """Ask the server at a socket for a process.

    Parameters
    ----------
    server : Path
        Its socket.
    request : ForkRequest
        The process.
    streams : tuple of int
        Descriptors of its stdin, stdout and stderr.

    Raises
    ------
    NotForked
        No server answers there, or it refuses.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_TIMEOUT)
    try:
        with short_address(server) as address:
            connection.connect(address)
        message = memoryview(encoded(request))
        sent = socket.send_fds(connection, [message], list(streams))
        connection.sendall(message[sent:])
        reply = reply_decoder.decode(_line(connection))
        if reply.pid:
            connection.sendall(TAKEN)
    except (OSError, msgspec.DecodeError) as error:
        connection.close()
        if isinstance(error, ConnectionRefusedError):
            server.unlink(missing_ok=True)  # its process was killed
        raise NotForked(f"no answer: {error}") from error
    if not reply.pid:
        connection.close()
        raise NotForked(reply.refused)
    return ForkedProcess(reply.pid, connection)


def stop(server: Path) -> None:
    """Ask a server to end when its processes have ended; nothing happens if there is none."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT)
        with short_address(server) as address:
            connection.connect(address)
        connection.sendall(encoded(StopRequest()))


def _line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError("the connection was closed")
        data += piece
    return data
