"""A fork server: ``python -m mlops_workbench.pipelines.kernels.server CONFIG``, with a `ServerConfig` as JSON.

It imports what the processes need, then forks one for each request: a fork takes milliseconds, the imports seconds. It
has one thread, and never runs code of users: what a forked process inherits is modules only.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import msgspec

from mlops_workbench.core.shown.log_lines import log_to_stderr
from mlops_workbench.pipelines.kernels.forked import become
from mlops_workbench.pipelines.kernels.imported import Unfit, import_all
from mlops_workbench.pipelines.kernels.loaded import is_current, loaded_files, shadowed
from mlops_workbench.pipelines.kernels.requests import (
    ForkRequest,
    Reply,
    ServerConfig,
    StopRequest,
    encoded,
    request_decoder,
    short_address,
)

_LARGEST = 4 << 20  # bytes of a request: an environment may have megabytes
_TICK_SECONDS = 5.0

log = logging.getLogger("mlops_workbench.pipelines")


@dataclass
class _Client:
    """A connection, its unread bytes, and the descriptors that came with them."""

    socket: socket.socket
    data: bytearray = field(default_factory=bytearray)
    descriptors: list[int] = field(default_factory=list)


class ForkServer:
    """Answers requests until it is idle, told to stop, or out of date.

    Parameters
    ----------
    config : ServerConfig
        The server.
    listener : socket
        Listening socket at its path.
    made : mapping
        Environment variables that the imports have set.
    """

    def __init__(self, config: ServerConfig, listener: socket.socket, made: Mapping[str, str]) -> None:
        self._config = config
        self._listener = listener
        self._made = made
        self._files = loaded_files()
        self._names = frozenset(name.partition(".")[0] for name in sys.modules)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._clients: dict[int, _Client] = {}
        self._processes: dict[int, tuple[int, _Client]] = {}  # by pidfd: process id, and who waits for its end
        self._accepting = True
        self._used = time.monotonic()
        self._inode = Path(config.socket).stat().st_ino
        self._child: Callable[[], NoReturn] | None = None

    def serve(self) -> Callable[[], NoReturn] | None:
        """Serve to the end; in a forked process, return at once what that process is to do."""
        while self._accepting or self._processes:
            for key, _ in self._selector.select(_TICK_SECONDS):
                key.data()
                if self._child is not None:
                    return self._child
            if self._accepting and (self._idle() or self._is_over()):
                self._stop()
        return None

    def _idle(self) -> bool:
        return not self._processes and time.monotonic() - self._used > self._config.idle_seconds

    def _is_over(self) -> bool:
        """Whether the workspace was deleted or moved, or the socket's file is gone or another server's."""
        return not Path(self._config.workspace).is_dir() or not self._has_socket()

    def _has_socket(self) -> bool:
        try:
            return Path(self._config.socket).stat().st_ino == self._inode
        except OSError:
            return False

    def _stop(self) -> None:
        self._accepting = False
        self._selector.unregister(self._listener)
        if self._has_socket():
            with contextlib.suppress(OSError):
                os.unlink(self._config.socket)
        self._listener.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        # Whoever connects asks for a process next; an idle server must not end in between.
        self._used = time.monotonic()
        client = _Client(connection)
        self._clients[connection.fileno()] = client
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._receive(client))

    def _receive(self, client: _Client) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(client.socket, 1 << 16, 3)
        except OSError:
            data, descriptors = b"", []
        client.descriptors += descriptors
        client.data += data
        if not data or len(client.data) > _LARGEST:
            self._disconnect(client)
        elif client.data.endswith(b"\n"):
            line = bytes(client.data)
            client.data.clear()
            try:
                request = request_decoder.decode(line)
            except msgspec.DecodeError as error:
                log.warning("a request cannot be read: %s", error)
                self._disconnect(client)
                return
            if isinstance(request, StopRequest):
                self._disconnect(client)
                if self._accepting:
                    self._stop()
            else:
                self._fork(client, request)

    def _disconnect(self, client: _Client) -> None:
        self._selector.unregister(client.socket)
        self._forget(client)

    def _forget(self, client: _Client) -> None:
        self._clients.pop(client.socket.fileno(), None)
        client.socket.close()
        _close(client.descriptors)

    def _fork(self, client: _Client, request: ForkRequest) -> None:
        self._used = time.monotonic()
        refused = self._refusal(client, request)
        if refused:
            self._send(client, Reply(refused=refused))
            self._disconnect(client)
            return
        with contextlib.suppress(OSError):
            os.utime(self._config.socket)  # the servers used longest ago are stopped first
        # The forked process reads from the connection next.
        self._selector.unregister(client.socket)
        pid = os.fork()
        if pid == 0:
            self._close_all(but=client)
            self._child = lambda: become(request, client.socket, client.descriptors, self._made)
            return
        _close(client.descriptors)
        descriptor = os.pidfd_open(pid)
        self._processes[descriptor] = (pid, client)
        self._selector.register(descriptor, selectors.EVENT_READ, lambda: self._ended(descriptor))

    def _refusal(self, client: _Client, request: ForkRequest) -> str:
        if not self._accepting:
            return "the server ends"
        if len(client.descriptors) != 3:
            return "a request has three descriptors"
        if not is_current(self._files):
            self._stop()
            return "a package has changed"
        hidden = shadowed(self._names, request.folder) if request.role == "kernel" else ""
        if hidden:
            return f"'{hidden}' in {request.folder} hides an imported module"
        return ""

    def _ended(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        pid, client = self._processes.pop(descriptor)
        _, status = os.waitpid(pid, 0)
        self._send(client, Reply(pid=pid, code=os.waitstatus_to_exitcode(status)))
        self._forget(client)

    def _send(self, client: _Client, reply: Reply) -> None:
        with contextlib.suppress(OSError):  # the requester has ended
            client.socket.sendall(encoded(reply))

    def _close_all(self, but: _Client) -> None:
        """In a forked process: close what belongs to the server and to others."""
        self._selector.close()
        self._listener.close()
        for client in self._clients.values():
            if client is not but:
                client.socket.close()
        _close(list(self._processes))


def main(arguments: list[str]) -> int:
    """Run the server that the argument describes; in forked processes, what was asked for."""
    log_to_stderr()
    config = msgspec.json.decode(arguments[0], type=ServerConfig)
    # As the launcher of ipykernel does, with the option -P but without its flag, which processes would inherit.
    if sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]
    os.chdir(config.folder)
    given = dict(os.environ)
    try:
        for module in config.required:
            import_module(module)
        import_all(config.imports, config.left_out)
    except Unfit as error:
        log.info("without %s", error)
        again = msgspec.structs.replace(config, left_out={**config.left_out, error.module: error.reason})
        _begin_again(again)
    # What is alive now is never freed: collections in forked processes would copy its pages.
    gc.collect()
    gc.freeze()
    made = {name: value for name, value in os.environ.items() if given.get(name) != value}
    child = ForkServer(config, _listen(Path(config.socket)), made).serve()
    if child is not None:
        child()
    _leave_no_files(Path(config.socket))
    return 0


def _leave_no_files(path: Path) -> None:
    """Remove the log, and the folder if no other server uses it: the system's folder is shared by all workspaces."""
    if not path.exists():  # else another server has taken its place
        path.with_suffix(".log").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def _begin_again(config: ServerConfig) -> None:
    os.chdir(Path(config.socket).parent)
    options = sys.orig_argv[1 : sys.orig_argv.index("-m")]
    command = [sys.executable, *options, "-m", __spec__.name, msgspec.json.encode(config).decode()]
    os.execv(sys.executable, command)  # noqa: S606 - this program again


def _listen(path: Path) -> socket.socket:
    """Listen at a path, which appears when the server is ready; it replaces one that no server uses any more."""
    listener = socket.socket(socket.AF_UNIX)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with short_address(temporary) as address:
        listener.bind(address)
    os.chmod(temporary, 0o600)
    listener.listen(64)
    os.replace(temporary, path)
    path.with_suffix(".starting").unlink(missing_ok=True)
    return listener


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    descriptors.clear()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
