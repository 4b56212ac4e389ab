"""The folder of one endpoint: state files, lock and process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.deployments.spare import Spare
from mlops_workbench.serving.desired import (
    DESIRED,
    LOCK,
    LOG,
    OBSERVED,
    Desired,
    Observed,
    read_desired,
    read_observed,
    write_desired,
)
from mlops_workbench.serving.runtimes.trial import environment_for_models

_LARGEST_LOG = 4 << 20
#: Of the log that is read at a time.
_READ_BYTES = 1 << 20


class EndpointFolder:
    """``<workspace>/.mlops/endpoints/<name>``.

    Parameters
    ----------
    path : Path
        The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def desired(self) -> Desired | None:
        """The desired state as it was last written; None when it is missing or not readable."""
        try:
            return read_desired(self.path)
        except StorageError:
            return None

    def observed(self) -> Observed | None:
        """The state that a process last reported."""
        return read_observed(self.path)

    def write_desired(self, desired: Desired) -> None:
        """Write the desired state, which a running process follows."""
        write_desired(self.path, desired)

    def clear(self) -> None:
        """Delete the state files; the log stays."""
        for name in (DESIRED, OBSERVED):
            (self.path / name).unlink(missing_ok=True)

    def is_locked(self) -> bool:
        """Whether a process holds the endpoint's lock."""
        if not (self.path / DESIRED).exists():
            return False
        with file_lock(self.path / LOCK, wait=False) as held:
            return not held

    def launch(self, cwd: Path, spare: Spare | None = None) -> subprocess.Popen[bytes]:
        """Start the endpoint's process, detached, so that it outlives this one.

        Parameters
        ----------
        cwd : Path
            Its working folder.
        spare : Spare, optional
            May have a process that becomes the endpoint's.

        Raises
        ------
        StorageError
            The process cannot be started.
        """
        try:
            log = self.path / LOG
            fresh = log.exists() and log.stat().st_size > _LARGEST_LOG
            with open(log, "wb" if fresh else "ab") as output:
                if spare is not None and (taken := spare.serve(self.path, log)) is not None:
                    return taken
                # -P: a file in the working folder must not shadow an installed module.
                return subprocess.Popen(
                    [sys.executable, "-P", "-m", "mlops_workbench.serving", str(self.path)],
                    cwd=cwd,
                    env=environment_for_models(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            raise StorageError(f"the endpoint's process cannot be started: {error}", where=str(self.path)) from error

    def last_log_line(self) -> str:
        """Last line of the process's log, which is the error of a process that died."""
        try:
            with open(self.path / LOG, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
                lines = file.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1][:500] if lines else ""

    def read_log(self, lines: int, after: int = -1) -> tuple[str, int]:
        """Read the log of the process.

        Parameters
        ----------
        lines : int
            Most lines.
        after : int
            Position from which on to read; -1 for the last lines. If the log has begun anew since, from its begin.

        Returns
        -------
        text : str
            Whole lines.
        end : int
            Position after them.
        """
        try:
            with open(self.path / LOG, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = max(0, size - _READ_BYTES) if after < 0 else (after if after <= size else 0)
                file.seek(start)
                content = file.read(_READ_BYTES)
        except OSError:
            return "", 0
        # A line that is being written is read when it is complete.
        content = content[: content.rfind(b"\n") + 1]
        end = start + len(content)
        found = content.splitlines(keepends=True)
        if after < 0:
            # The first one may lack its begin.
            found = (found[1:] if start else found)[-lines:]
        elif len(found) > lines:
            found = found[:lines]
            end = start + sum(map(len, found))
        return b"".join(found).decode("utf-8", "replace"), end


def send(process: ProcessIdentity, number: signal.Signals) -> None:
    """Send a signal to a process, if it is still running."""
    if process.alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
