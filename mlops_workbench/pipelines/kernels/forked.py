"""What a forked process does before and while it is the process that was asked for."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from mlops_workbench.core.processes import ProcessIdentity, leave
from mlops_workbench.core.surroundings import IGNORED_BY_PYTHON
from mlops_workbench.pipelines.kernels.requests import ForkRequest, Reply, encoded

_WATCH_SECONDS = 1.0


def become(request: ForkRequest, connection: socket.socket, streams: list[int], made: Mapping[str, str]) -> NoReturn:
    """Be the process of a request, and end.

    Parameters
    ----------
    request : ForkRequest
        The process.
    connection : socket
        Connection of the requester.
    streams : list of int
        Descriptors of its stdin, stdout and stderr.
    made : mapping
        Environment variables that the imports have set.
    """
    _meet(connection)
    _set_up(request, streams)
    os.environ.update(made)
    _seed()
    if request.role == "kernel":
        _run_kernel(request)
        leave(0, _flush_files)
    module, _, function = request.target.partition(":")
    code = int(getattr(import_module(module), function)(request.argv[1:]) or 0)
    leave(code, _flush_files)


def _meet(connection: socket.socket) -> None:
    """Go on only if the requester still waits for this process: otherwise it has started another one by now."""
    try:
        connection.sendall(encoded(Reply(pid=os.getpid())))
        waits = connection.recv(1)
    except OSError:
        waits = b""
    if not waits:
        os._exit(0)
    connection.close()


def _set_up(request: ForkRequest, streams: list[int]) -> None:
    """Have the surroundings of a process that the requester itself has started."""
    os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    for descriptor in streams:
        if descriptor > 2:
            os.close(descriptor)
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    # As Python itself sets them at its start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (*IGNORED_BY_PYTHON, *request.ignored):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    os.umask(request.umask)
    for number, soft, hard in request.limits:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(number, (soft, hard))
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, request.cpus)
    os.chdir(request.folder)
    sys.argv = list(request.argv)
    sys.orig_argv = list(request.command)


def _flush_files() -> None:
    """Write what open files of users hold; those that the server has made are frozen, and not among these objects."""
    files: dict[type, bool] = {}
    for thing in gc.get_objects():
        kind = type(thing)
        if kind not in files:
            files[kind] = issubclass(kind, io.IOBase)
        if files[kind]:
            with contextlib.suppress(Exception):
                thing.flush()


def _seed() -> None:
    """Seed the generators that imported modules have made; Python's own is seeded by each fork."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


class _NoThread:
    """In place of the thread that passes requests on to subshells: none, but the main thread is the one that executes.

    ipykernel asks for that thread when a cell awaits something, also where it provides for having no such thread.
    """

    parent_thread = threading.main_thread()

    def __bool__(self) -> bool:
        return False


def _run_kernel(request: ForkRequest) -> None:
    from ipykernel import ipkernel, kernelapp
    from ipykernel.parentpoller import ParentPollerUnix

    from mlops_workbench.pipelines.kernels.streams import OutStream

    class RequesterPoller(ParentPollerUnix):
        """Ends the kernel when the process that asked for it has ended, which is not its parent."""

        def run(self) -> None:
            while request.requester.alive():
                time.sleep(_WATCH_SECONDS)
            os._exit(1)

    # Users look for these names in the configuration and in the log.
    class IPythonKernel(ipkernel.IPythonKernel):
        _supports_kernel_subshells = False

    class IPKernelApp(kernelapp.IPKernelApp):
        """Reads requests in the main thread: a run has no client that asks for subshells, which need another one."""

        def init_control(self, context: Any) -> None:
            super().init_control(context)
            self.shell_channel_thread = _NoThread()

    # 1: there is no parent to watch, but this is not a kernel that a user has started in a terminal either.
    app = IPKernelApp.instance(
        parent_handle=1,
        kernel_class=IPythonKernel,
        outstream_class=f"{OutStream.__module__}.{OutStream.__name__}",
    )
    app.initialize(request.argv[1:])
    # Its only handler leaves out what is below this level; the logger would make records of all.
    app.log.setLevel(app.log_level)
    app.poller = RequesterPoller()
    # ipykernel sleeps before each reply for the sake of output that old versions flushed too late.
    app.kernel._execute_sleep = 0.0
    children_of_kernel = app.kernel._process_children
    # At a shutdown, psutil reads the status of all processes of the machine to find the kernel's children.
    app.kernel._process_children = lambda: children_of_kernel() if _has_children() else []
    app.start()


def _has_children() -> bool:
    try:
        return any((task / "children").read_bytes() for task in Path("/proc/self/task").iterdir())
    except OSError:
        return True


def own_identity() -> ProcessIdentity:
    """Return the identity of this process."""
    return ProcessIdentity.of() or ProcessIdentity(os.getpid(), 0.0)
