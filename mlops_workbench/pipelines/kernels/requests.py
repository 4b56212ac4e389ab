"""Messages between a fork server and those who ask it for a process: lines of JSON on a Unix socket."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.pipelines.kernels.preload import Import

#: What a forked process becomes: an IPython kernel, or the call of a function with arguments.
Role = Literal["kernel", "call"]


class ServerConfig(msgspec.Struct, frozen=True):
    """What a fork server has ready, and how long it stays.

    Attributes
    ----------
    socket : str
        Path of its socket.
    folder : str
        Working folder, from which some modules read their settings.
    workspace : str
        Root of the workspace, with which it ends.
    required : list of str
        Modules without which it is of no use.
    imports : list of Import
        Further imports, for the code that will run; those that cannot be shared are left out.
    idle_seconds : float
        Time without a request after which it ends.
    left_out : dict
        Modules that were found unfit, to the reason.
    """

    socket: str
    folder: str
    workspace: str
    required: list[str]
    imports: list[Import]
    idle_seconds: float
    left_out: dict[str, str] = {}


class ForkRequest(msgspec.Struct, frozen=True, tag_field="request", tag="fork"):
    """Ask for a process; stdin, stdout and stderr are sent as descriptors with this message.

    Attributes
    ----------
    requester : ProcessIdentity
        Its end ends a kernel.
    argv : list of str
        ``sys.argv`` of the process.
    command : list of str
        The command that would start it otherwise, ``sys.orig_argv``.
    target : str
        For a call: ``module:function``, which gets the arguments ``argv[1:]`` and returns the exit code.
    umask, limits, cpus, ignored
        As the requester has them: file mode mask, resource limits (number, soft, hard), processors, and signals that it
        ignores.
    """

    role: Role
    requester: ProcessIdentity
    argv: list[str]
    command: list[str]
    environment: dict[str, str]
    folder: str
    umask: int
    limits: list[tuple[int, int, int]]
    cpus: list[int]
    ignored: list[int] = []
    target: str = ""


class StopRequest(msgspec.Struct, frozen=True, tag_field="request", tag="stop"):
    """Ask the server to accept no more requests, and to end when its processes have ended."""


class Reply(msgspec.Struct, frozen=True):
    """Answer to a fork request, then a second one when the process has ended.

    The process sends the first one, and begins when the requester has answered with `TAKEN`.

    Attributes
    ----------
    pid : int
        The process; 0 if there is none.
    refused : str
        Why there is none.
    code : int or None
        Exit code as of `subprocess.Popen`, negative for a signal; None while it runs.
    """

    pid: int = 0
    refused: str = ""
    code: int | None = None


#: What a requester sends when it knows the process.
TAKEN = b"\n"

request_decoder = msgspec.json.Decoder(ForkRequest | StopRequest)
reply_decoder = msgspec.json.Decoder(Reply)


def encoded(message: msgspec.Struct) -> bytes:
    """The line of a message."""
    return msgspec.json.encode(message) + b"\n"


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """A short name of a socket's path, since an address holds 107 bytes at most."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)
