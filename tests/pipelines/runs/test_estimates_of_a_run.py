"""How long the rest of a run takes, by what its stages took before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.pipelines import PipelineRun, StageRun, StageState
from mlops_workbench.pipelines.runs.estimates import remaining, usual_durations


def stage(name: str, took: int = 0, state: StageState = "succeeded", start: int = 1) -> StageRun:
    return StageRun(name, f"{name}.ipynb", state, start_ms=start, end_ms=start + took if took else 0)


def earlier(*stages: StageRun) -> PipelineRun:
    return PipelineRun("1", "flights", "succeeded", "manual", {}, "", 1, stages=list(stages))


def test_a_stage_usually_takes_the_median_of_its_last_five_successes() -> None:
    runs = [earlier(stage("train", took), stage("check", 7, "failed")) for took in (10, 30, 20, 5000, 40, 1_000_000)]
    assert usual_durations(["train", "check", "new"], runs) == {"train": 30}


def test_a_stage_that_executed_no_cell_tells_nothing() -> None:
    reused = StageRun("train", "train.ipynb", "succeeded", start_ms=1, end_ms=2, cells=0, cells_total=9)
    assert usual_durations(["train"], [earlier(reused), earlier(stage("train", 30))]) == {"train": 30}


def test_a_new_instance_of_a_matrix_is_compared_with_the_others() -> None:
    runs = [earlier(stage("train@lr=0.1", 10), stage("train@lr=0.2", 30), stage("trainer", 500))]
    assert usual_durations(["train@lr=0.3", "train@lr=0.2"], runs) == {"train@lr=0.3": 20, "train@lr=0.2": 30}


def test_stages_that_need_each_other_add_up_and_others_run_at_the_same_time() -> None:
    stages = [
        stage("prepare", 100),
        stage("a", state="running", start=1000),
        stage("b", state="pending", start=0),
        stage("report", state="pending", start=0),
    ]
    needs = {"a": ["prepare"], "b": ["prepare"], "report": ["a", "b"]}
    usual = {"a": 500, "b": 300, "report": 50}
    assert remaining(stages, needs, usual, 0, 1100) == 400 + 50
    # On one slot, b waits for a.
    assert remaining(stages, needs, usual, 1, 1100) == 400 + 300 + 50
    assert remaining(stages, needs, usual | {"a": 10}, 0, 1100) == 300 + 50


def test_there_is_no_estimate_without_history_or_beyond_it() -> None:
    stages = [stage("a", state="running", start=1000), stage("b", state="pending", start=0)]
    assert remaining(stages, {}, {"a": 500}, 0, 1100) is None
    assert remaining(stages[:1], {}, {"a": 500}, 0, 9000) is None
    assert remaining([stage("a", 5)], {}, {}, 0, 9000) is None


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 2**10)), min_size=1, max_size=9), st.integers(0, 9))
def test_the_estimate_is_between_the_longest_stage_and_all_of_them(parts: list[tuple[int, int]], slots: int) -> None:
    names = [f"s{number}" for number in range(len(parts))]
    needs = {
        name: [other for bit, other in enumerate(names[:number]) if parts[number][1] >> bit & 1]
        for number, name in enumerate(names)
    }
    usual = dict(zip(names, (length for length, _ in parts), strict=True))
    found = remaining([stage(name, state="pending", start=0) for name in names], needs, usual, slots, 0)
    assert found is not None and max(usual.values()) <= found <= sum(usual.values())
