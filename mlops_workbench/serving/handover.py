"""A process that has imported everything is given to a caller, with the caller's environment and streams."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from mlops_workbench.core.processes import ProcessIdentity

#: Seconds until the other side must have done its next step.
_PATIENCE = 10.0
#: Seconds between two looks whether it lives.
_LOOK_SECONDS = 0.2
#: Bytes in which the process that was given says its id.
_ID_BYTES = 8


class _Context(msgspec.Struct, frozen=True):
    """Working folder and environment variables of the caller's process."""

    cwd: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Taken:
    """A process that was given, and the caller's ends of its streams."""

    process: ProcessIdentity
    stdin: IO[bytes]
    stdout: IO[bytes]


def take(
    lend: Callable[[str], int],
    cwd: Path,
    environment: dict[str, str],
    errors: IO[bytes],
    seconds: float | None = None,
) -> Taken | None:
    """Ask for a process, and give it folder, environment and streams of one that is started anew; None for none.

    Parameters
    ----------
    lend : callable
        Makes a process, or a copy of it, connect to the socket at a path, and returns its id; 0 if there is none.
    cwd, environment : Path, dict
        Its working folder and environment variables.
    errors : file
        Gets what it writes to the standard error.
    seconds : float
        Longest time until it must have called; it may be about to import its libraries.
    """
    if seconds is None:
        seconds = _PATIENCE
    try:
        with tempfile.TemporaryDirectory(prefix="mlops-process-") as folder, socket.socket(socket.AF_UNIX) as listener:
            path = str(Path(folder) / "process")
            listener.bind(path)
            listener.listen(1)
            pid = lend(path)
            process = ProcessIdentity.of(pid) if pid else None
            if process is None or (connection := _accepted(listener, process, seconds)) is None:
                return None
            with connection:
                connection.settimeout(_PATIENCE)
                # A copy of the process has another id.
                given = ProcessIdentity.of(int.from_bytes(connection.recv(_ID_BYTES, socket.MSG_WAITALL)))
                if given is None:
                    return None
                return Taken(given, *_equip(connection, _Context(str(cwd), environment), errors))
    except OSError:
        # Its path is too long for a socket, or the process has ended.
        return None


def _accepted(listener: socket.socket, process: ProcessIdentity, seconds: float) -> socket.socket | None:
    """The connection of the process; None if it ends before, or imports for too long."""
    listener.settimeout(_LOOK_SECONDS)
    deadline = time.monotonic() + seconds
    while process.alive() and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            return listener.accept()[0]
    return None


def _equip(connection: socket.socket, context: _Context, errors: IO[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    their_input, our_output = os.pipe()
    our_input, their_output = os.pipe()
    stdin, stdout = open(our_output, "wb"), open(our_input, "rb")  # noqa: SIM115 - the caller closes them
    try:
        try:
            socket.send_fds(connection, [b"\n"], [their_input, their_output, errors.fileno()])
        finally:
            os.close(their_input)
            os.close(their_output)
        stdin.write(msgspec.json.encode(context) + b"\n")
        stdin.flush()
    except OSError:
        for stream in (stdin, stdout):
            with contextlib.suppress(OSError):
                stream.close()
        raise
    return stdin, stdout


def give(path: str) -> None:
    """Make this process that of the caller who waits at a socket.

    Raises
    ------
    OSError
        The caller has gone.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        connection.connect(path)
        connection.sendall(os.getpid().to_bytes(_ID_BYTES))
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
    if len(descriptors) != 3:
        raise ConnectionError("the caller has gone")
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, place)
        os.close(descriptor)
    context = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Context)
    os.environ.clear()
    os.environ.update(context.environment)
    os.chdir(context.cwd)
    # What was derived from the environment of before.
    time.tzset()
    tempfile.tempdir = None
