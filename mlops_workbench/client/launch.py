"""Finds the workspace's control plane, or starts it."""

from __future__ import annotations

import contextlib
import http.client
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops_workbench.client.http import HttpSession
from mlops_workbench.core.errors import StorageError, Unauthorized, Unavailable
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.workspace import Workspace

if TYPE_CHECKING:
    import subprocess

#: Exit code of a control plane whose workspace is already served by another one (EX_TEMPFAIL of sysexits.h).
ALREADY_RUNNING = 75

_START_SECONDS = 60.0
_PROBE_SECONDS = 5.0


class Address(msgspec.Struct, frozen=True):
    """URL, process and workspace folder of a running control plane."""

    url: str
    pid: int
    started: float
    version: str
    root: str = ""

    @property
    def process(self) -> ProcessIdentity:
        """Identity of the process."""
        return ProcessIdentity(self.pid, self.started)


def address_file(workspace: Workspace) -> Path:
    """File with the address of a running control plane."""
    return workspace.run / "control.json"


def token_file(workspace: Workspace) -> Path:
    """File with the token, readable only by its owner."""
    return workspace.run / "token"


def lock_file(workspace: Workspace) -> Path:
    """Lock that a control plane holds while it runs."""
    return workspace.run / "control.lock"


def log_file(workspace: Workspace) -> Path:
    """Log of the control plane."""
    return workspace.state / "logs" / "control.log"


def find_running(workspace: Workspace) -> tuple[str, str] | None:
    """URL and token of the control plane, None if none runs.

    ``MLOPS_URL`` and ``MLOPS_TOKEN`` select one on another host.

    Raises
    ------
    Unauthorized
        ``MLOPS_URL`` is set without ``MLOPS_TOKEN``.
    """
    remote = os.environ.get("MLOPS_URL")
    if remote:
        token = os.environ.get("MLOPS_TOKEN", "").strip()
        if not token:
            raise Unauthorized(
                "MLOPS_URL is set, but MLOPS_TOKEN is not set",
                where="environment",
                hint="set it to the content of .mlops/run/token on that host, or unset MLOPS_URL",
            )
        return remote.rstrip("/"), token
    address = read_address(workspace)
    if address is None or not address.process.alive():
        return None
    try:
        return address.url, token_file(workspace).read_text().strip()
    except OSError:
        return None


def read_address(workspace: Workspace) -> Address | None:
    """Content of the address file, None if it is missing, invalid, or copied with the folder of another workspace."""
    try:
        address = msgspec.json.decode(address_file(workspace).read_bytes(), type=Address)
        return address if not address.root or workspace.root.samefile(address.root) else None
    except (OSError, msgspec.DecodeError):
        return None


def ensure_running(workspace: Workspace, options: Sequence[str] = ()) -> tuple[str, str]:
    """URL and token of the workspace's control plane, which is started if it does not run.

    Concurrent callers start only one control plane.

    Parameters
    ----------
    workspace : Workspace
        Its workspace.
    options : sequence of str
        Options for a new control plane: ``--host``, ``--port``.

    Raises
    ------
    Unavailable
        It does not start; the message contains the end of its log.
    StorageError
        The workspace cannot be written.
    """
    found = find_running(workspace)
    if found is not None:
        return found
    workspace.prepare()
    with file_lock(workspace.run / "launch.lock"):
        deadline = time.monotonic() + _START_SECONDS
        process: subprocess.Popen[bytes] | None = None
        while time.monotonic() < deadline:
            found = find_running(workspace)
            if found is not None and answers(*found):
                return found
            if process is None:
                process = _spawn(workspace, options)
            elif process.poll() is not None:
                if process.returncode != ALREADY_RUNNING:
                    raise Unavailable(
                        f"the control plane does not start: {_end_of_log(workspace)}",
                        where=str(log_file(workspace)),
                        hint="fix this problem, then run 'mlops up'",
                    )
                # Another one holds the lock and will soon write its address.
                process = None
                time.sleep(0.2)
            time.sleep(0.03)
    raise Unavailable(
        f"the control plane did not answer within {_START_SECONDS:.0f} s",
        where=str(log_file(workspace)),
        hint="check the log, then run 'mlops up'",
    )


def answers(url: str, token: str) -> bool:
    """Whether a control plane at `url` accepts the token."""
    try:
        session = HttpSession(url, {"Authorization": f"Bearer {token}"}, timeout=_PROBE_SECONDS)
        with contextlib.closing(session):
            return session.request("GET", "/api/health").status == 200
    except (OSError, http.client.HTTPException, ValueError):
        return False


def _spawn(workspace: Workspace, options: Sequence[str]) -> subprocess.Popen[bytes]:
    import subprocess

    log = log_file(workspace)
    try:
        log.parent.mkdir(exist_ok=True)
        with open(log, "ab") as output:
            return subprocess.Popen(
                # -P: the working folder must not shadow installed packages.
                [sys.executable, "-P", "-m", "mlops_workbench.control", str(workspace.root), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # It must survive the end of this process and its Ctrl-C.
                start_new_session=True,
                cwd=workspace.root,
                env=_environment(),
            )
    except OSError as error:
        raise StorageError(
            f"cannot start the control plane: {error}", where=str(log), hint="make the .mlops folder writable"
        ) from error


def _without_log(workspace: Workspace) -> str:
    with contextlib.suppress(OSError):
        if os.statvfs(workspace.state).f_bavail == 0:
            return f"the disk of {workspace.state} is full"
    return "its log is empty"


def _environment() -> dict[str, str]:
    # A control plane that a pipeline stage starts must not inherit the stage's run.
    return {
        name: value
        for name, value in os.environ.items()
        if name not in {"MLOPS_RUN_UID", "MLOPS_EXPERIMENT", "MLOPS_WORKSPACE", "JPY_PARENT_PID"}
    }


def _end_of_log(workspace: Workspace) -> str:
    try:
        lines = log_file(workspace).read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it wrote no log"
    # uvicorn's own last line does not contain the reason.
    lines = [line.strip() for line in lines if line.strip() and "Application startup failed" not in line]
    return " ".join(lines[-2:]) or _without_log(workspace)
