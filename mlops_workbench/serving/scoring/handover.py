"""A process that has imported everything is given to a caller, with the caller's environment and streams."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.serving.runtimes.trial import environment_for_models

#: Seconds until the process must have called; it may be about to import its libraries.
_PATIENCE = 10.0


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


def take(lend: Callable[[str], bool], cwd: Path, errors: IO[bytes]) -> Taken | None:
    """Ask for a process, and make its own what one that is started anew would have; None if there is none.

    Parameters
    ----------
    lend : callable
        Makes a process connect to the socket at a path; False if there is none.
    cwd : Path
        Its working folder.
    errors : file
        Gets what it writes to the standard error.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="mlops-scoring-") as folder, socket.socket(socket.AF_UNIX) as listener:
            path = str(Path(folder) / "process")
            listener.bind(path)
            listener.listen(1)
            if not lend(path):
                return None
            listener.settimeout(_PATIENCE)
            connection, _ = listener.accept()
            with connection:
                return _equip(connection, _Context(str(cwd), environment_for_models()), errors)
    except OSError:
        # Its path is too long for a socket, or the process has ended.
        return None


def _equip(connection: socket.socket, context: _Context, errors: IO[bytes]) -> Taken:
    connection.settimeout(_PATIENCE)
    with connection.makefile("rb") as lines:
        process = msgspec.json.decode(lines.readline(), type=ProcessIdentity)
    their_input, our_output = os.pipe()
    our_input, their_output = os.pipe()
    try:
        socket.send_fds(connection, [b"\n"], [their_input, their_output, errors.fileno()])
    finally:
        os.close(their_input)
        os.close(their_output)
        stdin, stdout = open(our_output, "wb"), open(our_input, "rb")  # noqa: SIM115 - the caller closes them
    try:
        stdin.write(msgspec.json.encode(context) + b"\n")
        stdin.flush()
    except OSError:
        stdout.close()
        raise
    return Taken(process, stdin, stdout)


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
        connection.sendall(msgspec.json.encode(ProcessIdentity.of()) + b"\n")
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
