"""The session of a process: its runs, its journal, its heartbeats."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_workbench.capture.kernel.cell_start import on_session
from mlops_workbench.capture.kernel.deferred import Once
from mlops_workbench.capture.kernel.exit import call_at_exit
from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.kernel.place import notebook_path
from mlops_workbench.capture.record.values import text
from mlops_workbench.capture.record.writer import RecordWriter
from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.session.context import RunObserver, enter_run, run_of_context
from mlops_workbench.capture.session.fitted_models import FittedModels
from mlops_workbench.capture.session.heartbeat import HeartbeatThread
from mlops_workbench.capture.session.joined_runs import JoinedRuns
from mlops_workbench.capture.session.published_runs import PublishedRun, RunsForChildren
from mlops_workbench.capture.session.surroundings import Surroundings
from mlops_workbench.core.errors import InvalidInput, SettingsError, WorkbenchError
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.records import Record, RunStart
from mlops_workbench.core.secrets import mask, mask_value, register_environment
from mlops_workbench.core.secrets.registered import mask_registered
from mlops_workbench.core.workspace import Workspace

if TYPE_CHECKING:
    from mlops_workbench.capture.run.address import RunIdOf

#: Number of ended runs that a session keeps for comparison.
_FINISHED = 500
#: Number of ended runs that keep the profiles of their data.
_WITH_PROFILES = 8


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_session: Session | None = None
_session_lock = threading.Lock()


def _use_defaults(error: SettingsError) -> None:
    notify(f"{error}\n  runs of this process are recorded with the default settings", once="settings")


class Session:
    """Recorder of the runs of a process; :func:`current_session` returns the one that user code shares.

    Nothing is opened, started or written before the first record.

    Parameters
    ----------
    workspace : Workspace, optional
        By default the workspace of the working folder, found at first use.

    Attributes
    ----------
    defer : callable or None
        Does work after the reply to the running cell; set in a notebook.
    closing : list of callable
        Called before the session closes; they must not raise.
    models : FittedModels
        Models that runs fitted, as long as they are in memory, and the best ones of loops.
    finished : deque of ActiveRun
        The runs that ended here last, the latest last.
    run_id_of : callable or None
        Returns MLflow's id of a run from the index; set by a front end that has access to the index.
    observer : RunObserver or None
        Observes blocks and functions of ``track``; set in a notebook.
    run_ended : list of callable
        Called with each run of this process that ends, before its end is recorded; they must not raise.
    surroundings : Surroundings
        Environment and resources of the runs, and the budget.
    """

    def __init__(self, workspace: Workspace | None = None) -> None:
        register_environment()
        # The journal needs only the folder.
        find = partial(Workspace.find, on_invalid=_use_defaults) if workspace is None else lambda: workspace
        self._writer = RecordWriter(find, self._running, self._close_at_exit)
        self._experiment = ""
        self._active: list[ActiveRun] = []
        self.finished: deque[ActiveRun] = deque(maxlen=_FINISHED)
        self._joined = JoinedRuns(
            self, lambda start: self._make_run(start, joined=True), lambda run: self.surroundings.join(run)
        )
        self._for_children = RunsForChildren()
        self.defer: Callable[[str, Callable[[], object]], None] | None = None
        self._heartbeat = HeartbeatThread(self.write, lambda: bool(self._active))
        self._lock = threading.RLock()
        self._exit_registered = False
        self.closing: list[Callable[[], object]] = []
        self.models = FittedModels(self)
        self.surroundings = Surroundings(self, lambda uid: self.find_run(uid) is not None or self.joins(uid))
        self.run_id_of: RunIdOf | None = None
        self.run_ended: list[Callable[[ActiveRun], None]] = []
        self.observer: RunObserver | None = None
        _sessions.add(self)

    @property
    def workspace(self) -> Workspace:
        """The workspace that records go to.

        Raises
        ------
        WorkbenchError
            It cannot be found or its settings are invalid.
        """
        return self._writer.open_workspace()

    def write(self, record: Record, sync: bool = False) -> None:
        """Write a record; see `RecordWriter.write`."""
        self._writer.write(record, sync)

    def sync_soon(self) -> None:
        """Request a sync of the journal in the background."""
        self._writer.sync_soon()

    def store(self, run_uid: str, data: bytes | Path, *, again: bool = False, wait: bool = True) -> str | None:
        """Put bytes or a file into the blob store; see `RecordWriter.store`."""
        return self._writer.store(run_uid, data, again=again, wait=wait)

    @property
    def experiment_chosen(self) -> bool:
        """Whether the experiment of new runs is set here or by ``MLOPS_EXPERIMENT``."""
        return bool(self._experiment or os.environ.get("MLOPS_EXPERIMENT"))

    @property
    def experiment(self) -> str:
        """Experiment of new runs: set here, else ``MLOPS_EXPERIMENT``, else ``tracking.experiment``."""
        if self._experiment:
            return self._experiment
        if named := os.environ.get("MLOPS_EXPERIMENT"):
            return named
        try:
            return self.workspace.settings.tracking.experiment
        except WorkbenchError:
            return "default"

    @experiment.setter
    def experiment(self, name: str) -> None:
        if not isinstance(name, str) or not name.strip() or len(name) > 250 or not name.isprintable():
            raise InvalidInput(
                f"{name!r} is not a valid experiment name", hint="use one line of text with at most 250 characters"
            )
        self._experiment = name.strip()

    def after_reply(self, what: str, work: Callable[[], object]) -> bool:
        """Do `work` after the reply to the running cell; return False when no cell is awaited, and do nothing.

        It is done beside a cell that runs for long, which may not end.
        """
        if self.defer is None:
            return False
        self.defer(what, Once(what, work))
        return True

    def complete(self, run_uid: str) -> bool:
        """Whether no record of a run was dropped so far."""
        return run_uid not in self._writer.incomplete

    def start_run(
        self,
        name: str = "",
        *,
        experiment: str = "",
        kind: str = "run",
        parent_uid: str = "",
        notebook: str | None = None,
        cell_id: str = "",
        tags: Mapping[str, Any] | None = None,
        source: str = "",
        ambient: bool = True,
        numbered: bool = False,
        wait: bool = True,
    ) -> ActiveRun:
        """Start a run, which the caller ends with `ActiveRun.end`.

        Parameters
        ----------
        name : str, optional
            By default made from the run's id.
        experiment : str, optional
            By default the current one.
        kind : {"run", "pipeline", "stage"}
            Kind of run.
        parent_uid : str, optional
            Parent of the run.
        notebook : str, optional
            By default the notebook or script of this process.
        cell_id : str, optional
            Id of the cell in that notebook.
        tags : mapping, optional
            Tags.
        source : str, optional
            Executed code.
        ambient : bool, default=True
            Whether code outside of other runs logs to this one; False for a run that is only the current one
            of a context (see `enter_run`).
        numbered : bool, default=False
            Add the end of the id to the name if a run of this session has the same name.
        wait : bool, default=True
            Wait for the sync of the journal at its start and end; otherwise they are synced in the background.
        """
        uid = new_id()
        if numbered and any(run.name == name for run in (*self.finished, *self._active)):
            name = f"{name}-{uid[-6:]}"
        return self._begin(
            RunStart(
                run_uid=uid,
                name=name or f"run-{uid[-6:]}",
                experiment=experiment or self.experiment,
                start_ms=now_ms(),
                kind=kind,
                parent_uid=parent_uid,
                notebook=notebook_path() if notebook is None else notebook,
                cell_id=cell_id,
                source=source,
                tags=dict(tags or {}),
            ),
            None if ambient else threading.get_ident(),
            wait=wait,
        )

    def begin(self, start: RunStart) -> ActiveRun:
        """Start or continue the run that `start` describes; the caller ends it."""
        return self._begin(start, None, wait=True)

    def find_run(self, uid: str) -> ActiveRun | None:
        """Return the active run of this process with this uid, or None."""
        return next((run for run in self._active if run.uid == uid), None)

    def joins(self, uid: str) -> bool:
        """Whether the run with this uid belongs to another process that this one works for."""
        return self._joined.includes(uid)

    def current_run(self) -> ActiveRun | None:
        """Return the run that `log` writes to, or None.

        This is the run of this context (a block, a task); else the last ambient run, or in a thread the last run
        that the main thread started; else the run of the process that started this one; else the one in
        ``MLOPS_RUN_UID``.
        """
        run = run_of_context()
        if run is not None and not run.ended:
            return run
        here = threading.get_ident()
        for run in reversed(self._active):
            # A kernel may execute cells in several threads, each with its own run.
            if run.thread is None and run.starting_thread == here:
                return run
        for run in reversed(self._active):
            if run.thread is None or run.thread == threading.main_thread().ident != threading.get_ident():
                return run
        return self._joined.current()

    def run_of_stage(self) -> ActiveRun | None:
        """Return the run in ``MLOPS_RUN_UID``, which the process of a stage started for its kernel, or None."""
        return self._joined.named()

    def url_of(self, uid: str) -> str:
        """Return the address of a run's page; empty when it has none."""
        from mlops_workbench.capture.run.address import run_address

        try:
            return run_address(self.workspace, uid, self.run_id_of)
        except WorkbenchError:
            return ""

    def _ended(self, uid: str) -> None:
        """Move a run from the active to the finished ones."""
        with self._lock:
            run = self.find_run(uid)
            if run is None:
                return
            self._active.remove(run)
            self._publish()
            self.finished.append(run)
            if len(self.finished) > _WITH_PROFILES:
                # Comparisons with later runs do not need the profiles, which are large.
                self.finished[-_WITH_PROFILES - 1].drop_profiles()
        self.surroundings.end(run)
        for on_end in self.run_ended:
            on_end(run)

    def close(self) -> None:
        """Call `closing`, end the active runs of this process as KILLED, and close the journal."""
        for work in self.closing:
            work()
        for run in reversed(self._active):
            run.end("KILLED", error="the process ended before the run did")
        self.surroundings.close()
        self._heartbeat.stop()
        self._writer.close()

    def _make_run(self, start: RunStart, **options: Any) -> ActiveRun:
        return ActiveRun(self, start, fits=self.models.fits, on_end=self._ended, url_of=self.url_of, **options)

    def _begin(self, start: RunStart, thread: int | None, *, wait: bool) -> ActiveRun:
        tags = {name: mask_value(name, value) for name, value in start.tags.items()}
        name, experiment = mask_registered(start.name), mask_registered(start.experiment)
        start = msgspec.structs.replace(start, name=name, experiment=experiment, source=mask(start.source), tags=tags)
        run = self._make_run(start, thread=thread, wait=wait)
        try:
            with self._lock:
                self._active.append(run)
            self.write(start, sync=wait)
            if not wait:
                self.sync_soon()
            with self._lock:
                self._publish()
            self._heartbeat.beat()
            self.surroundings.begin(run)
        except BaseException as error:
            # An interrupt: the caller does not get the run and cannot end it.
            run.end("KILLED", error=error)
            raise
        return run

    def _publish(self) -> None:
        """Publish the active runs for child processes, which join the last one."""
        if self is not _session:
            return
        runs = list(self._active)
        main = threading.main_thread().ident
        # A child does not know which thread gave it work; usually it is the main one.
        runs.sort(key=lambda run: run.thread is None or run.thread == main)
        with contextlib.suppress(WorkbenchError):
            self._for_children.publish(
                self.workspace, [PublishedRun(run.uid, text(run.name), text(run.experiment)) for run in runs]
            )

    def _running(self) -> list[RunStart]:
        return [run.start for run in self._active]

    def _close_at_exit(self) -> None:
        if not self._exit_registered:
            self._exit_registered = True
            call_at_exit(self.close)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._heartbeat.after_fork()
        self._joined.inherit(self._active, run_of_context())
        self._active = []
        self._exit_registered = False
        self.surroundings.after_fork()
        self._writer.after_fork()


def current_session() -> Session:
    """Return the session of this process, which the first call creates."""
    global _session
    if _session is None:
        with _session_lock:
            if _session is not None:
                return _session
            _session = Session()
        for call in on_session:
            call()
    return _session


def _after_fork_in_child() -> None:
    global _session_lock
    _session_lock = threading.Lock()
    for session in list(_sessions):
        session._after_fork()
    # A child may outlive the run in which it was forked; `Session.current_run` then finds its run.
    enter_run(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
