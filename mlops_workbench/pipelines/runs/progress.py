"""A pipeline run as its log tells it; pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import cast

from mlops_workbench.core.pipelines import PipelineRun, PipelineState, StageRun, StageState
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.pipelines.runs.events import (
    CancelRequested,
    CellEnded,
    Launched,
    RunEnded,
    RunEvent,
    RunStarted,
    StageEnded,
    StageEvent,
    StageStarted,
)
from mlops_workbench.pipelines.runs.folder import RunRequest

RUNNER_DIED = "runner process died"

#: A run whose launcher died before it could say which process it started.
_LAUNCH_MS = 60_000


@dataclass
class _LogState:
    """What the log says so far."""

    process: ProcessIdentity | None = None
    started: RunStarted | None = None
    ended: RunEnded | None = None
    cancelled: bool = False
    last_ms: int = 0


def launched_process(events: Iterable[RunEvent]) -> ProcessIdentity | None:
    """The runner process of a run, None when the log does not name it yet."""
    return next((event.process for event in events if isinstance(event, Launched)), None)


def has_ended(events: Iterable[RunEvent]) -> bool:
    """Whether the log tells the end of the run."""
    return any(isinstance(event, RunEnded) for event in events)


def fold(
    request: RunRequest,
    events: Iterable[RunEvent],
    cells: Callable[[str, int], list[StageEvent]],
    *,
    runner_alive: bool,
    now: int,
) -> PipelineRun:
    """The state of a run.

    Parameters
    ----------
    request : RunRequest
        What was asked for.
    events : iterable of RunEvent
        The run's log; read after `runner_alive` was found out, so that a runner that ends in between is
        not taken for dead.
    cells : callable
        Events of an attempt at a stage.
    runner_alive : bool
        Whether the runner process lives.
    now : int
        Milliseconds since the epoch.
    """
    story = _LogState()
    stages = {
        stage.name: StageRun(stage.name, stage.notebook, "pending", cells_total=stage.cells) for stage in request.stages
    }
    attempts: dict[str, int] = {}
    for event in events:
        story.last_ms = max(story.last_ms, event.at_ms)
        if isinstance(event, Launched):
            story.process = event.process
        elif isinstance(event, RunStarted):
            story.started = event
        elif isinstance(event, RunEnded):
            story.ended = event
        elif isinstance(event, CancelRequested):
            story.cancelled = True
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
        elif isinstance(event, StageEnded) and event.stage in stages:
            stages[event.stage] = replace(
                stages[event.stage], state=cast(StageState, event.state), end_ms=event.at_ms, message=event.message
            )
    for name, attempt in attempts.items():
        seen = cells(name, attempt)
        stages[name] = replace(stages[name], cells=sum(isinstance(event, CellEnded) for event in seen))
        story.last_ms = max([story.last_ms, *(event.at_ms for event in seen)])
    state, message, end_ms = _state(request, story, runner_alive, now)
    if state in ("failed", "cancelled"):
        stages = {name: _closed(stage, state, message, end_ms) for name, stage in stages.items()}
    return PipelineRun(
        id=request.id,
        pipeline=request.pipeline,
        state=state,
        reason=request.reason,
        params=dict(request.params),
        run_uid=story.started.run_uid if story.started else "",
        start_ms=request.created_ms,
        end_ms=end_ms,
        stages=list(stages.values()),
        message=message,
    )


def _state(request: RunRequest, story: _LogState, alive: bool, now: int) -> tuple[PipelineState, str, int]:
    if story.ended:
        return cast(PipelineState, story.ended.state), story.ended.message, story.ended.at_ms
    gone = not alive if story.process else now - request.created_ms > _LAUNCH_MS
    if gone:
        # When it died nobody knows: the last that was heard stands for it, and stays the same.
        end_ms = story.last_ms or request.created_ms
        return ("cancelled", "cancelled", end_ms) if story.cancelled else ("failed", RUNNER_DIED, end_ms)
    if story.started:
        return "running", "cancelling" if story.cancelled else "", 0
    return "pending", "", 0


def _closed(stage: StageRun, state: PipelineState, message: str, end_ms: int) -> StageRun:
    """A stage of a run that is over without the stage having been told."""
    if stage.state == "running":
        return replace(stage, state=cast(StageState, state), end_ms=end_ms, message=message)
    if stage.state == "pending":
        return replace(stage, state="skipped" if state == "failed" else "cancelled")
    return stage
