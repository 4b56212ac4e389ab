"""Environment and resources of the runs of a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlops_workbench.capture.environment.collector import EnvironmentCollector
from mlops_workbench.capture.kernel.deferred import quietly
from mlops_workbench.capture.kernel.place import shell
from mlops_workbench.capture.resources.sampling import ResourceSampler
from mlops_workbench.core.errors import WorkbenchError

if TYPE_CHECKING:
    from mlops_workbench.capture.record.recorder import Recorder
    from mlops_workbench.capture.run.active import ActiveRun


class Surroundings:
    """Records environment and resources of the runs of a session.

    Child runs share those of their parent in this process, or in the process that this one works for, and are not
    recorded separately. Nor are the runs of a pipeline, whose work other processes do; the kernel of a stage records
    the run of the stage.

    Parameters
    ----------
    recorder : Recorder
        Recorder of the session.
    related : callable
        Returns whether the run with a uid belongs to this process, or to one that this process works for.

    Attributes
    ----------
    environments : EnvironmentCollector
        Environment of each run.
    resources : ResourceSampler
        Resources of each run, and the budget.
    """

    def __init__(self, recorder: Recorder, related: Callable[[str], bool]) -> None:
        self._recorder = recorder
        self._related = related
        self.environments = EnvironmentCollector(recorder)
        self.resources = ResourceSampler(recorder)

    def begin(self, run: ActiveRun) -> None:
        """Start recording for a run."""
        start = run.start
        if start.kind == "run" and not (start.parent_uid and self._related(start.parent_uid)):
            self._follow(run)

    def join(self, run: ActiveRun) -> None:
        """Start recording for a run of another process, if this process is a kernel: that of a stage."""
        if shell() is not None:
            self._follow(run)

    def end(self, run: ActiveRun) -> None:
        """Finish recording for a run, before its end is written."""
        quietly("its environment", lambda: self.environments.end(run))
        quietly("its resources", lambda: self.resources.end(run))

    def close(self) -> None:
        """Write what is known, without waiting for the rest."""
        quietly("its resources", self.resources.close)
        quietly("its environment", self.environments.close)

    def after_fork(self) -> None:
        """Reset in a forked child."""
        self.environments.after_fork()
        self.resources.after_fork()

    def _follow(self, run: ActiveRun) -> None:
        try:
            settings = self._recorder.workspace.settings.capture
        except WorkbenchError:
            return  # The recorder has reported it, and nothing can be written.
        quietly("its resources", lambda: self.resources.begin(run))
        if settings.environment:
            # Last, because its thread starts to work at once and delays system calls of this one.
            quietly("its environment", lambda: self.environments.begin(run))
