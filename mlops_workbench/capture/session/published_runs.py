"""The active runs of a process, published for its child processes.

A child made by ``fork`` inherits the runs of its parent. Others (joblib's loky workers, ``multiprocessing`` with
spawn or forkserver, a script started in a cell) are new interpreters, which may serve many runs. Therefore each process
lists its active runs in a file ``.mlops/run/active/<pid>``, and a process without a run reads the file of its nearest
ancestor.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import msgspec

from mlops_workbench.core.processes import ProcessIdentity, parent_of
from mlops_workbench.core.workspace import Workspace

#: Number of ancestors that are searched; a worker of a kernel in a container has about five.
_GENERATIONS = 16
#: Resolution of file times: a second change within it may not be visible.
_TICK_NS = 100_000_000
#: Age from which on files of dead processes are removed.
_STALE_SECONDS = 86_400.0


class PublishedRun(msgspec.Struct, frozen=True, array_like=True):
    """A run as published for child processes."""

    uid: str
    name: str
    experiment: str


class PublishedRuns(msgspec.Struct, frozen=True):
    """The active runs of a process.

    Attributes
    ----------
    process : ProcessIdentity
        The process.
    joined : str
        ``MLOPS_RUN_UID`` of the process. A child with another value belongs to that run instead.
    runs : list of PublishedRun
        Its active runs; a child joins the last one.
    """

    process: ProcessIdentity
    joined: str
    runs: list[PublishedRun]


class RunsForChildren:
    """Publishes the active runs of this process.

    Failures are not reported: they affect children only, and the journal reports a failing disk.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._process: ProcessIdentity | None = None

    def publish(self, workspace: Workspace, runs: list[PublishedRun]) -> None:
        """Replace the published runs."""
        with contextlib.suppress(OSError):
            if self._process is None or self._process.pid != os.getpid():
                self._process = ProcessIdentity.of()
                self._path = _folder(workspace) / str(os.getpid())
                self._path.parent.mkdir(mode=0o700, exist_ok=True)
                with contextlib.suppress(OSError):
                    _sweep(self._path.parent)
            if self._process is None or self._path is None:
                return
            if not runs:
                self._path.unlink(missing_ok=True)
                return
            joined = os.environ.get("MLOPS_RUN_UID", "")
            temporary = self._path.with_suffix(".new")
            # Not synced: no child survives a power failure.
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                os.write(file, msgspec.json.encode(PublishedRuns(self._process, joined, runs)))
            finally:
                os.close(file)
            os.replace(temporary, self._path)


class RunsOfParents:
    """Finds the runs published by the nearest ancestor of this process; cheap when nothing changed."""

    def __init__(self) -> None:
        self._ancestors: list[ProcessIdentity] | None = None
        self._folder: Path | None = None
        self._seen = 0
        self._found: PublishedRuns | None = None

    def find(self, workspace: Workspace) -> PublishedRuns | None:
        """Return the runs of the nearest ancestor that has any, or None."""
        folder = self._folder = self._folder or _folder(workspace)
        try:
            changed = folder.stat().st_mtime_ns
        except OSError:
            return None
        if changed != self._seen:
            self._found = self._read(folder)
            self._seen = changed if time.time_ns() - changed > _TICK_NS else 0
        return self._found

    def _read(self, folder: Path) -> PublishedRuns | None:
        if self._ancestors is None:
            # Read once: an orphan keeps its parent's last runs.
            self._ancestors = _ancestors()
        for ancestor in self._ancestors:
            try:
                published = msgspec.json.decode((folder / str(ancestor.pid)).read_bytes(), type=PublishedRuns)
            except (OSError, msgspec.DecodeError):
                continue
            if published.process == ancestor and published.runs:
                mine = os.environ.get("MLOPS_RUN_UID", "")
                return published if published.joined == mine else None
        return None


def _folder(workspace: Workspace) -> Path:
    return workspace.run / "active"


def _ancestors() -> list[ProcessIdentity]:
    found = []
    pids = []
    processes = sys.modules.get("multiprocessing.process")
    starter = processes.parent_process() if processes is not None else None
    if starter is not None and starter.pid:
        # With a fork server, the process that requested this one is not its parent.
        pids.append(starter.pid)
    pid = os.getpid()
    while (pid := parent_of(pid)) > 0 and len(pids) < _GENERATIONS:
        pids.append(pid)
    for pid in pids:
        if (identity := ProcessIdentity.of(pid)) is not None:
            found.append(identity)
    return found


def _sweep(folder: Path) -> None:
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - _STALE_SECONDS and not _alive(path):
            path.unlink(missing_ok=True)


def _alive(path: Path) -> bool:
    try:
        return msgspec.json.decode(path.read_bytes(), type=PublishedRuns).process.alive()
    except msgspec.DecodeError:
        return False
