"""The session of a process: its runs, its journal, its signs of life."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_workbench.capture.kernel.place import notebook_path
from mlops_workbench.capture.record.values import text
from mlops_workbench.capture.record.writer import RecordWriter
from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.run.fits import Fit, Fits
from mlops_workbench.capture.session.heartbeat import HeartbeatThread
from mlops_workbench.capture.session.joined_runs import JoinedRuns
from mlops_workbench.capture.session.published_runs import PublishedRun, RunsForChildren
from mlops_workbench.capture.session.surroundings import Surroundings
from mlops_workbench.core.errors import InvalidInput, WorkbenchError
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.records import RunStart
from mlops_workbench.core.secrets import mask, mask_value
from mlops_workbench.core.workspace import Workspace

if TYPE_CHECKING:
    from mlops_workbench.capture.run.address import RunIdOf

#: Ended runs that a session remembers, to compare the next one with.
_REMEMBERED = 500
#: Those of them whose data may still be described.
_WHOLE = 8

_current: ContextVar[ActiveRun | None] = ContextVar("mlops_run", default=None)
#: The run of this context, which may have ended; `Session.current_run` looks further.
run_of_context = _current.get
_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_session: Session | None = None
_session_lock = threading.Lock()


class Session:
    """What one process records; :func:`current_session` gives the one that user code shares.

    Nothing is opened, started or written before the first record.

    Parameters
    ----------
    workspace : Workspace, optional
        Where to record; by default the workspace of the working folder, looked up at first use.

    Attributes
    ----------
    closing : list of callable
        What is to be done before the session closes; none of it may raise.
    fits : Fits
        Models that tracked cells fitted, as long as they are in memory.
    finished : deque of ActiveRun
        The last runs that ended here, the latest last.
    run_id_of : callable or None
        Reads MLflow's id of a run from the index; set by a front end that has the index at hand.
    run_ended : list of callable
        Called with each run of this process that ends, before its end is recorded; they must not raise.
    write : callable
        ``write(record, sync=False)`` records something; it never raises on disk trouble. See `RecordWriter.write`.
    surroundings : Surroundings
        Environment and resources of the runs, and the budget.
    store : callable
        ``store(run_uid, data, again=False, wait=True)`` puts bytes or a file into the blob store; see
        `RecordWriter.store`.
    sync_soon : callable
        Has what was written brought to the disk at once, in the background.
    """

    def __init__(self, workspace: Workspace | None = None) -> None:
        find = Workspace.find if workspace is None else lambda: workspace
        self._delivery = RecordWriter(find, self._running, self._close_at_exit)
        self.write = self._delivery.write
        self.sync_soon = self._delivery.sync_soon
        self.store = self._delivery.store
        self._experiment = ""
        self._active: list[ActiveRun] = []
        self.finished: deque[ActiveRun] = deque(maxlen=_REMEMBERED)
        self._joined = JoinedRuns(
            self, lambda start: self._make_run(start, joined=True), lambda run: self.surroundings.join(run)
        )
        self._for_children = RunsForChildren()
        self._heart = HeartbeatThread(self.write, lambda: bool(self._active))
        self._lock = threading.RLock()
        self._exit_registered = False
        self.closing: list[Callable[[], object]] = []
        self.fits = Fits()
        self.surroundings = Surroundings(self, lambda uid: self.find_run(uid) is not None or self.joins(uid))
        self.run_id_of: RunIdOf | None = None
        self.run_ended: list[Callable[[ActiveRun], None]] = []
        _sessions.add(self)

    @property
    def workspace(self) -> Workspace:
        """The workspace that records go to.

        Raises
        ------
        WorkbenchError
            It cannot be found or its settings are broken.
        """
        return self._delivery.open_workspace()

    @property
    def experiment_chosen(self) -> bool:
        """Whether somebody chose the experiment of new runs, here or by ``MLOPS_EXPERIMENT``."""
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
                f"{name!r} cannot be the name of an experiment", hint="use a line of text of at most 250 characters"
            )
        self._experiment = name.strip()

    def complete(self, run_uid: str) -> bool:
        """Whether nothing of a run had to be dropped so far."""
        return run_uid not in self._delivery.incomplete

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
        """Begin a run; whoever begins it ends it with `ActiveRun.end`.

        Parameters
        ----------
        name : str, optional
            Name; by default one made from the run's id.
        experiment : str, optional
            By default the current one.
        kind : {"run", "pipeline", "stage"}
            What it is a run of.
        parent_uid : str, optional
            The run it belongs to.
        notebook : str, optional
            By default the notebook or script of this process.
        cell_id : str, optional
            Id of the cell in that notebook.
        tags : mapping, optional
            Tags.
        source : str, optional
            Code as executed.
        ambient : bool, default=True
            Whether code that knows of no other run logs to this one; False for a run that is the current one
            of a context only (see `enter_run`).
        numbered : bool, default=False
            Add the end of the id to the name if a run of this session has that name already.
        wait : bool, default=True
            Wait for the disk when it begins and when it ends; otherwise its journal is synced then without anybody
            waiting for it.
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
        """Begin the run that `start` describes, or carry it on in this process; whoever does so ends it."""
        return self._begin(start, None, wait=True)

    def find_run(self, uid: str) -> ActiveRun | None:
        """The active run with this uid, when it is one of this process."""
        return next((run for run in self._active if run.uid == uid), None)

    def joins(self, uid: str) -> bool:
        """Whether the run with this uid is one of another process that this one works for."""
        return self._joined.knows(uid)

    def current_run(self) -> ActiveRun | None:
        """The run that `log` writes to.

        That is the one of this context (a block, a task). A thread begins with an empty context: there it is
        the last one begun by the main thread. Else it is the last ambient one, else that of the process which
        started this one, else the one in ``MLOPS_RUN_UID``.
        """
        run = _current.get()
        if run is not None and not run.ended:
            return run
        here = threading.get_ident()
        for run in reversed(self._active):
            # Kernels execute cells in several threads, each its own.
            if run.thread is None and run.begun_in == here:
                return run
        for run in reversed(self._active):
            if run.thread is None or run.thread == threading.main_thread().ident != threading.get_ident():
                return run
        return self._joined.current()

    def url_of(self, uid: str) -> str:
        """Address of a run's page; empty when it has none."""
        from mlops_workbench.capture.run.address import run_address

        try:
            return run_address(self.workspace, uid, self.run_id_of)
        except WorkbenchError:
            return ""

    def _ended(self, uid: str) -> None:
        """Take a run off the active ones."""
        with self._lock:
            run = self.find_run(uid)
            if run is None:
                return
            self._active.remove(run)
            self._publish()
            self.finished.append(run)
            if len(self.finished) > _WHOLE:
                # What is compared with later runs is small; profiles of data are not.
                self.finished[-_WHOLE - 1].forget_profiles()
        self.surroundings.end(run)
        for told in self.run_ended:
            told(run)

    def remember(self, fits: Iterable[Fit], run: ActiveRun) -> None:
        """Keep weak references to the models that a run fitted."""
        self.fits.add(run.uid, run.name, fits)

    def find_model(self, run: str) -> object | None:
        """The model that a run fitted (the last, when there are several), if it is still in memory.

        Parameters
        ----------
        run : str
            Uid of the run, or its name: then the latest run of that name.
        """
        found = self.fits.find(run)
        return None if found is None else found[1].model()

    def save_model_of_run(self, run: str) -> bool:
        """Save the model of an ended run; False when it is gone from memory or was saved already."""
        from mlops_workbench.capture.run.models import save_model

        found = self.fits.find(run)
        if found is None or self.fits.saved(found[0]):
            return False
        uid, fit = found
        model = fit.model()
        saved = model is not None and save_model(self, uid, model, "model", fit.data)
        if saved:
            self.fits.mark_saved(uid)
        return saved

    def close(self) -> None:
        """Do what waited, end this process's runs that are still active as KILLED, and the journal in good order."""
        for work in self.closing:
            work()
        for run in reversed(self._active):
            run.end("KILLED", error="the process ended before the run did")
        self.surroundings.close()
        self._heart.rest()
        self._delivery.close()

    def _make_run(self, start: RunStart, **options: Any) -> ActiveRun:
        return ActiveRun(self, start, fits=self.fits, on_end=self._ended, url_of=self.url_of, **options)

    def _begin(self, start: RunStart, thread: int | None, *, wait: bool) -> ActiveRun:
        tags = {name: mask_value(name, value) for name, value in start.tags.items()}
        start = msgspec.structs.replace(start, source=mask(start.source), tags=tags)
        run = self._make_run(start, thread=thread, wait=wait)
        try:
            with self._lock:
                self._active.append(run)
            self.write(start, sync=wait)
            if not wait:
                self.sync_soon()
            with self._lock:
                self._publish()
            self._heart.beat()
            self.surroundings.begin(run)
        except BaseException as error:
            # An interrupt: nobody else knows the run, so nobody would end it.
            run.end("KILLED", error=error)
            raise
        return run

    def _publish(self) -> None:
        """Tell child processes which runs are active, the one they join last."""
        if self is not _session:
            return
        runs = list(self._active)
        main = threading.main_thread().ident
        # Which thread gave a child its work is not known to the child; mostly it is the main one.
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
            _close_at_exit(self)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._heart.after_fork()
        self._joined.inherit(self._active, _current.get())
        self._active = []
        self._exit_registered = False
        self.surroundings.after_fork()
        self._delivery.after_fork()


def current_session() -> Session:
    """The session of this process, made at first use."""
    global _session
    if _session is None:
        with _session_lock:
            if _session is None:
                _session = Session()
    return _session


def enter_run(run: ActiveRun | None) -> Any:
    """Make `run` the current one of this context; gives the token for `leave_run`."""
    return _current.set(run)


def leave_run(token: Any) -> None:
    """Go back to the run that was current before."""
    try:
        _current.reset(token)
    except ValueError:
        # Left in another context than entered (a generator, a thread): there is nothing to go back to.
        _current.set(None)


def _close_at_exit(session: Session) -> None:
    owner = weakref.ref(session)

    def close() -> None:
        if (alive := owner()) is not None:
            alive.close()

    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        # Children of multiprocessing leave without atexit, but do run these.
        from multiprocessing.util import Finalize

        Finalize(None, close, exitpriority=0)
    else:
        atexit.register(close)


def _after_fork_in_child() -> None:
    global _session_lock
    _session_lock = threading.Lock()
    for session in list(_sessions):
        session._after_fork()
    # A child may live longer than the run it was forked in: from now on it asks which one its work belongs to.
    _current.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
