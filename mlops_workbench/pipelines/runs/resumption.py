"""Where a run goes on whose runner has ended, and whether it does by itself; pure but for names of hosts."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field

from mlops_workbench.pipelines.runs.events import (
    AttemptFailed,
    AttemptInterrupted,
    CancelRequested,
    Launched,
    Resumed,
    RunEvent,
    RunStarted,
    StageEnded,
    StageReused,
    StageStarted,
    TrialEnded,
)
from mlops_workbench.pipelines.runs.progress import DONE, has_ended

#: How often in a row a run is resumed by itself while no attempt at a stage ends.
MOST_RESUMPTIONS = 3
_HOUR_MS = 3_600_000


@dataclass
class Progress:
    """What the runners of a run have done.

    Attributes
    ----------
    run_uid : str
        The pipeline's run in the tracking store, empty if it has none yet.
    ended : dict
        Stages whose end is on record, to it.
    started : dict
        Stages to their last attempt, by its start.
    reused : dict
        Stages whose result was taken from the cache, to that event.
    running : set of str
        Those whose last attempt has no end.
    due_ms : dict
        Stages that are to be tried again, to when.
    uncounted : dict
        Stages to the number of attempts that do not count as tries.
    cancelled : bool
        Whether a user has asked to stop the run.
    """

    run_uid: str = ""
    ended: dict[str, StageEnded] = field(default_factory=dict)
    started: dict[str, StageStarted] = field(default_factory=dict)
    reused: dict[str, StageReused] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    due_ms: dict[str, int] = field(default_factory=dict)
    uncounted: dict[str, int] = field(default_factory=dict)
    cancelled: bool = False


def progress_of(events: Sequence[RunEvent]) -> Progress:
    """What the runners of a run have done by its log."""
    found = Progress()
    for event in events:
        if isinstance(event, RunStarted):
            found.run_uid = event.run_uid or found.run_uid
        elif isinstance(event, CancelRequested):
            found.cancelled = True
        elif isinstance(event, Resumed) and event.by_hand:
            found.cancelled = False
            found.ended = {name: end for name, end in found.ended.items() if end.state in DONE}
            found.due_ms.clear()
            # An attempt without an end is not counted when it is found to be interrupted.
            found.uncounted = {name: start.attempt - (name in found.running) for name, start in found.started.items()}
        elif isinstance(event, StageReused):
            # It is no attempt: without an end, the stage is looked up again.
            found.reused[event.stage] = event
        elif isinstance(event, StageStarted):
            found.started[event.stage] = event
            found.reused.pop(event.stage, None)
            found.running.add(event.stage)
            found.due_ms.pop(event.stage, None)
        elif isinstance(event, AttemptFailed):
            found.running.discard(event.stage)
            found.due_ms[event.stage] = event.retry_ms
        elif isinstance(event, AttemptInterrupted):
            found.running.discard(event.stage)
            found.uncounted[event.stage] = found.uncounted.get(event.stage, 0) + 1
        elif isinstance(event, StageEnded):
            found.running.discard(event.stage)
            found.ended[event.stage] = event
    return found


def is_resumable(events: Sequence[RunEvent], now_ms: int, hours: float) -> bool:
    """Whether a run whose runner is dead goes on by itself.

    Parameters
    ----------
    events : sequence of RunEvent
        Its log.
    now_ms : int
        Milliseconds since the epoch.
    hours : float
        Setting ``pipelines.resume_hours``.
    """
    if has_ended(events) or progress_of(events).cancelled:
        return False
    # Whether a runner on another machine is dead cannot be told.
    hosts = [event.host for event in events if isinstance(event, Launched)]
    if not hosts or hosts[-1] != platform.node():
        return False
    return now_ms - events[-1].at_ms <= hours * _HOUR_MS and _in_vain(events) < MOST_RESUMPTIONS


def _in_vain(events: Sequence[RunEvent]) -> int:
    """How often the run was resumed by itself since an attempt has ended, or a user has resumed it."""
    count = 0
    for event in events:
        if isinstance(event, StageEnded | AttemptFailed | TrialEnded) or (isinstance(event, Resumed) and event.by_hand):
            count = 0
        elif isinstance(event, Resumed):
            count += 1
    return count
