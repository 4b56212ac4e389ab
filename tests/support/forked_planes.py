"""Control planes of tests are forks of a process that has imported what they need, most of the work of their start."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_workbench.client import launch
from mlops_workbench.core.workspace import Workspace

_NEEDED = (
    *("mlflow.artifacts", "mlflow.store.model_registry.sqlalchemy_store", "mlflow.store.tracking.sqlalchemy_store"),
    "mlops_workbench.control.process",
)
#: Seconds between two looks for control planes that have ended.
_LOOK_SECONDS = 0.05


class ForkedPlanes:
    """Starts control planes as `launch` does; the process from which they are forked is started for the first one."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="planes-"))
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self, workspace: Workspace, options: Sequence[str]) -> ForkedPlane:
        """Start a control plane."""
        log = launch.log_file(workspace)
        log.parent.mkdir(exist_ok=True)
        connection = self._connect()
        job = [str(workspace.root), str(log), [str(workspace.root), *options], launch._environment()]
        connection.sendall(json.dumps(job).encode() + b"\n")
        return ForkedPlane(connection)

    def _connect(self) -> socket.socket:
        path = str(self._folder / "socket")
        if self._process is None:
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "forked_planes", path], stdin=subprocess.PIPE, env=environment
            )
        deadline = time.monotonic() + 120
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(path)
            except OSError:
                connection.close()
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return connection

    def close(self) -> None:
        """End the process; control planes go on as they do without who started them."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(30)
        shutil.rmtree(self._folder)


class ForkedPlane:
    """The control plane, as `launch` asks it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.setblocking(False)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self.returncode is None:
            with contextlib.suppress(BlockingIOError):
                self.returncode = int(self._connection.recv(16) or b"-9")
        return self.returncode


def _wait(listener: socket.socket) -> list[Any] | None:
    """Return what a fork of this process has to do; None in the process itself, at the end."""
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for source in (listener, sys.stdin):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(_LOOK_SECONDS if running else None):
                if key.fileobj is sys.stdin:
                    return None
                connection = listener.accept()[0]
                with connection.makefile("rb") as lines:
                    job: list[Any] = json.loads(lines.readline())
                pid = os.fork()
                if pid == 0:
                    for other in (connection, listener, *running.values()):
                        other.close()
                    return job
                running[pid] = connection
            for pid in list(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    with running.pop(pid) as connection, contextlib.suppress(OSError):
                        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _become(root: str, log: str, arguments: list[str], environment: dict[str, str]) -> None:
    os.setsid()
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None
    for place, path, flags in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, place)
        os.close(opened)
    os.dup2(1, 2)
    sys.argv = ["mlops_workbench.control", *arguments]


def _main(path: str) -> int:
    for name in _NEEDED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        job = _wait(listener)
    if job is None:
        return 0
    _become(*job)
    from mlops_workbench.control.process import main

    return main()


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
