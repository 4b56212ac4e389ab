"""The trials of a sweep from its log, the best one, and which parameters matter; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

from mlops_workbench.core.sweeps import Direction, Trial, TrialState
from mlops_workbench.core.wire.json_numbers import real_number
from mlops_workbench.pipelines.runs.events import (
    CancelRequested,
    Launched,
    Resumed,
    RunEvent,
    RunStarted,
    TrialEnded,
    TrialStarted,
)

#: Fewest trials with a value for importances.
_FEWEST = 8


def trials_of(events: Iterable[RunEvent]) -> list[Trial]:
    """The trials by the log of a sweep; one that was started again has the state of its last start."""
    found: dict[int, Trial] = {}
    for event in events:
        if isinstance(event, TrialStarted):
            found[event.number] = Trial(
                event.number, "running", dict(event.params), run=event.run, rung=event.rung, start_ms=event.at_ms
            )
        elif isinstance(event, TrialEnded) and event.number in found:
            found[event.number] = replace(
                found[event.number],
                state=cast(TrialState, event.state),
                value=event.value,
                metrics=dict(event.metrics),
                run_uid=event.run_uid,
                end_ms=event.at_ms,
                message=event.message,
            )
    return [found[number] for number in sorted(found)]


def seconds_of(events: Iterable[RunEvent]) -> float:
    """Seconds that the processes of a sweep have taken; what a user or another process has logged is between them."""
    seconds = 0.0
    begun_ms = last_ms = 0
    for event in events:
        if isinstance(event, Launched | Resumed | CancelRequested):
            continue
        if isinstance(event, RunStarted):
            seconds += (last_ms - begun_ms) / 1000 if begun_ms else 0.0
            begun_ms = event.at_ms
        last_ms = event.at_ms
    return seconds + ((last_ms - begun_ms) / 1000 if begun_ms else 0.0)


def closed(trials: Sequence[Trial], end_ms: int) -> list[Trial]:
    """The trials of a sweep that has ended: one without an end was cancelled by that."""
    return [replace(trial, state="cancelled", end_ms=end_ms) if trial.state == "running" else trial for trial in trials]


def value_of(trial: Trial) -> float | None:
    """The value of a trial; None if it has none or it is NaN."""
    value = None if trial.value is None else real_number(trial.value)
    return None if value is None or math.isnan(value) else value


def best_trial(trials: Iterable[Trial], direction: Direction) -> Trial | None:
    """The trial with the best value; NaN never wins, and of equal ones the first does.

    Of successive halving only the trials with the largest budget that was reached are compared.
    """
    if not direction:
        return None
    known = [(value, trial) for trial in trials if trial.state == "succeeded" if (value := value_of(trial)) is not None]
    rung = max((trial.rung for _, trial in known), default=0)
    last = [(value, trial) for value, trial in known if trial.rung == rung]
    if not last:
        return None
    return (max if direction == "max" else min)(last, key=lambda one: one[0])[1]


def importance(trials: Sequence[Trial]) -> tuple[dict[str, float], str]:
    """Share of each varied parameter in the differences of the metric.

    A forest of trees predicts the value from the parameters; the importance of a parameter is how much worse that
    becomes when its values are exchanged between trials.

    Returns
    -------
    importance : dict
        From 0 to 1, the largest first; empty if it is unknown.
    note : str
        Why it is unknown, or how certain it is.
    """
    rung = max((trial.rung for trial in trials), default=0)
    known = [
        (trial, value)
        for trial in trials
        if trial.rung == rung and (value := value_of(trial)) is not None and math.isfinite(value)
    ]
    names = list(known[0][0].params) if known else []
    if len(known) < max(_FEWEST, 2 * len(names)):
        return {}, f"too few trials for importances: {len(known)} of {max(_FEWEST, 2 * len(names))} with a value"
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    columns = [_encoded([trial.params[name] for trial, _ in known]) for name in names]
    features, target = np.array(columns).T, np.array([value for _, value in known])
    if target.max() == target.min():
        return {}, "all values are equal"
    forest = RandomForestRegressor(n_estimators=64, min_samples_leaf=2, oob_score=True, bootstrap=True, random_state=0)
    forest.fit(features, target)
    found = permutation_importance(forest, features, target, n_repeats=10, random_state=0).importances_mean
    shares = np.clip(found, 0.0, None)
    if not shares.sum() > 0:
        return {}, "the parameters do not explain the values"
    fit = float(forest.oob_score_)
    note = "" if fit >= 0.3 else f"uncertain: the parameters explain little of trials not seen (R² {fit:.2f})"
    ranked = sorted(zip(names, (shares / shares.sum()).tolist(), strict=True), key=lambda item: -item[1])
    return dict(ranked), note


def _encoded(values: Sequence[object]) -> list[float]:
    """Numbers for the values of a parameter: themselves, or the numbers of the different ones in their order."""
    if all(isinstance(value, (int, float)) for value in values):
        return [float(value) for value in values]  # type: ignore[arg-type]
    order = {text: float(index) for index, text in enumerate(sorted({str(value) for value in values}))}
    return [order[str(value)] for value in values]
