"""Models that the runs of a session fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.run.best import BestModels
from mlops_workbench.capture.run.fits import Fits
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import short_id
from mlops_workbench.core.metrics import Direction, named_metric

if TYPE_CHECKING:
    from mlops_workbench.capture.record.recorder import Recorder
    from mlops_workbench.capture.run.active import ActiveRun


class FittedModels:
    """Weak references to fitted models, and strong ones to the best models of the last loops.

    Parameters
    ----------
    recorder : Recorder
        Recorder of the runs.

    Attributes
    ----------
    fits : Fits
        The weak references.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.fits = Fits()
        self._recorder = recorder
        self._best = BestModels()

    def keep_best(self, loop: str, run: ActiveRun) -> None:
        """Keep the model that an ended run fitted if it is the best of its loop; `loop` is the id of an execution."""
        found = self.fits.find(run.uid)
        model = found[1].model() if found is not None else None
        if model is not None and run.status == "FINISHED":
            self._best.offer(loop, run.uid, run.name, model, run.metrics, self._wanted_metric(run.experiment))

    def find(self, run: str) -> object | None:
        """Return the last model that a run fitted, None if it is not in memory any more.

        Parameters
        ----------
        run : str
            Uid of the run, or a name, which stands for the latest run of that name.
        """
        found = self.fits.find(run)
        return None if found is None else found[1].model()

    def save(self, run: str) -> bool:
        """Save the model of an ended run; return False when it is not in memory, was saved already, or cannot be."""
        from mlops_workbench.capture.run.models import save_model

        found = self.fits.find(run)
        if found is None:
            self._name_best(run)
            return False
        if self.fits.saved(found[0]):
            return False
        uid, fit = found
        model = fit.model()
        saved = model is not None and save_model(self._recorder, uid, model, "model", fit.data)
        if saved:
            self.fits.mark_saved(uid)
        return saved

    def _name_best(self, run: str) -> None:
        """Show which model was kept instead of that of a run."""
        uid = self.fits.uid_of(run)
        if uid is None or self.fits.saved(uid):
            return
        for kept in self._best.of_same_loop(uid):
            best = f"the best by {kept.metric}" if kept.metric else "the last one"
            notify(
                f"the model of '{run}' is not in memory any more. Of its loop, {best} was kept: "
                f"that of '{kept.run_name}' with the id {short_id(kept.run_uid)}"
            )

    def _wanted_metric(self, experiment: str) -> tuple[str, Direction] | None:
        """Return the metric that the settings name for an experiment, None without one."""
        try:
            text = self._recorder.workspace.settings.tracking.metrics.get(experiment, "")
        except WorkbenchError:
            return None
        name, direction = named_metric(text)
        if name and not direction:
            notify(
                f"workbench.toml does not say which values of '{name}' are better, so another metric decides which "
                f"run is the best.\n  Write 'min {name}' or 'max {name}' in metrics of [tracking]",
                once=f"direction {name}",
            )
        return (name, direction) if direction else None
