"""The fork servers of a workspace: which one is asked, and when one is started or stopped."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mlops_workbench.core.surroundings import surroundings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.kernels.forked import own_identity
from mlops_workbench.pipelines.kernels.preload import Import
from mlops_workbench.pipelines.kernels.process import ForkedProcess, fork, stop
from mlops_workbench.pipelines.kernels.requests import ForkRequest, Role, ServerConfig

#: Seconds after which a server that did not come up is started again.
_CLAIM_SECONDS = 300.0
#: Variables that no import depends on: they differ from process to process.
_VARYING = frozenset(
    ("MLOPS_RUN_UID", "MLOPS_EXPERIMENT", "MLOPS_STAGE", "MLOPS_READS", "MLOPS_SECRET_NAMES", "MLOPS_WORKSPACE",
     "JPY_PARENT_PID", "JPY_SESSION_NAME", "PWD", "OLDPWD", "SHLVL", "_", "TERM", "COLUMNS", "LINES", "COLORTERM",
     "TERM_PROGRAM")
)  # fmt: skip
_REQUIRED: dict[Role, tuple[str, ...]] = {
    "kernel": (
        "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "ipykernel.debugger", "ipykernel.comm",
        "comm", "mlops_workbench.magics.preloaded", "mlops_workbench.pipelines.kernels.streams",
        "mlops_workbench.capture.provenance.file_reads",
    ),
    "call": (
        "mlops_workbench.pipelines.stages.papermill_import", "mlops_workbench.pipelines.execution.preloaded",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Preparation:
    """What a server has ready, and the surroundings in which it has imported it.

    Attributes
    ----------
    role : str
        What its processes become.
    environment : mapping
        Environment variables.
    folder : str
        Working folder, from which some modules read their settings.
    imports : tuple of Import
        Imports of the code that will run.
    options : tuple of str
        Options of the interpreter.
    """

    role: Role
    environment: Mapping[str, str]
    folder: str
    imports: tuple[Import, ...] = ()
    options: tuple[str, ...] = ()

    def key(self) -> str:
        """A text that is the same for the same preparation."""
        variables = sorted((name, value) for name, value in self.environment.items() if name not in _VARYING)
        parts = (sys.executable, self.role, variables, self.folder, sorted(self.imports), self.options)
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


class ForkPool:
    """Fork servers of a workspace, shared by all of its processes.

    Parameters
    ----------
    workspace : Workspace
        Its settings bound number and age of the servers.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._folder = _runtime_folder() / hashlib.sha256(os.fsencode(workspace.root)).hexdigest()[:16]
        self._root = str(workspace.root)
        settings = workspace.settings.pipelines
        self._servers = settings.warm_servers
        self._idle_seconds = settings.warm_minutes * 60

    @property
    def usable(self) -> bool:
        """Whether this system and the settings allow fork servers."""
        return sys.platform == "linux" and hasattr(os, "pidfd_open") and self._servers > 0 and self._is_ours()

    def _is_ours(self) -> bool:
        """Whether no other user can put sockets into the folder."""
        try:
            found = self._folder.parent.stat(follow_symlinks=False)
        except OSError:
            return True
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022

    def fork(
        self,
        preparation: Preparation,
        argv: list[str],
        streams: tuple[int, int, int],
        *,
        command: Sequence[str] = (),
        target: str = "",
        environment: Mapping[str, str] | None = None,
        folder: str = "",
    ) -> ForkedProcess:
        """Have a process forked.

        Parameters
        ----------
        preparation : Preparation
            What the process needs.
        argv : list of str
            Its ``sys.argv``.
        streams : tuple of int
            Descriptors of its stdin, stdout and stderr.
        command : sequence of str
            The command that would start it otherwise.
        target : str
            For the role ``call``: ``module:function``.
        environment, folder
            Environment variables and working folder, if they are others than those of the preparation.

        Raises
        ------
        NotForked
            No server is ready; :meth:`prepare` starts one for the next time.
        """
        umask, limits, cpus, ignored = surroundings()
        request = ForkRequest(
            role=preparation.role,
            requester=own_identity(),
            argv=argv,
            command=list(command) or argv,
            environment=dict(environment or preparation.environment),
            folder=folder or preparation.folder,
            umask=umask,
            limits=limits,
            cpus=cpus,
            ignored=ignored,
            target=target,
        )
        return fork(self._socket(preparation), request, streams)

    def prepare(self, preparation: Preparation) -> None:
        """Start a server for a preparation unless there is one; it is ready when its imports are done."""
        path = self._socket(preparation)
        if not self.usable or path.exists() or not self._claim(path):
            return
        self._make_room()
        config = ServerConfig(
            str(path),
            preparation.folder,
            self._root,
            list(_REQUIRED[preparation.role]),
            list(preparation.imports),
            self._idle_seconds,
        )
        environment = {key: value for key, value in preparation.environment.items() if key not in _VARYING}
        if preparation.role == "kernel":
            # As a kernel sets it before the first import of matplotlib.
            environment.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        with contextlib.suppress(OSError), open(path.with_suffix(".log"), "wb") as log:
            subprocess.Popen(
                [sys.executable, *preparation.options, "-m", "mlops_workbench.pipelines.kernels.server",
                 msgspec.json.encode(config).decode()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,  # the first entry of its sys.path at first, so one without modules
                env=environment,
                start_new_session=True,
            )  # fmt: skip

    def stop_all(self) -> None:
        """Stop all servers of the workspace when their processes have ended."""
        for path in self._sockets():
            stop(path)

    def _claim(self, path: Path) -> bool:
        """Whether this process is to start the server: no other does, and none has failed lately."""
        claim = path.with_suffix(".starting")
        try:
            self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                if time.time() - claim.stat().st_mtime > _CLAIM_SECONDS:
                    claim.unlink()
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError:
            # Another process starts it; or the last server removes the folder, or it cannot be written: without a
            # server, processes are started as usual.
            return False
        return True

    def _make_room(self) -> None:
        paths = self._sockets()
        for path in paths[: max(len(paths) + 1 - self._servers, 0)]:
            stop(path)

    def _socket(self, preparation: Preparation) -> Path:
        return self._folder / f"{preparation.key()}.sock"

    def _sockets(self) -> list[Path]:
        """Sockets, those used longest ago first."""
        found: list[tuple[float, Path]] = []
        for path in self._folder.glob("*.sock"):
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(found)]


def _runtime_folder() -> Path:
    """The folder of this user for sockets; not in the workspace, since tools that copy folders fail at sockets."""
    named = os.environ.get("XDG_RUNTIME_DIR")
    if named and os.access(named, os.W_OK):
        return Path(named) / "mlops-workbench"
    return Path(tempfile.gettempdir()) / f"mlops-workbench-{os.geteuid()}"
