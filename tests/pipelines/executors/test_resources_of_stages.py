"""Stages take no more than there is, in the order in which they became ready, and none waits for ever."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.settings import PipelineSettings
from mlops_workbench.pipelines.definition.nouns import ResourceSpec
from mlops_workbench.pipelines.executors.local import local_capacity
from mlops_workbench.pipelines.executors.resources import Capacity, Schedule, excess

FOUR = Capacity(cpu=4, memory=8_000_000_000, gpus=("0", "1"))


def cores(count: float) -> ResourceSpec:
    return ResourceSpec(cpu=count)


def test_stages_start_in_order_until_the_cores_are_taken() -> None:
    schedule = Schedule(FOUR)
    ready = [(name, cores(1)) for name in "abcdef"]
    assert list(schedule.start(ready)) == ["a", "b", "c", "d"]
    schedule.end("b")
    assert list(schedule.start(ready[4:])) == ["e"]


def test_memory_and_the_number_of_stages_are_limits_too() -> None:
    big = ResourceSpec(cpu=0.1, memory=5_000_000_000)
    assert list(Schedule(FOUR).start([("a", big), ("b", big)])) == ["a"]
    assert list(Schedule(FOUR, slots=2).start([(name, cores(0.1)) for name in "abc"])) == ["a", "b"]


def test_fractions_of_a_core_add_up() -> None:
    schedule = Schedule(Capacity(cpu=1, memory=1))
    assert len(schedule.start([(str(number), cores(0.1)) for number in range(20)])) == 10


def test_a_smaller_stage_passes_the_first_one_only_where_that_does_not_delay_it() -> None:
    schedule = Schedule(FOUR)
    assert list(schedule.start([("running", cores(2))])) == ["running"]
    # `big` can have its three cores when `running` has ended, if one core at most is given away before.
    waiting = [("big", cores(3)), ("small", cores(1)), ("other", cores(1))]
    assert list(schedule.start(waiting)) == ["small"]
    assert not schedule.start([waiting[0], waiting[2]])
    schedule.end("running")
    assert list(schedule.start([waiting[0], waiting[2]])) == ["big"]


def test_gpus_are_given_whole_and_in_parts() -> None:
    schedule = Schedule(FOUR)
    half, whole = ResourceSpec(cpu=0.1, gpu=0.5), ResourceSpec(cpu=0.1, gpu=1)
    got = schedule.start([("a", half), ("b", half), ("c", whole), ("d", half)])
    assert {name: dict(share.gpus) for name, share in got.items()} == {"a": {"0": 0.5}, "b": {"0": 0.5}, "c": {"1": 1}}
    schedule.end("c")
    assert dict(schedule.start([("two", ResourceSpec(cpu=0.1, gpu=2)), ("d", half)])) == {}
    schedule.end("a")
    schedule.end("b")
    assert set(schedule.start([("two", ResourceSpec(cpu=0.1, gpu=2)), ("d", half)])["two"].gpus) == {"0", "1"}


@pytest.mark.parametrize(
    ("need", "message"),
    [
        (ResourceSpec(cpu=8), "8 cores of 4"),
        (ResourceSpec(memory=16_000_000_000, gpu=3), "16 GB of memory of 8 GB, 3 GPUs of 2"),
        (ResourceSpec(gpu=1.5), ""),
        (ResourceSpec(gpu=2.5), "2.5 GPUs of 2"),
        (ResourceSpec(cpu=4.5), "4.5 cores of 4"),
        (ResourceSpec(cpu=4, memory=8_000_000_000, gpu=2), ""),
    ],
)
def test_what_a_stage_asks_for_beyond_the_capacity_is_named(need: ResourceSpec, message: str) -> None:
    assert excess(need, FOUR) == message


NEEDS = st.builds(
    ResourceSpec,
    cpu=st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0, 2.0, 3.0, 4.0]),
    memory=st.sampled_from([0, 1_000_000_000, 3_000_000_000, 8_000_000_000]),
    gpu=st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 2.0]),
)


@given(st.lists(NEEDS, max_size=15), st.integers(0, 4), st.randoms(use_true_random=False))
def test_no_resource_is_given_twice_and_every_stage_gets_its_turn(
    needs: list[ResourceSpec], slots: int, chance: random.Random
) -> None:
    schedule = Schedule(FOUR, slots)
    waiting = {str(number): need for number, need in enumerate(needs)}
    running: dict[str, ResourceSpec] = {}
    before: set[str] | None = None  # that ran when the first of those that wait came to its turn
    first = ""
    while waiting or running:
        started = schedule.start(list(waiting.items()))
        running |= {name: waiting.pop(name) for name in started}
        assert sum(need.cpu for need in running.values()) <= 4 + 1e-6
        assert sum(need.memory for need in running.values()) <= FOUR.memory
        assert not slots or len(running) <= slots
        if next(iter(waiting), "") != first:
            first, before = next(iter(waiting), ""), set(running)
        assert running
        # It starts when all of those have ended, whatever has passed it.
        assert not first or before & running.keys()
        ended = chance.choice(sorted(running))
        del running[ended]
        schedule.end(ended)


def test_by_default_the_capacity_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8a1")
    found = local_capacity(PipelineSettings())
    assert found.cpu > 0 and found.memory > 100_000_000 and found.gpus == ("3", "GPU-8a1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local_capacity(PipelineSettings()).gpus == ()


def test_settings_replace_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    found = local_capacity(PipelineSettings(cpu=64, memory_gb=0.5, gpu=1))
    assert (found.cpu, found.memory, found.gpus) == (64, 500_000_000, ("3",))
    assert local_capacity(PipelineSettings(gpu=4)).gpus == ("0", "1", "2", "3")
    assert local_capacity(PipelineSettings(gpu=0)).gpus == ()
