"""Runs of other processes that this process logs to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mlops_workbench.capture.kernel.place import notebook_path
from mlops_workbench.capture.session.published_runs import RunsOfParents
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import RunStart

if TYPE_CHECKING:
    from mlops_workbench.capture.record.recorder import Recorder
    from mlops_workbench.capture.run.active import ActiveRun


class JoinedRuns:
    """Finds the run of another process that this one logs to, without ending it.

    Parameters
    ----------
    recorder : Recorder
        The session of this process.
    make_run : callable
        Creates an `ActiveRun` for a run that another process started.
    on_join : callable
        Called with the run of ``MLOPS_RUN_UID`` when it is first joined.
    """

    def __init__(
        self,
        recorder: Recorder,
        make_run: Callable[[RunStart], ActiveRun],
        on_join: Callable[[ActiveRun], None],
    ) -> None:
        self._recorder = recorder
        self._make_run = make_run
        self._on_join = on_join
        # In a forked child, the active runs of the parent; the run of the forking context is the last one.
        self._inherited: list[ActiveRun] = []
        self._of_parents = RunsOfParents()
        self._joined: ActiveRun | None = None

    def current(self) -> ActiveRun | None:
        """Return the run of the process that started this one, else the one in ``MLOPS_RUN_UID``."""
        return self._run_of_parents() or self.named()

    def includes(self, uid: str) -> bool:
        """Whether the run with this uid was joined or inherited from another process."""
        return (self._joined is not None and self._joined.uid == uid) or any(run.uid == uid for run in self._inherited)

    def inherit(self, runs: Iterable[ActiveRun], of_context: ActiveRun | None) -> None:
        """Add the active runs of the parent, in a forked child."""
        self._inherited += runs
        if of_context is not None and of_context in self._inherited:
            self._inherited.remove(of_context)
            self._inherited.append(of_context)
        self._of_parents = RunsOfParents()

    def _run_of_parents(self) -> ActiveRun | None:
        try:
            found = self._of_parents.find(self._recorder.workspace)
        except (WorkbenchError, OSError):
            found = None
        inherited = self._inherited[-1] if self._inherited else None
        # Work in a forked child belongs to the run in which it was forked, also after the end of that run.
        if found is None or (inherited is not None and any(run.uid == inherited.uid for run in found.runs)):
            return inherited
        last = found.runs[-1]
        return self._join(last.uid, last.name, last.experiment)

    def named(self) -> ActiveRun | None:
        """Return the run in ``MLOPS_RUN_UID``: that of a stage, in its kernel."""
        uid = os.environ.get("MLOPS_RUN_UID")
        if not uid:
            return None
        known = self._joined
        run = self._join(uid, "", self._recorder.experiment)
        if run is not known:
            self._on_join(run)
        return run

    def _join(self, uid: str, name: str, experiment: str) -> ActiveRun:
        if self._joined is None or self._joined.uid != uid:
            start = RunStart(uid, name, experiment, now_ms(), notebook=notebook_path())
            self._joined = self._make_run(start)
        return self._joined
