"""Which stages of a pipeline a run executes, and which of them must not be taken from the cache; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from mlops_workbench.core.errors import InvalidInput, did_you_mean
from mlops_workbench.pipelines.runs.requests import Reuse, StageRequest

#: In `Selection.force`: all stages.
ALL = "*"


@dataclass(frozen=True)
class Selection:
    """Stages by the name of the stage, or of one of its instances; by default all, each if it has changed.

    Attributes
    ----------
    start : str
        This stage and all that need it run, whether they have changed or not; empty for none.
    only : str
        Only this stage runs; the newest results of those that it needs are taken. Nothing is published. Empty for none.
    force : tuple of str
        Stages that run whether they have changed or not; ``*`` for all.
    """

    start: str = ""
    only: str = ""
    force: tuple[str, ...] = ()


#: All stages, each if it has changed.
WHOLE = Selection()


def selected(pipeline: str, stages: Sequence[StageRequest], selection: Selection) -> list[StageRequest]:
    """Return the stages of a run, in order, each with whether it may be taken from the cache.

    Raises
    ------
    InvalidInput
        There is no stage of a name, or the names exclude each other.
    """
    if selection.only and (selection.start or selection.force):
        raise InvalidInput("a run of only one stage cannot begin with another, or force others", hint="leave one out")
    if selection.only:
        chosen = _instances(pipeline, stages, selection.only)
        needed = _needed(stages, chosen)
        return [_with(stage, "never" if stage.name in chosen else "always") for stage in stages if stage.name in needed]
    forced = {name for force in selection.force if force != ALL for name in _instances(pipeline, stages, force)}
    if ALL in selection.force:
        forced = {stage.name for stage in stages}
    if selection.start:
        later = _instances(pipeline, stages, selection.start)
        for stage in stages:
            if not later.isdisjoint(stage.needs):
                later.add(stage.name)
        forced |= later
    return [_with(stage, "never") if stage.name in forced else stage for stage in stages]


def _instances(pipeline: str, stages: Iterable[StageRequest], name: str) -> set[str]:
    found = {stage.name for stage in stages if name in (stage.name, stage.stage)}
    if not found:
        known = dict.fromkeys(each for stage in stages for each in (stage.stage, stage.name))
        raise InvalidInput(f"pipeline '{pipeline}' has no stage '{name}'", hint=did_you_mean(name, known))
    return found


def _needed(stages: Sequence[StageRequest], names: set[str]) -> set[str]:
    """The stages, and all that they need."""
    found = set(names)
    for stage in reversed(stages):
        if stage.name in found:
            found.update(stage.needs)
    return found


def _with(stage: StageRequest, reuse: Reuse) -> StageRequest:
    return msgspec.structs.replace(stage, reuse=reuse)
