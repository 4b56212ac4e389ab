"""What a run is surrounded by: its environment, and the resources that it uses."""

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
    """Follows the runs of a session.

    A child of a run of this process, or of the one that it is a worker of, shares what surrounds its parent and is
    not looked at for itself; nor are the runs of a pipeline, whose work is done by other processes. The run of a
    stage is looked at in its kernel.

    Parameters
    ----------
    recorder : Recorder
        Where it is recorded.
    related : callable
        Whether the run with a uid is one of this process, or one that this process works for.

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
        """A run began."""
        start = run.start
        if start.kind == "run" and not (start.parent_uid and self._related(start.parent_uid)):
            self._follow(run)

    def join(self, run: ActiveRun) -> None:
        """A run of another process is joined: the kernel of a stage follows it to its own end."""
        if shell() is not None:
            self._follow(run)

    def end(self, run: ActiveRun) -> None:
        """A run ended, and its end is about to be written."""
        quietly("its environment", lambda: self.environments.end(run))
        quietly("its resources", lambda: self.resources.end(run))

    def close(self) -> None:
        """The session is closed: write what is known, wait for nothing."""
        quietly("its resources", self.resources.close)
        quietly("its environment", self.environments.close)

    def after_fork(self) -> None:
        """In a forked child nothing of the parent's is followed."""
        self.environments.after_fork()
        self.resources.after_fork()

    def _follow(self, run: ActiveRun) -> None:
        try:
            settings = self._recorder.workspace.settings.capture
        except WorkbenchError:
            # It was told already, and nothing can be written now.
            return
        quietly("its resources", lambda: self.resources.begin(run))
        if settings.environment:
            # Last: its thread is busy at once, and whatever waits for the system would wait for it too.
            quietly("its environment", lambda: self.environments.begin(run))
