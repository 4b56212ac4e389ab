"""The state of a pipeline run, derived from its events; pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import cast

from mlops_workbench.core.pipelines import PipelineRun, PipelineState, StageRun, StageState
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.shown.formats import moment
from mlops_workbench.pipelines.runs.events import (
    AttemptFailed,
    AttemptInterrupted,
    CancelRequested,
    CellEnded,
    Launched,
    Resumed,
    RunEnded,
    RunEvent,
    RunStarted,
    StageEnded,
    StageEvent,
    StageReused,
    StageStarted,
    TrialEnded,
    TrialStarted,
)
from mlops_workbench.pipelines.runs.requests import RunRequest

RUNNER_DIED = "runner process died"
INTERRUPTED = f"{RUNNER_DIED}; the control plane resumes the run"
DAMAGED = "its event log is damaged, so that its end is not known; the notebooks that it ran are in its folder"

#: Ends of a stage after which it never runs again.
DONE = ("succeeded", "refused")
#: Time after which a run without a recorded process is considered dead.
_LAUNCH_MS = 60_000


@dataclass
class _LogState:
    """State of a run from the events read so far."""

    process: ProcessIdentity | None = None
    started: RunStarted | None = None
    ended: RunEnded | None = None
    cancelled: bool = False
    last_ms: int = 0


def launched_process(events: Iterable[RunEvent]) -> ProcessIdentity | None:
    """The runner process of a run: the one that is alive, else the last one; None if none is recorded yet."""
    found = [event.process for event in events if isinstance(event, Launched | RunStarted) and event.process]
    return next((process for process in reversed(found) if process.alive()), found[-1] if found else None)


def has_ended(events: Iterable[RunEvent]) -> bool:
    """Whether the run has ended by its log."""
    ended = False
    for event in events:
        if isinstance(event, RunEnded | Resumed):
            ended = isinstance(event, RunEnded)
    return ended


def fold(
    request: RunRequest,
    events: Iterable[RunEvent],
    cells: Callable[[str, int], list[StageEvent]],
    *,
    runner_alive: bool,
    now: int,
    resumable: bool = False,
) -> PipelineRun:
    """The state of a run.

    Parameters
    ----------
    request : RunRequest
        The request of the run.
    events : iterable of RunEvent
        The run's log; to be read after `runner_alive` was determined, so that a runner that ends in between is
        not considered dead.
    cells : callable
        Returns the events of an attempt at a stage.
    runner_alive : bool
        Whether the runner process is alive.
    now : int
        Milliseconds since the epoch.
    resumable : bool
        Whether the run is resumed if its runner is dead: see `is_resumable`.
    """
    log_state = _LogState()
    stages = {
        stage.name: StageRun(stage.name, stage.notebook, "pending", cells_total=stage.cells) for stage in request.stages
    }
    attempts: dict[str, int] = {}
    trials: dict[int, bool] = {}  # to whether they have ended
    for event in events:
        log_state.last_ms = max(log_state.last_ms, event.at_ms)
        if isinstance(event, Launched):
            log_state.process = event.process
        elif isinstance(event, RunStarted):
            log_state.started = event
            log_state.process = event.process or log_state.process
        elif isinstance(event, Resumed):
            log_state.ended = None
            if event.by_hand:
                log_state.cancelled = False
                stages = {name: _again(stage) for name, stage in stages.items()}
        elif isinstance(event, RunEnded):
            log_state.ended = event
        elif isinstance(event, CancelRequested):
            log_state.cancelled = True
        elif isinstance(event, (TrialStarted, TrialEnded)):
            trials[event.number] = isinstance(event, TrialEnded)
        elif isinstance(event, StageStarted) and event.stage in stages:
            attempts[event.stage] = event.attempt
            stage = stages[event.stage]
            stages[event.stage] = replace(
                stage,
                state="running",
                run_uid=event.run_uid,
                start_ms=stage.start_ms or event.at_ms,
                message=f"attempt {event.attempt}" if event.attempt > 1 else "",
            )
        elif isinstance(event, AttemptFailed) and event.stage in stages:
            stages[event.stage] = replace(
                stages[event.stage],
                state="pending",
                message=f"attempt {event.attempt} failed: {event.message}; the next begins at {moment(event.retry_ms)}",
            )
        elif isinstance(event, AttemptInterrupted) and event.stage in stages:
            message = f"attempt {event.attempt} was interrupted by the end of its runner"
            stages[event.stage] = replace(stages[event.stage], state="pending", message=message)
        elif isinstance(event, StageReused) and event.stage in stages:
            stages[event.stage] = replace(
                stages[event.stage], run_uid=event.run_uid, start_ms=event.at_ms, cached=True, cached_from=event.run_id
            )
        elif isinstance(event, StageEnded) and event.stage in stages:
            stages[event.stage] = replace(
                stages[event.stage],
                state=cast(StageState, event.state),
                end_ms=event.at_ms,
                message=event.message,
                notes=list(event.notes),
            )
    for name, attempt in attempts.items():
        found = cells(name, attempt)
        stages[name] = replace(stages[name], cells=sum(isinstance(event, CellEnded) for event in found))
        log_state.last_ms = max([log_state.last_ms, *(event.at_ms for event in found)])
    state, message, end_ms = _state(request, log_state, runner_alive, now, resumable)
    if state == "running" and trials:
        message = message or f"{sum(trials.values())} trials have ended, {list(trials.values()).count(False)} run"
    if state in ("failed", "cancelled"):
        stages = {name: _closed(stage, state, message, end_ms) for name, stage in stages.items()}
    return PipelineRun(
        id=request.id,
        pipeline=request.pipeline,
        state=state,
        reason=request.reason,
        params=dict(request.params),
        run_uid=_run_uid(request, log_state, stages),
        start_ms=request.created_ms,
        end_ms=end_ms,
        stages=list(stages.values()),
        message=message,
        kind=request.kind,
    )


def chosen_instances(events: Iterable[RunEvent]) -> dict[str, dict[str, str]]:
    """For each stage that has chosen: its inputs with a choice, to the instance that each comes from."""
    starts = (event for event in events if isinstance(event, StageStarted | StageReused))
    return {event.stage: event.chosen for event in starts if event.chosen}


def _run_uid(request: RunRequest, log_state: _LogState, stages: dict[str, StageRun]) -> str:
    if request.kind == "notebook":
        return next((stage.run_uid for stage in stages.values()), "")
    return log_state.started.run_uid if log_state.started else ""


def _state(
    request: RunRequest, log_state: _LogState, alive: bool, now: int, resumable: bool
) -> tuple[PipelineState, str, int]:
    if log_state.ended:
        return cast(PipelineState, log_state.ended.state), log_state.ended.message, log_state.ended.at_ms
    dead = not alive if log_state.process else now - request.created_ms > _LAUNCH_MS
    if dead and resumable:
        return "running", INTERRUPTED, 0
    if dead:
        # The time of death is unknown; the last event is used, which does not change any more.
        end_ms = log_state.last_ms or request.created_ms
        return ("cancelled", "cancelled", end_ms) if log_state.cancelled else ("failed", RUNNER_DIED, end_ms)
    if log_state.started:
        return "running", "cancelling" if log_state.cancelled else "", 0
    return "pending", "", 0


def _again(stage: StageRun) -> StageRun:
    """A stage of a run that a user resumes: one that did not succeed runs again."""
    if stage.state in DONE:
        return stage
    return replace(stage, state="pending", start_ms=0, end_ms=0, cells=0, message="")


def _closed(stage: StageRun, state: PipelineState, message: str, end_ms: int) -> StageRun:
    """A stage of an ended run whose own end was not recorded."""
    if stage.state == "running":
        return replace(stage, state=cast(StageState, state), end_ms=end_ms, message=message)
    if stage.state == "pending":
        return replace(stage, state="skipped" if state == "failed" else "cancelled")
    return stage
