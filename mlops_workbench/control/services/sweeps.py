"""Sweeps, and the best of their trials."""

from __future__ import annotations

import dataclasses

from mlops_workbench.control.events import EventHub
from mlops_workbench.control.services.pipelines import PipelineService
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.core.errors import Conflict
from mlops_workbench.core.sweeps import BestTrial, Sweep, SweepRequest
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import sweep_service as engine


class SweepService:
    """Starts and reads sweeps; their trials run in a process of their own."""

    def __init__(self, workspace: Workspace, pipelines: PipelineService, runs: RunService, hub: EventHub) -> None:
        self._workspace = workspace
        self._pipelines = pipelines
        self._runs = runs
        self._hub = hub

    def sweeps(self, limit: int = 100) -> list[Sweep]:
        """Sweeps, newest first, without their trials."""
        return [dataclasses.replace(sweep, trials=[]) for sweep in engine.list_sweeps(self._workspace, limit)]

    def sweep(self, sweep_id: str) -> Sweep:
        """One sweep with its trials."""
        return engine.read_sweep(self._workspace, sweep_id)

    def start(self, request: SweepRequest, reason: str = "manual") -> Sweep:
        """Check and start a sweep; a relative path of a notebook is in the workspace."""
        if request.notebook:
            request = dataclasses.replace(request, notebook=str(self._pipelines.path(request.notebook)))
        found = engine.start_sweep(self._workspace, request, reason, self._pipelines.champion_metrics)
        self._hub.publish("pipelines", found.run.id)
        return found

    def cancel(self, sweep_id: str) -> Sweep:
        """End a sweep and the trials that run."""
        self.sweep(sweep_id)
        self._pipelines.cancel(sweep_id)
        return self.sweep(sweep_id)

    def resume(self, sweep_id: str) -> Sweep:
        """Let a sweep go on that was cancelled, has failed or was killed."""
        found = engine.resume_sweep(self._workspace, sweep_id)
        self._hub.publish("pipelines", sweep_id)
        return found

    def best(self, sweep_id: str) -> BestTrial:
        """The best trial, and its run whose model can be registered.

        Raises
        ------
        NotFound
            There is no such sweep.
        Conflict
            No trial has succeeded with a value of the metric, or the sweep has no metric.
        """
        sweep = self.sweep(sweep_id)
        if not sweep.metric:
            raise Conflict(
                "the sweep has no metric", where=sweep_id, hint="start it with --metric auc --max, for example"
            )
        trial = next((trial for trial in sweep.trials if trial.number == sweep.best), None)
        if trial is None:
            raise Conflict(f"no trial has succeeded with a value of '{sweep.metric}'", where=sweep_id)
        run = self._pipelines.run(trial.run)
        for uid in (*(stage.run_uid for stage in reversed(run.stages)), run.run_uid):
            if uid and self._runs.detail(uid).models:
                return BestTrial(trial, uid)
        return BestTrial(trial)
