"""Finds the workspace's control plane, or starts it: whoever needs it first."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mlops_workbench.core.errors import StorageError, Unauthorized, Unavailable
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.workspace import Workspace

#: Exit code of a control plane that found another one serving its workspace (EX_TEMPFAIL of sysexits.h).
ALREADY_RUNNING = 75

_START_SECONDS = 60.0

# Proxies of the environment are for the world outside; a control plane is on loopback or a team's own host.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Address(msgspec.Struct, frozen=True):
    """Where a running control plane listens, and which process it is."""

    url: str
    pid: int
    started: float
    version: str

    @property
    def process(self) -> ProcessIdentity:
        """Identity of the process."""
        return ProcessIdentity(self.pid, self.started)


def address_file(workspace: Workspace) -> Path:
    """File that a running control plane keeps its address in."""
    return workspace.run / "control.json"


def token_file(workspace: Workspace) -> Path:
    """File with the token, readable by its owner only."""
    return workspace.run / "token"


def lock_file(workspace: Workspace) -> Path:
    """Lock that a control plane holds for as long as it lives."""
    return workspace.run / "control.lock"


def log_file(workspace: Workspace) -> Path:
    """What a control plane has to say."""
    return workspace.state / "logs" / "control.log"


def find_running(workspace: Workspace) -> tuple[str, str] | None:
    """URL and token of the control plane, None if none runs.

    ``MLOPS_URL`` and ``MLOPS_TOKEN`` name one on another host.

    Raises
    ------
    Unauthorized
        ``MLOPS_URL`` is there without ``MLOPS_TOKEN``.
    """
    remote = os.environ.get("MLOPS_URL")
    if remote:
        token = os.environ.get("MLOPS_TOKEN", "").strip()
        if not token:
            raise Unauthorized(
                "MLOPS_URL names a control plane, but MLOPS_TOKEN is not set",
                where="environment",
                hint="set it to what .mlops/run/token holds on that host, or unset MLOPS_URL",
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
    """The address file, None without one."""
    try:
        return msgspec.json.decode(address_file(workspace).read_bytes(), type=Address)
    except (OSError, msgspec.DecodeError):
        return None


def ensure_running(workspace: Workspace, options: Sequence[str] = ()) -> tuple[str, str]:
    """URL and token of the workspace's control plane, started if need be.

    Two callers at once end up with one control plane.

    Parameters
    ----------
    workspace : Workspace
        The one it is to serve.
    options : sequence of str
        For a control plane that has to be started: ``--host``, ``--port``.

    Raises
    ------
    Unavailable
        It does not start; the message has its last words.
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
                # Another one that holds the lock is about to write its address.
                if process.returncode != ALREADY_RUNNING:
                    raise Unavailable(
                        f"the control plane does not start: {_last_words(workspace)}",
                        where=str(log_file(workspace)),
                        hint="mend what it says, then run 'mlops up'",
                    )
                process = None
                time.sleep(0.2)
            time.sleep(0.03)
    raise Unavailable(
        f"the control plane did not answer within {_START_SECONDS:.0f} s",
        where=str(log_file(workspace)),
        hint="look at the log, then run 'mlops up'",
    )


def answers(url: str, token: str) -> bool:
    """Whether a control plane answers at `url` with this token."""
    request = urllib.request.Request(f"{url}/api/health", headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        with _opener.open(request, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError):
        return False


def _spawn(workspace: Workspace, options: Sequence[str]) -> subprocess.Popen[bytes]:
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
                # It outlives the kernel, and a Ctrl-C meant for it.
                start_new_session=True,
                cwd=workspace.root,
                env=_environment(),
            )
    except OSError as error:
        raise StorageError(
            f"cannot start the control plane: {error}", where=str(log), hint="the .mlops folder must be writable"
        ) from error


def _environment() -> dict[str, str]:
    # A pipeline stage that needs the control plane must not lend it the stage's run.
    return {
        name: value
        for name, value in os.environ.items()
        if name not in {"MLOPS_RUN_UID", "MLOPS_EXPERIMENT", "MLOPS_WORKSPACE", "JPY_PARENT_PID"}
    }


def _last_words(workspace: Workspace) -> str:
    try:
        lines = log_file(workspace).read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    # The server's own last line says that it ends, and not why.
    told = [line.strip() for line in lines if line.strip() and "Application startup failed" not in line]
    return " ".join(told[-2:]) if told else "it said nothing"
