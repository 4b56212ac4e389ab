"""How long stages usually take, and how long a run takes to its end; pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from mlops_workbench.core.pipelines import PipelineRun, StageRun

#: Durations of a stage that count, newest first.
_COUNTED = 5


def usual_durations(stages: Iterable[str], earlier: Iterable[PipelineRun]) -> dict[str, int]:
    """Median of the last durations of stages that succeeded.

    Parameters
    ----------
    stages : iterable of str
        Names of the stages; an instance of a matrix that has not run before is compared with the other instances.
    earlier : iterable of PipelineRun
        Runs of the same pipeline or notebook, newest first.

    Returns
    -------
    dict
        Milliseconds by stage; stages that have not succeeded before are left out.
    """
    found: dict[str, list[int]] = {}
    for run in earlier:
        for stage in run.stages:
            # One whose result was reused has executed no cell.
            executed = stage.cells or not stage.cells_total
            if stage.state == "succeeded" and executed and stage.start_ms and stage.end_ms >= stage.start_ms:
                for name in {stage.name, _of_any_instance(stage.name)}:
                    found.setdefault(name, []).append(stage.end_ms - stage.start_ms)
    known = {name: found.get(name) or found.get(_of_any_instance(name)) for name in stages}
    return {name: round(median(times[:_COUNTED])) for name, times in known.items() if times}


def remaining(
    stages: Sequence[StageRun], needs: Mapping[str, Sequence[str]], usual: Mapping[str, int], slots: int, now: int
) -> int | None:
    """Estimate of the milliseconds until the last of some stages ends.

    It is the longest chain of stages that need each other, or all that is left over the slots, if that is more.

    Parameters
    ----------
    stages : sequence of StageRun
        The stages, each after those that it needs.
    needs : mapping
        Stages to those that must have succeeded before.
    usual : mapping
        Usual durations in milliseconds.
    slots : int
        Most stages at a time; 0 for no limit.
    now : int
        Milliseconds since the epoch.

    Returns
    -------
    int or None
        None if the duration of a stage that has not ended is not known, or if all of them are over their usual time.
    """
    left: dict[str, int] = {}
    ends: dict[str, int] = {}
    for stage in stages:
        if stage.state not in ("pending", "running"):
            left[stage.name] = ends[stage.name] = 0
            continue
        if stage.name not in usual:
            return None
        elapsed = now - stage.start_ms if stage.state == "running" and stage.start_ms else 0
        left[stage.name] = max(0, usual[stage.name] - max(0, elapsed))
        before = max((ends.get(needed, 0) for needed in needs.get(stage.name, ())), default=0)
        ends[stage.name] = before + left[stage.name]
    longest = max(ends.values(), default=0)
    total = sum(left.values())
    return max(longest, round(total / slots) if slots else 0) or None


def _of_any_instance(name: str) -> str:
    """Key of the instances of a stage with a matrix, such as ``train@lr=0.1``."""
    return f"{name.partition('@')[0]}@"
