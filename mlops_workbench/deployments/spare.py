"""A process that has imported all that an endpoint needs, and waits for the next one, or for files to score.

Copies of it do dry runs.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.runtimes.trial import DryRun, DryRunRequest, environment_for_models, run_dry
from mlops_workbench.serving.spare import Job

log = logging.getLogger("mlops_workbench.deployments")

#: Seconds that one is kept after a registration or a start: the next deployment usually comes soon or not at all.
_SECONDS = 600.0
#: Longest time in seconds for which one that scores files has the processor for itself.
_PAUSE_SECONDS = 10.0


class Spare:
    """Keeps a process ready for the next endpoint for some minutes, if the settings allow it; threads may share it.

    Parameters
    ----------
    workspace : Workspace
        Owner of the endpoints.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._process: SpareProcess | None = None
        self._lock = threading.RLock()
        self._until = 0.0
        #: Until when no other one is started, and the process that this is for; None for one of the caller.
        self._paused_until = 0.0
        self._paused_for: subprocess.Popen[bytes] | None = None
        self._lent: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def prepare(self) -> None:
        """Keep one from now on."""
        with self._lock:
            self._keep()
            self.renew()

    @property
    def is_due(self) -> bool:
        """Whether one was kept long enough, or was taken or has ended before; not while files are scored at first."""
        with self._lock:
            process, paused_for = self._process, self._paused_for
            now = time.monotonic()
            lacks = process is None or not process.is_waiting
            is_paused = now < self._paused_until and (paused_for is None or paused_for.poll() is None)
            return self._until > 0 and (now > self._until or (lacks and not is_paused))

    def renew(self) -> None:
        """Start another one after one was taken, and end one that was kept long enough."""
        with self._lock:
            if time.monotonic() > self._until:
                self.end()
            elif self.is_due:
                try:
                    self._process = SpareProcess(self._workspace.root)
                except OSError as error:
                    log.warning("no spare process for endpoints: %s", error)
                    self._until = 0.0

    def serve(self, folder: Path, log: Path) -> subprocess.Popen[bytes] | None:
        """Make it the process of an endpoint; None if there is none.

        Parameters
        ----------
        folder, log : Path
            Endpoint folder, and the file that its output is appended to.
        """
        with self._lock:
            return self._take(Job(folder=str(folder), log=str(log)))

    def lend(self, socket: str) -> int:
        """Make it score files for whoever listens at the path of a socket.

        Whether there is one or not, one is kept from now on, if the settings allow it.

        Returns
        -------
        int
            Its process id; 0 if there is none.
        """
        with self._lock:
            process = self._take(Job(socket=socket))
            if process is not None:
                self._lent.append(process)
            self._keep()
            self._paused_until, self._paused_for = time.monotonic() + _PAUSE_SECONDS, process
            return process.pid if process is not None else 0

    def run_dry(self, request: DryRunRequest, *, seconds: float) -> DryRun:
        """Do a dry run in a copy of it; in a process of its own if the settings allow no spare process.

        Parameters
        ----------
        request : DryRunRequest
            What is asked for.
        seconds : float
            Longest time, in which the libraries are imported.
        """
        self.prepare()
        return run_dry(request, cwd=self._workspace.root, seconds=seconds, lend=self._copy)

    def _copy(self, socket: str) -> int:
        """Make a copy of it do a dry run for whoever listens at a socket; its own process id, 0 if there is none."""
        with self._lock:
            return self._process.copy(Job(socket=socket, is_dry_run=True)) if self._process is not None else 0

    def reap(self) -> None:
        """Let the system forget processes that have scored files."""
        with self._lock:
            self._lent = [process for process in self._lent if process.poll() is None]

    def _keep(self) -> None:
        if self._workspace.settings.serving.spare_process and not self._closed:
            self._until = time.monotonic() + _SECONDS

    def _take(self, job: Job) -> subprocess.Popen[bytes] | None:
        process, self._process = self._process, None
        taken = process.take(job) if process is not None else None
        if taken is not None:
            self._until = time.monotonic() + _SECONDS
        return taken

    def close(self) -> None:
        """End it if it was not taken, and start no other one."""
        with self._lock:
            self._closed = True
            self.end()

    def end(self) -> None:
        """End it if it was not taken, and keep none until the next is prepared."""
        with self._lock:
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
            env=environment_for_models(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def is_waiting(self) -> bool:
        """Whether it can be taken."""
        return self._process is not None and self._process.poll() is None

    def take(self, job: Job) -> subprocess.Popen[bytes] | None:
        """Give it something to do; None if it has ended."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return None
        assert process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.close()
        except OSError:
            return None
        return process

    def copy(self, job: Job) -> int:
        """Give a copy of it something to do; the id of the process itself, 0 if it has ended."""
        process = self._process
        if process is None or process.poll() is not None:
            return 0
        assert process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
        except OSError:
            return 0
        return process.pid

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
