"""A process that has imported all that an endpoint needs, and waits for the folder of the next one."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.spare import Start

log = logging.getLogger("mlops_workbench.deployments")

#: Seconds that one is kept after a registration or a start: the next deployment usually comes soon or not at all.
_SECONDS = 600.0


class Spare:
    """Keeps a process ready for the next endpoint for some minutes, if the settings allow it.

    Parameters
    ----------
    workspace : Workspace
        Owner of the endpoints.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._process: SpareProcess | None = None
        self._until = 0.0

    def prepare(self) -> None:
        """Keep one from now on."""
        if self._workspace.settings.serving.spare_process:
            self._until = time.monotonic() + _SECONDS
            self.renew()

    @property
    def is_due(self) -> bool:
        """Whether one was kept long enough, or was taken or has ended before."""
        lacks = self._process is None or not self._process.is_waiting
        return self._until > 0 and (lacks or time.monotonic() > self._until)

    def renew(self) -> None:
        """Start another one after one was taken, and end one that was kept long enough."""
        if time.monotonic() > self._until:
            self.end()
        elif self.is_due:
            try:
                self._process = SpareProcess(self._workspace.root)
            except OSError as error:
                log.warning("no spare process for endpoints: %s", error)
                self._until = 0.0

    def take(self, folder: Path, log: Path) -> subprocess.Popen[bytes] | None:
        """Make it the process of an endpoint; None if there is none. See :meth:`SpareProcess.take`."""
        process, self._process = self._process, None
        taken = process.take(folder, log) if process is not None else None
        if taken is not None:
            self._until = time.monotonic() + _SECONDS
        return taken

    def end(self) -> None:
        """End it if it was not taken, and keep none."""
        process, self._process = self._process, None
        self._until = 0.0
        if process is not None:
            process.end()


class SpareProcess:
    """The process; it ends with its parent.

    Parameters
    ----------
    cwd : Path
        Its working folder, that of all endpoints.

    Raises
    ------
    OSError
        It cannot be started.
    """

    def __init__(self, cwd: Path) -> None:
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            # -P: a file in the working folder must not shadow an installed module.
            [sys.executable, "-P", "-m", "mlops_workbench.serving", "--wait"],
            cwd=cwd,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def is_waiting(self) -> bool:
        """Whether it can be taken."""
        return self._process is not None and self._process.poll() is None

    def take(self, folder: Path, log: Path) -> subprocess.Popen[bytes] | None:
        """Make it the process of an endpoint; None if it has ended.

        Parameters
        ----------
        folder, log : Path
            Endpoint folder, and the file that its output is appended to.
        """
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return None
        assert process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(Start(str(folder), str(log))) + b"\n")
            process.stdin.close()
        except OSError:
            return None
        return process

    def end(self) -> None:
        """End it if it was not taken."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                assert process.stdin is not None
                process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment() -> dict[str, str]:
    """Environment of a process that loads models: it must not find the key that signs them."""
    return {name: value for name, value in os.environ.items() if name != "MLOPS_SIGNING_KEY"}
