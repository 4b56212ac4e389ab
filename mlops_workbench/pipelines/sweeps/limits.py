"""When a sweep starts no more trials; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_workbench.core.shown.formats import duration, number
from mlops_workbench.core.sweeps import SweepRequest, Trial
from mlops_workbench.pipelines.sweeps.results import best_trial, value_of

#: First trials that all fail alike: their notebook, not their values, is wrong.
ALIKE = 5


@dataclass(frozen=True)
class Stop:
    """Why a sweep starts no more trials; `failed` says that this is a failure of the sweep."""

    reason: str
    failed: bool = False


def stop_reason(
    request: SweepRequest, ended: Sequence[Trial], started: int, seconds: float, price_per_hour: float | None
) -> Stop | None:
    """Why no more trials start; None while they do.

    Parameters
    ----------
    request : SweepRequest
        The sweep.
    ended : sequence of Trial
        Trials that have ended, in that order.
    started : int
        Number of trials that were started.
    seconds : float
        Time of the sweep until now.
    price_per_hour : float or None
        Of the machine.
    """
    if (alike := _alike(ended)) is not None:
        return Stop(f"the first {ALIKE} trials failed alike: {alike}", failed=True)
    failures = [trial for trial in ended if trial.state == "failed"]
    if request.max_failures is not None and len(failures) >= request.max_failures:
        return Stop(f"{len(failures)} trials failed, the last one: {failures[-1].message}", failed=True)
    if request.target is not None and (best := best_trial(ended, request.direction)) is not None:
        value = value_of(best)
        assert value is not None, "the best trial has a value"
        if value >= request.target if request.direction == "max" else value <= request.target:
            return Stop(f"the target {number(request.target)} was reached")
    if request.patience is not None and _without_better(ended, request) >= request.patience:
        return Stop(f"no better value in {request.patience} trials")
    if request.runs is not None and started >= request.runs:
        return Stop(f"the limit of {request.runs} runs was reached")
    if request.seconds is not None and seconds >= request.seconds:
        return Stop(f"the limit of {duration(request.seconds)} was reached")
    if request.money is not None and (price_per_hour or 0.0) * seconds / 3600 >= request.money:
        return Stop(f"the limit of {number(request.money)} was reached")
    return None


def _alike(ended: Sequence[Trial]) -> str | None:
    """What the first trials failed of, if it is the same but for numbers."""
    first = [trial for trial in ended if trial.state != "cancelled"][:ALIKE]
    if len(first) < ALIKE or any(trial.state != "failed" for trial in first):
        return None
    reasons = {re.sub(r"\d+", "0", trial.message) for trial in first}
    return first[-1].message if len(reasons) == 1 else None


def _without_better(ended: Sequence[Trial], request: SweepRequest) -> int:
    """Ended trials since the best value."""
    best = best_trial(ended, request.direction)
    if best is None:
        return len(ended)
    return len(ended) - 1 - next(index for index, trial in enumerate(ended) if trial.number == best.number)
