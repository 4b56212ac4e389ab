"""When a sweep starts no more trials, which trial is the best, and what says which parameter matters."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.sweeps import SweepRequest, Trial
from mlops_workbench.core.wire.json_numbers import json_number
from mlops_workbench.pipelines.runs.events import CancelRequested, Launched, Resumed, RunStarted, TrialEnded
from mlops_workbench.pipelines.sweeps.limits import stop_reason
from mlops_workbench.pipelines.sweeps.results import best_trial, importance, seconds_of


def trial(number: int, value: float | None = None, state: str = "succeeded", **more: object) -> Trial:
    shown = None if value is None else json_number(value)
    return replace(Trial(number, "succeeded", {}, shown), state=state, **more)


AUC = SweepRequest(metric="auc", direction="max")
FIVE = [trial(number, value) for number, value in enumerate([0.1, 0.5, 0.4, 0.3, 0.2], 1)]


@pytest.mark.parametrize(
    ("changes", "seconds", "says"),
    [
        ({}, 1e9, None),
        ({"runs": 5}, 0, "limit of 5 runs"),
        ({"runs": 6}, 0, None),
        ({"seconds": 60}, 60, "limit of 1 min"),
        ({"seconds": 60}, 59, None),
        ({"money": 2}, 3600, "limit of 2"),
        ({"money": 2}, 3599, None),
        ({"patience": 3}, 0, "no better value in 3 trials"),
        ({"patience": 4}, 0, None),
        ({"target": 0.5}, 0, "target 0.5"),
        ({"target": 0.6}, 0, None),
        ({"direction": "min", "target": 0.1}, 0, "target 0.1"),
        ({"direction": "min", "patience": 5}, 0, None),
    ],
)
def test_each_limit_stops_a_sweep_when_it_is_reached(
    changes: dict[str, object], seconds: float, says: str | None
) -> None:
    found = stop_reason(replace(AUC, **changes), FIVE, 5, seconds, 2.0)  # type: ignore[arg-type]
    assert (found is None) if says is None else (found is not None and says in found.reason and not found.failed)


def test_failures_stop_a_sweep_only_if_they_are_too_many_or_the_first_ones_are_alike() -> None:
    failures = [trial(n, state="failed", message=f"cell {n}: no such file") for n in range(1, 6)]
    alike = stop_reason(AUC, failures, 5, 0, None)
    assert alike is not None and alike.failed and "cell 5: no such file" in alike.reason
    assert stop_reason(AUC, failures[:4], 4, 0, None) is None
    assert stop_reason(AUC, [FIVE[0], *failures], 6, 0, None) is None
    other = [*failures[:4], replace(failures[4], message="another")]
    assert stop_reason(AUC, other, 5, 0, None) is None
    many = stop_reason(replace(AUC, max_failures=2), [FIVE[0], *failures[:2]], 3, 0, None)
    assert many is not None and many.failed and "2 trials failed" in many.reason


def test_a_sweep_that_pauses_takes_no_time() -> None:
    process, day = ProcessIdentity(1, 1.0), 86_400_000
    ran = [Launched(0, process), RunStarted(1_000, "u", process), TrialEnded(61_000, 1, "succeeded")]
    resumed = [Resumed(day, True), Launched(day, process), RunStarted(day + 1_000, "u", process)]
    assert seconds_of([]) == 0.0 and seconds_of([*ran, CancelRequested(day)]) == 60.0
    assert seconds_of([*ran, *resumed]) == 60.0
    assert seconds_of([*ran, *resumed, TrialEnded(day + 11_000, 2, "succeeded")]) == 70.0


def test_neither_nan_nor_a_trial_that_failed_or_was_refused_is_the_best() -> None:
    bad = [trial(6, math.nan), trial(7, 9.0, "failed"), trial(8, 9.0, "refused"), trial(9, 9.0, "running"), trial(10)]
    for direction, number in (("max", 2), ("min", 1)):
        best = best_trial([*bad, *FIVE, trial(11, 0.5)], direction)  # type: ignore[arg-type]
        assert best is not None and best.number == number
    assert best_trial(bad, "max") is None
    assert best_trial(FIVE, "") is None
    infinite = best_trial([*FIVE, trial(12, math.inf)], "max")
    assert infinite is not None and infinite.number == 12


def test_of_halving_the_best_is_one_with_the_largest_budget() -> None:
    best = best_trial([trial(1, 0.9, rung=0), trial(2, 0.5, rung=1), trial(3, 0.4, rung=1)], "max")
    assert best is not None and best.number == 2


def test_the_parameter_that_decides_is_the_most_important_one() -> None:
    trials = [
        Trial(
            n, "succeeded", {"weak": n % 5, "strong": "abc"[n % 3], "none": n * 7919 % 11}, (n % 3) * 2.0 + n % 5 / 50
        )
        for n in range(60)
    ]
    shares, note = importance(trials)
    assert next(iter(shares)) == "strong" and shares["strong"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    assert note == ""
    few, note = importance(trials[:5])
    assert few == {} and "too few trials" in note
    assert importance([replace(one, value=1.0) for one in trials])[0] == {}
