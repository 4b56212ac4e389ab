"""A process that has imported all that an endpoint needs, and waits for the folder of the next one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from mlops_workbench.serving.spare import Start

#: Seconds that it waits: a version that was registered is usually deployed soon or not at all.
_SECONDS = 600.0


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
        self._until = time.monotonic() + _SECONDS
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
        """Whether it can be taken, and should be kept."""
        return self._process is not None and self._process.poll() is None and time.monotonic() < self._until

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
