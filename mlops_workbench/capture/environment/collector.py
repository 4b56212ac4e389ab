"""The environment of runs, collected in a thread."""

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

#: The environment of shorter runs is collected only once, after their end.
_SHORT_SECONDS = 0.1
ENVIRONMENT = "environment.json"
DIFF = "git.diff"
#: Longest wait for a write when the session is closed.
_CLOSE_SECONDS = 2.0


@dataclass
class _RunEnvironment:
    """The known parts of the environment of a run."""

    run: ActiveRun
    folder: Path
    started: float
    git: GitState | None = None
    git_read: bool = False
    #: Modules that were imported when the run ended; None while it is active.
    imported: frozenset[str] | None = None
    written: str = ""
    settled: bool = False
    #: Set when the run ended.
    ended: threading.Event = field(default_factory=threading.Event)


class EnvironmentCollector:
    """Collects the environment of each run in a thread.

    It is written at the start of the run, so that it exists if the kernel dies, and again at the end if the imports
    changed it. Parts that are unknown when the process ends are listed under ``missing``.

    Parameters
    ----------
    recorder : Recorder
        Recorder of the runs.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._distributions = Distributions()
        self._machine: dict[str, Any] | None = None
        self._pools = ThreadPools()
        self._git = _GitStates()
        self._reset()

    def begin(self, run: ActiveRun) -> None:
        """Start collecting for a run, and return at once."""
        environment = _RunEnvironment(run, _folder(run.start.notebook), time.monotonic())
        self._open[run.uid] = environment
        if self._worker is None:
            self._worker = _Worker(self._collect)
        self._worker.add(environment)

    def end(self, run: ActiveRun) -> None:
        """Finish collecting for an ended run, and return at once."""
        environment = self._open.get(run.uid)
        if environment is not None and self._worker is not None:
            environment.imported = imported_modules()
            environment.ended.set()
            self._worker.add(environment)

    def close(self) -> None:
        """Write the known parts for waiting runs, and stop collecting."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.stop(_CLOSE_SECONDS)
        for environment in list(self._open.values()):
            _reporting_errors(self._attach, environment)
        self._open.clear()

    def after_fork(self) -> None:
        """Reset in a forked child: it has no thread, and the runs belong to the parent."""
        self._reset()

    def _reset(self) -> None:
        self._open: dict[str, _RunEnvironment] = {}
        self._worker: _Worker | None = None

    def _collect(self, environment: _RunEnvironment, worker: _Worker) -> None:
        # The environment of a short cell is collected once, after the cell.
        environment.ended.wait(max(0.0, environment.started + _SHORT_SECONDS - time.monotonic()))
        if environment.settled:
            return
        if not environment.git_read:
            environment.git = self._git.at(environment.folder, environment.started)
            environment.git_read = True
        if self._machine is None:
            self._machine = describe_machine()
        self._distributions.read()
        with worker.writing() as allowed:
            if allowed:
                self._attach(environment)

    def _attach(self, environment: _RunEnvironment) -> None:
        """Write the known parts if they changed since the last time."""
        ended = environment.imported is not None
        run, git = environment.run, environment.git
        if git is not None and not environment.written:
            self._recorder.write(Tags(run.uid, _git_tags(git), "observed"))
            if git.diff:
                diff = git.diff.encode("utf-8", "backslashreplace")
                self._put(run, DIFF, diff, "text/x-diff", "code", again=not ended)
        document = msgspec.json.format(msgspec.json.encode(self._document(environment)), indent=1)
        digest = self._recorder.store(run.uid, document, again=not ended, wait=False)
        if digest is not None and digest != environment.written:
            environment.written = digest
            self._recorder.write(
                Artifact(run.uid, ENVIRONMENT, digest, len(document), "application/json", "environment", "observed")
            )
        if ended:
            environment.settled = True
            self._open.pop(run.uid, None)

    def _document(self, environment: _RunEnvironment) -> dict[str, Any]:
        installed = self._distributions.known
        imported = imported_modules() if environment.imported is None else environment.imported
        missing = [
            name
            for name, absent in (
                ("git", not environment.git_read),
                ("machine", self._machine is None),
                ("packages", installed is None),
            )
            if absent
        ]
        return {
            "python": describe_python(),
            "machine": self._machine or {},
            "git": _git_part(environment.git),
            "packages": describe_packages(installed, imported) if installed is not None else {},
            "variables": described_variables(os.environ),
            "thread_pools": self._pools.describe(),
            "folder": str(environment.folder),
            "missing": missing,
        }

    def _put(self, run: ActiveRun, path: str, data: bytes, media_type: str, kind: str, *, again: bool) -> None:
        digest = self._recorder.store(run.uid, data, again=again, wait=False)
        if digest is not None:
            self._recorder.write(Artifact(run.uid, path, digest, len(data), media_type, kind, "observed"))


class _GitStates:
    """The last states of repositories, shared by runs that wait for git at the same time."""

    def __init__(self) -> None:
        self._memory = GitMemory()
        self._states: dict[Path, tuple[float, GitState | None]] = {}

    def at(self, folder: Path, moment: float) -> GitState | None:
        """Return a state that was read at this moment or later."""
        read_at, found = self._states.get(folder, (-math.inf, None))
        if read_at < moment:
            read_at = time.monotonic()
            found = read_git(folder, self._memory)
            self._states[folder] = read_at, found
        return found


class _Worker:
    """A daemon thread that processes a queue."""

    def __init__(self, work: Any) -> None:
        self._work = work
        self._queue: queue.SimpleQueue[_RunEnvironment | None] = queue.SimpleQueue()
        self._writing = threading.Lock()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def add(self, item: _RunEnvironment) -> None:
        """Add an item to the queue."""
        self._queue.put(item)
        if self._thread is None:
            # Without a thread, `EnvironmentCollector.close` writes the known parts.
            self._thread = start_daemon("mlops-environment", self._run)

    def stop(self, patience: float) -> None:
        """Stop writing, waiting at most `patience` seconds for a write."""
        self._stopped = True
        self._queue.put(None)
        if self._writing.acquire(timeout=patience):
            self._writing.release()

    @contextlib.contextmanager
    def writing(self) -> Any:
        """Yield whether writing is allowed, and let `stop` wait meanwhile."""
        with self._writing:
            yield not self._stopped

    def _run(self) -> None:
        with ignoring_children_of_this_thread():
            while (item := self._queue.get()) is not None and not self._stopped:
                _reporting_errors(self._work, item, self)


def _reporting_errors(work: Any, *arguments: Any) -> None:
    try:
        work(*arguments)
    except Exception as error:  # noqa: BLE001 the user's code must continue
        notify(
            f"the environment could not be recorded ({type(error).__name__}: {error}); your code continues",
            once="environment",
        )


def _folder(notebook: str) -> Path:
    """Return the folder of the notebook, else the working folder."""
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
