"""The active runs of a process, where its child processes find them.

A child made by ``fork`` inherits what its parent knows. Others (joblib's loky workers, ``multiprocessing`` with
spawn or forkserver, a script that a cell starts) are fresh interpreters, and may be started once and serve many
runs. So each process keeps a small file ``.mlops/run/active/<pid>`` that says which runs are active in it, and a
process that has no run of its own looks for the file of its nearest ancestor.
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

#: Ancestors that are asked; a worker of a kernel of a Jupyter server in a container has five or so.
_GENERATIONS = 16
#: A file system may give two changes within its clock's tick the same time: a fresh one is not yet trusted.
_TICK_NS = 100_000_000
#: What a dead process left is removed when it is this old.
_STALE_SECONDS = 86_400.0


class PublishedRun(msgspec.Struct, frozen=True, array_like=True):
    """What a child needs to know of a run."""

    uid: str
    name: str
    experiment: str


class PublishedRuns(msgspec.Struct, frozen=True):
    """What is active in a process.

    Attributes
    ----------
    process : ProcessIdentity
        The process.
    joined : str
        ``MLOPS_RUN_UID`` of the process. A child that was given another one belongs to that run instead.
    runs : list of PublishedRun
        Its active runs; the last one is what a child that knows no better joins.
    """

    process: ProcessIdentity
    joined: str
    runs: list[PublishedRun]


class RunsForChildren:
    """Publishes the active runs of this process.

    A failure is not told: it concerns children only, and a disk in trouble is told elsewhere.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._process: ProcessIdentity | None = None

    def publish(self, workspace: Workspace, runs: list[PublishedRun]) -> None:
        """Replace what is published."""
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
            # Not synced: no child outlives a loss of power.
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                os.write(file, msgspec.json.encode(PublishedRuns(self._process, joined, runs)))
            finally:
                os.close(file)
            os.replace(temporary, self._path)


class RunsOfParents:
    """Finds what the nearest ancestor of this process has published; cheap when nothing changed."""

    def __init__(self) -> None:
        self._ancestors: list[ProcessIdentity] | None = None
        self._folder: Path | None = None
        self._seen = 0
        self._found: PublishedRuns | None = None

    def find(self, workspace: Workspace) -> PublishedRuns | None:
        """The runs of the nearest ancestor that has any; None when no ancestor has."""
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
            # Once: who is orphaned stays with what its parent said last.
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
        # A fork server stands between a process and the one that asked for it.
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
