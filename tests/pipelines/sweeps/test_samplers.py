"""Each way to choose values keeps its promise, and says the same again with the same seed and the same results."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.sweeps import SweepRequest
from mlops_workbench.pipelines.sweeps.methods import make_sampler, resolved
from mlops_workbench.pipelines.sweeps.samplers import GridSampler, LatinHypercube, Proposal, RandomSampler, Sampler
from mlops_workbench.pipelines.sweeps.space import Choices, Dimension, Normal, Range, Space

dimensions = st.one_of(
    st.lists(st.integers(), min_size=2, max_size=4, unique=True).map(lambda items: Choices(tuple(items))),
    st.tuples(st.integers(-9, 9), st.integers(1, 5)).map(lambda ends: Range(ends[0], ends[0] + ends[1], whole=True)),
)
finite_spaces = st.lists(dimensions, min_size=1, max_size=3).map(
    lambda found: Space({f"p{number}": dimension for number, dimension in enumerate(found)})
)
MIXED: dict[str, Dimension] = {
    "lr": Range(1e-4, 1e-1, log=True),
    "share": Range(0.0, 1.0),
    "depth": Range(2, 30, whole=True),
    "kind": Choices(("a", "b", None)),
    "noise": Normal(0.0, 1.0),
}


def asked(sampler: Sampler, most: int = 1000) -> list[Proposal]:
    found = []
    while len(found) < most and (proposal := sampler.ask()) is not None:
        found.append(proposal)
    return found


def key(values: dict[str, object]) -> tuple[str, ...]:
    return tuple(map(repr, values.values()))


@given(finite_spaces)
def test_a_grid_has_each_combination_once_the_last_parameter_changing_fastest(space: Space) -> None:
    found = [tuple(one.values.values()) for one in asked(GridSampler(space))]
    points = [[one.point(index) for index in range(one.size)] for one in space.dimensions.values()]  # type: ignore[union-attr, arg-type]
    assert found == list(product(*points))


@given(finite_spaces, st.integers(1, 200), st.integers(0, 99))
def test_random_values_of_a_finite_space_are_not_repeated(space: Space, runs: int, seed: int) -> None:
    found = asked(RandomSampler(space, runs, seed))
    assert len(found) == min(runs, space.size or 0)
    assert max(Counter(key(one.values) for one in found).values()) == 1
    assert found == asked(RandomSampler(space, runs, seed))


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_a_latin_hypercube_has_one_value_in_each_part_of_each_parameter(runs: int, seed: int) -> None:
    space = Space({"x": Range(0.0, 1.0), "y": Range(1e-3, 1e3, log=True)})
    found = asked(LatinHypercube(space, runs, seed))
    for share in (
        [float(str(one.values["x"])) for one in found],
        [math.log(float(str(one.values["y"])) / 1e-3) / math.log(1e6) for one in found],
    ):
        parts = sorted(value * runs for value in share)
        assert all(index - 1e-6 <= part <= index + 1 + 1e-6 for index, part in enumerate(parts))
    assert found == asked(LatinHypercube(space, runs, seed))


@given(st.sampled_from(["random", "lhs", "tpe"]), st.integers(0, 1000))
def test_values_are_within_the_space_and_the_same_for_a_seed(method: str, seed: int) -> None:
    request = SweepRequest(method=method, runs=6, seed=seed, metric="auc", direction="max")
    found = asked(make_sampler(request, Space(MIXED)))
    assert found == asked(make_sampler(request, Space(MIXED)))
    assert len(found) == 6
    for values in (one.values for one in found):
        assert 1e-4 <= values["lr"] <= 1e-1 and 0 <= values["share"] <= 1  # type: ignore[operator]
        assert isinstance(values["depth"], int) and 2 <= values["depth"] <= 30
        assert values["kind"] in ("a", "b", None)


def halving(runs: int | None = None, direction: str = "max") -> Sampler:
    space = Space({"x": Range(0.0, 1.0), "epochs": Range(1, 9, whole=True)})
    request = SweepRequest(method="halving", budget="epochs", runs=runs, seed=1, metric="m", direction=direction)  # type: ignore[arg-type]
    return make_sampler(request, space)


def drive(sampler: Sampler, value: dict[int, float | None] | None = None) -> list[Proposal]:
    """All proposals; each trial ends before the next is asked for, with x as its value."""
    found: list[Proposal] = []
    while (proposal := sampler.ask()) is not None:
        found.append(proposal)
        number = len(found) - 1
        sampler.tell(number, value[number] if value and number in value else float(str(proposal.values["x"])))
    return found


@pytest.mark.parametrize("direction", ["max", "min"])
def test_halving_promotes_the_best_of_a_rung_to_the_next_budget(direction: str) -> None:
    found = drive(halving(direction=direction))
    rungs = [[float(str(one.values["x"])) for one in found if one.rung == rung] for rung in range(3)]
    assert [len(rung) for rung in rungs] == [9, 3, 1]
    ranked = sorted(rungs[0], reverse=direction == "max")
    assert (rungs[1], rungs[2]) == (ranked[:3], ranked[:1])
    assert [one.values["epochs"] for one in found] == [1] * 9 + [3] * 3 + [9]


def test_halving_waits_for_the_end_of_a_rung_and_never_promotes_a_trial_without_a_value() -> None:
    sampler = halving()
    first = [sampler.ask() for _ in range(9)]
    assert None not in first
    for number in range(8):
        sampler.tell(number, None if number else 0.5)
    assert sampler.ask() is None
    sampler.tell(8, None)
    promoted = sampler.ask()
    assert promoted is not None and first[0] is not None
    assert promoted.values["x"] == first[0].values["x"]
    assert sampler.ask() is None
    sampler.tell(9, None)
    assert sampler.ask() is None


@given(st.integers(3, 60))
def test_halving_has_no_more_runs_than_it_may(runs: int) -> None:
    sampler = halving(runs)
    assert len(drive(sampler)) == sampler.total
    assert (sampler.total or 0) <= runs


@pytest.mark.parametrize("method", ["grid", "random", "lhs", "halving", "tpe", "qmc", "optuna.samplers:NSGAIISampler"])
def test_after_a_kill_a_sampler_goes_on_where_it_was(method: str) -> None:
    space = Space({
        "x": Range(0.0, 1.0, step=0.1), "kind": Choices(("a", "b")), "epochs": Range(1, 9, whole=True),
        "n": Range(1.0, 8.0, count=4),
    } | ({} if method == "grid" else {"z": Normal(0.0, 1.0)}))  # fmt: skip
    request = SweepRequest(
        method=method, runs=13, seed=3, metric="m", direction="max", budget="epochs" if method == "halving" else ""
    )
    before = make_sampler(request, space)
    started = asked(before, 5)
    again = make_sampler(request, space)
    for number, one in enumerate(started):
        again.replay(one.values)
        for sampler in (before, again):
            sampler.tell(number, float(str(one.values["x"])) if number != 2 else None)
    left = asked(before), asked(again)
    assert len(left[0]) == len(left[1]) > 0
    if method in ("grid", "random", "lhs", "halving"):
        assert left[0] == left[1]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (SweepRequest(method="grid"), "give a step"),
        (SweepRequest(method="lhs"), "number of trials"),
        (SweepRequest(method="random"), "has no end"),
        (SweepRequest(method="tpe"), "needs a metric"),
        (SweepRequest(method="halving", metric="auc"), "--budget epochs=1..81"),
        (SweepRequest(method="tpee", metric="auc", runs=3), "did you mean 'tpe'"),
        (SweepRequest(method="random", metric="thing", runs=3), "--max or --min"),
        (SweepRequest(method="random", runs=3, patience=3), "early stop needs a metric"),
        (SweepRequest(method="tpe", metric="auc", runs=3, options={"n_startup": 3}), "n_startup_trials"),
        (SweepRequest(method="random", runs=3, options={"a": 3}), "takes no options"),
        (SweepRequest(method="random", runs=0), "runs"),
        (SweepRequest(method="random", runs=3, seconds=-1.0), "seconds"),
    ],
)
def test_a_sweep_that_cannot_be_made_says_what_is_missing(request_: SweepRequest, says: str) -> None:
    space = Space({"x": Range(0.0, 1.0)})
    with pytest.raises(InvalidInput) as error:
        make_sampler(resolved(request_, space, 1), space)
    assert says in str(error.value)


def test_extreme_ranges_neither_hang_nor_overflow() -> None:
    space = Space({"x": Range(-1e308, 1e308), "budget": Range(1e-300, 1e300)})
    request = SweepRequest(method="halving", budget="budget", metric="m", direction="max", seed=1)
    with pytest.raises(InvalidInput, match="smaller range"):
        make_sampler(request, space)
    values = [Range(-1e308, 1e308).at(share) for share in (0.0, 0.5, 0.999)]
    assert values == sorted(values) and all(map(math.isfinite, values))
