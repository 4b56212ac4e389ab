"""The environment of runs: collected beside the user's code, attached when it is there."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_workbench.capture.environment.distributions import Distributions, describe_packages, imported_modules
from mlops_workbench.capture.environment.git import GitMemory, GitState, read_git
from mlops_workbench.capture.environment.machine import ThreadPools, describe_machine, describe_python
from mlops_workbench.capture.environment.variables import described_variables
from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.kernel.threads import ignoring_children_of_this_thread, start_daemon
from mlops_workbench.core.records import Artifact, Tags
from mlops_workbench.core.tags import GIT_BRANCH, GIT_COMMIT, GIT_DIRTY, GIT_URL

if TYPE_CHECKING:
    from mlops_workbench.capture.record.recorder import Recorder
    from mlops_workbench.capture.run.active import ActiveRun

#: A run that takes no longer is not looked at before its end.
_SHORT_SECONDS = 0.1
ENVIRONMENT = "environment.json"
DIFF = "git.diff"
#: Longest wait for what is being written when the session is closed; git and packages are not waited for.
_CLOSE_SECONDS = 2.0


@dataclass
class _RunEnvironment:
    """What is known so far of the environment of one run."""

    run: ActiveRun
    folder: Path
    began: float
    git: GitState | None = None
    git_read: bool = False
    #: Modules that were imported when the run ended; None while it runs.
    imported: frozenset[str] | None = None
    written: str = ""
    settled: bool = False
    #: Set when the run ended.
    over: threading.Event = field(default_factory=threading.Event)


class EnvironmentCollector:
    """Collects the environment of each run in a thread of its own.

    It is written when the run begins, so that a kernel that dies leaves it behind, and again when it ended, with
    the imports that it had by then, if that makes a difference. What is not known when the process ends is named
    under ``missing``; nobody waits for it.

    Parameters
    ----------
    recorder : Recorder
        Where it is recorded.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._distributions = Distributions()
        self._machine: dict[str, Any] | None = None
        self._pools = ThreadPools()
        self._git = _GitLooks()
        self._reset()

    def begin(self, run: ActiveRun) -> None:
        """A run began; returns at once."""
        surroundings = _RunEnvironment(run, _folder(run.start.notebook), time.monotonic())
        self._open[run.uid] = surroundings
        if self._worker is None:
            self._worker = _Worker(self._collect)
        self._worker.add(surroundings)

    def end(self, run: ActiveRun) -> None:
        """A run ended; returns at once."""
        surroundings = self._open.get(run.uid)
        if surroundings is not None and self._worker is not None:
            surroundings.imported = imported_modules()
            surroundings.over.set()
            self._worker.add(surroundings)

    def close(self) -> None:
        """Write what is known of runs that still wait; collect nothing any more."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.stop(_CLOSE_SECONDS)
        for surroundings in list(self._open.values()):
            with contextlib.suppress(Exception):
                self._attach(surroundings)
        self._open.clear()

    def after_fork(self) -> None:
        """In a forked child there is no thread, and the runs are the parent's."""
        self._reset()

    def _reset(self) -> None:
        self._open: dict[str, _RunEnvironment] = {}
        self._worker: _Worker | None = None

    def _collect(self, surroundings: _RunEnvironment, worker: _Worker) -> None:
        # What a cell of some milliseconds has around it is collected once, and not beside it.
        surroundings.over.wait(max(0.0, surroundings.began + _SHORT_SECONDS - time.monotonic()))
        if surroundings.settled:
            return
        if not surroundings.git_read:
            surroundings.git = self._git.at(surroundings.folder, surroundings.began)
            surroundings.git_read = True
        if self._machine is None:
            self._machine = describe_machine()
        self._distributions.read()
        with worker.writing() as allowed:
            if allowed:
                self._attach(surroundings)

    def _attach(self, surroundings: _RunEnvironment) -> None:
        """Write what is known, if it was not written already."""
        ended = surroundings.imported is not None
        run, git = surroundings.run, surroundings.git
        if git is not None and not surroundings.written:
            self._recorder.write(Tags(run.uid, _git_tags(git)))
            if git.diff:
                diff = git.diff.encode("utf-8", "backslashreplace")
                self._put(run, DIFF, diff, "text/x-diff", "code", again=not ended)
        document = msgspec.json.format(msgspec.json.encode(self._document(surroundings)), indent=1)
        digest = self._recorder.store(run.uid, document, again=not ended, wait=False)
        if digest is not None and digest != surroundings.written:
            surroundings.written = digest
            self._recorder.write(
                Artifact(run.uid, ENVIRONMENT, digest, len(document), "application/json", "environment")
            )
        if ended:
            surroundings.settled = True
            self._open.pop(run.uid, None)

    def _document(self, surroundings: _RunEnvironment) -> dict[str, Any]:
        installed = self._distributions.known
        imported = imported_modules() if surroundings.imported is None else surroundings.imported
        missing = [
            name
            for name, absent in (
                ("git", not surroundings.git_read),
                ("machine", self._machine is None),
                ("packages", installed is None),
            )
            if absent
        ]
        return {
            "python": describe_python(),
            "machine": self._machine or {},
            "git": _git_part(surroundings.git),
            "packages": describe_packages(installed, imported) if installed is not None else {},
            "variables": described_variables(os.environ),
            "thread_pools": self._pools.describe(),
            "folder": str(surroundings.folder),
            "missing": missing,
        }

    def _put(self, run: ActiveRun, path: str, data: bytes, media_type: str, kind: str, *, again: bool) -> None:
        digest = self._recorder.store(run.uid, data, again=again, wait=False)
        if digest is not None:
            self._recorder.write(Artifact(run.uid, path, digest, len(data), media_type, kind))


class _GitLooks:
    """The state of repositories after a moment: runs that wait for git together are told the same."""

    def __init__(self) -> None:
        self._memory = GitMemory()
        self._looks: dict[Path, tuple[float, GitState | None]] = {}

    def at(self, folder: Path, moment: float) -> GitState | None:
        """What a look finds that began at this moment or later."""
        began, found = self._looks.get(folder, (-math.inf, None))
        if began < moment:
            began = time.monotonic()
            found = read_git(folder, self._memory)
            self._looks[folder] = began, found
        return found


class _Worker:
    """A daemon thread that takes one piece of work after the other."""

    def __init__(self, work: Any) -> None:
        self._work = work
        self._queue: queue.SimpleQueue[_RunEnvironment | None] = queue.SimpleQueue()
        self._writing = threading.Lock()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def add(self, item: _RunEnvironment) -> None:
        """Let it be worked on."""
        self._queue.put(item)
        if self._thread is None:
            # Without a thread, close() writes what is known.
            self._thread = start_daemon("mlops-environment", self._run)

    def stop(self, patience: float) -> None:
        """Write no more after this returns, unless writing takes longer than `patience` seconds."""
        self._stopped = True
        self._queue.put(None)
        if self._writing.acquire(timeout=patience):
            self._writing.release()

    @contextlib.contextmanager
    def writing(self) -> Any:
        """Tells whether something may still be written, and keeps `stop` waiting meanwhile."""
        with self._writing:
            yield not self._stopped

    def _run(self) -> None:
        with ignoring_children_of_this_thread():
            self._go_on()

    def _go_on(self) -> None:
        while (item := self._queue.get()) is not None and not self._stopped:
            try:
                self._work(item, self)
            except Exception as error:  # noqa: BLE001 the outermost loop of a thread in the user's kernel
                notify(
                    f"the environment could not be recorded ({type(error).__name__}: {error}); your code goes on",
                    once="environment",
                )


def _folder(notebook: str) -> Path:
    """Folder whose repository counts: the notebook's, else the working folder."""
    parent = Path(notebook).parent
    if notebook and parent.is_absolute() and parent.is_dir():
        return parent
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def _git_tags(git: GitState) -> dict[str, str]:
    tags = {
        GIT_COMMIT: git.commit,
        GIT_BRANCH: git.branch,
        GIT_URL: git.remote,
    }
    if git.dirty is not None:
        tags[GIT_DIRTY] = str(git.dirty)
    return {name: value for name, value in tags.items() if value}


def _git_part(git: GitState | None) -> dict[str, Any] | None:
    if git is None:
        return None
    return {
        "root": git.root,
        "commit": git.commit,
        "branch": git.branch,
        "remote": git.remote,
        "dirty": git.dirty,
        "untracked": git.untracked,
        "diff": {"path": DIFF, "complete": git.diff_complete} if git.diff else None,
    }
