"""The client's calls about pipelines, sweeps and schedules."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mlops_workbench.client.bodies import NotebookRunRequest, PipelineRunRequest
from mlops_workbench.client.calls import Calls, decoded, path_part, too_long, wait
from mlops_workbench.core.pipelines import Pipeline, PipelineRun, PlannedRun, RunProgress, StageResult

# At run time, a method imports what it returns: each of these takes milliseconds, and a command needs one or two.
if TYPE_CHECKING:
    from mlops_workbench.core.schedules import Occasion, Schedule
    from mlops_workbench.core.sweeps import BestTrial, Sweep, SweepRequest

#: Longest time that the control plane holds the answer to a question about a run that is waited for; it answers at once
#: when a stage begins or ends, but not for each cell.
_PIPELINE_SECONDS = 0.5
#: The same for a run whose progress is drawn.
_WATCH_SECONDS = 0.25


class PipelineCalls(Calls):
    """Calls about pipelines, their runs, sweeps and schedules."""

    # -- pipelines -------------------------------------------------------------------------------------

    def pipelines(self) -> list[Pipeline]:
        """Pipelines of the workspace."""
        return self._get("/pipelines", list[Pipeline])

    def start_pipeline(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        **stages: Any,
    ) -> PipelineRun:
        """Start a pipeline; `texts` are values as they were typed, whose types the parameters give.

        `stages` say which stages run: `start`, `only` and `force` of `PipelineRunRequest`.
        """
        request = PipelineRunRequest(dict(params or {}), dict(texts or {}), **stages)
        return self._post(f"/pipelines/{path_part(name)}/runs", PipelineRun, request)

    def plan_pipeline(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        **stages: Any,
    ) -> PlannedRun:
        """What a run of a pipeline would do and why; takes and raises what :meth:`start_pipeline` does."""
        request = PipelineRunRequest(dict(params or {}), dict(texts or {}), **stages)
        return self._post(f"/pipelines/{path_part(name)}/plan", PlannedRun, request)

    def start_notebook(self, request: NotebookRunRequest) -> PipelineRun:
        """Run a notebook."""
        return self._post("/notebook-runs", PipelineRun, request)

    def pipeline_runs(self, limit: int = 100) -> list[PipelineRun]:
        """Pipeline runs, newest first."""
        return self._get("/pipeline-runs", list[PipelineRun], {"limit": limit})

    def pipeline_run(self, run_id: str) -> PipelineRun:
        """One pipeline run."""
        return self._get(f"/pipeline-runs/{path_part(run_id)}", PipelineRun)

    def pipeline_run_progress(self, run_id: str, lines: int = 5) -> RunProgress:
        """How far a pipeline run is, with the last lines that each of its running stages printed."""
        return self._get(f"/pipeline-runs/{path_part(run_id)}/progress", RunProgress, {"lines": lines})

    def pipeline_run_results(self, run_id: str) -> list[StageResult]:
        """Executed notebooks of a pipeline run's stages, and where they failed."""
        return self._get(f"/pipeline-runs/{path_part(run_id)}/results", list[StageResult])

    def cancel_pipeline_run(self, run_id: str) -> PipelineRun:
        """Cancel a pipeline run."""
        return self._post(f"/pipeline-runs/{path_part(run_id)}/cancel", PipelineRun)

    def resume_pipeline_run(self, run_id: str) -> PipelineRun:
        """Let a run that has failed or was cancelled go on; its stages that succeeded are kept."""
        return self._post(f"/pipeline-runs/{path_part(run_id)}/resume", PipelineRun)

    def wait_pipeline(
        self, run_id: str, timeout: float = math.inf, progress: Callable[[PipelineRun], None] | None = None
    ) -> PipelineRun:
        """Wait until a pipeline run has ended and its model is published; `progress` receives each state.

        Raises
        ------
        Unavailable
            It took longer than `timeout` seconds.
        """
        path = f"/pipeline-runs/{path_part(run_id)}"
        deadline = time.monotonic() + timeout
        seen = ""
        while True:
            left = deadline - time.monotonic()
            wait = max(0.0, min(_PIPELINE_SECONDS, left)) if seen else 0.0
            answer = self._send("GET", path, params={"wait": wait, "seen": seen})
            run, seen = decoded(answer, PipelineRun), answer.headers["ETag"]
            if progress is not None:
                progress(run)
            if not run.active:
                return run
            if left <= 0:
                raise too_long(f"pipeline run {run_id} did not end", timeout)

    def watch_pipeline(self, run_id: str, show: Callable[[RunProgress], None]) -> PipelineRun:
        """Wait like :meth:`wait_pipeline`, without a limit; `show` receives the progress several times a second."""
        while True:
            progress = self.pipeline_run_progress(run_id)
            show(progress)
            if not progress.run.active:
                return progress.run
            self._get(f"/pipeline-runs/{path_part(run_id)}", PipelineRun, {"wait": _WATCH_SECONDS})

    # -- sweeps ----------------------------------------------------------------------------------------

    def sweeps(self, limit: int = 100) -> list[Sweep]:
        """Sweeps, newest first, without their trials."""
        from mlops_workbench.core.sweeps import Sweep

        return self._get("/sweeps", list[Sweep], {"limit": limit})

    def sweep(self, sweep_id: str) -> Sweep:
        """One sweep with its trials."""
        from mlops_workbench.core.sweeps import Sweep

        return self._get(f"/sweeps/{path_part(sweep_id)}", Sweep)

    def start_sweep(self, request: SweepRequest) -> Sweep:
        """Run a notebook or a pipeline with many values of its parameters."""
        from mlops_workbench.core.sweeps import Sweep

        return self._post("/sweeps", Sweep, request)

    def cancel_sweep(self, sweep_id: str) -> Sweep:
        """End a sweep and the trials that run."""
        from mlops_workbench.core.sweeps import Sweep

        return self._post(f"/sweeps/{path_part(sweep_id)}/cancel", Sweep)

    def resume_sweep(self, sweep_id: str) -> Sweep:
        """Let a sweep go on that was cancelled, has failed or was killed."""
        from mlops_workbench.core.sweeps import Sweep

        return self._post(f"/sweeps/{path_part(sweep_id)}/resume", Sweep)

    def best_trial(self, sweep_id: str) -> BestTrial:
        """The best trial of a sweep, and the run whose model can be registered."""
        from mlops_workbench.core.sweeps import BestTrial

        return self._get(f"/sweeps/{path_part(sweep_id)}/best", BestTrial)

    def wait_sweep(
        self, sweep_id: str, timeout: float = math.inf, progress: Callable[[Sweep], None] | None = None
    ) -> Sweep:
        """Wait until a sweep has ended; `progress` receives each state.

        Raises
        ------
        Unavailable
            It took longer than `timeout` seconds.
        """

        def ended() -> Sweep | None:
            sweep = self.sweep(sweep_id)
            if progress is not None:
                progress(sweep)
            return None if sweep.run.active else sweep

        return wait(ended, timeout, f"sweep {sweep_id} did not end")

    # -- schedules -------------------------------------------------------------------------------------

    def schedules(self) -> list[Schedule]:
        """Pipelines and notebooks that start by themselves."""
        from mlops_workbench.core.schedules import Schedule

        return self._get("/schedules", list[Schedule])

    def occasions(self, name: str, limit: int = 100) -> list[Occasion]:
        """What happened to a schedule, newest first: why it was started, and why not."""
        from mlops_workbench.core.schedules import Occasion

        return self._get(f"/schedules/{path_part(name)}/occasions", list[Occasion], {"limit": limit})

    def pause_schedule(self, name: str) -> Schedule:
        """Start a pipeline or a notebook no more by itself."""
        from mlops_workbench.core.schedules import Schedule

        return self._post(f"/schedules/{path_part(name)}/pause", Schedule)

    def resume_schedule(self, name: str) -> Schedule:
        """Start it by itself again; what happened meanwhile starts nothing."""
        from mlops_workbench.core.schedules import Schedule

        return self._post(f"/schedules/{path_part(name)}/resume", Schedule)
