"""When a run goes on by itself after the end of its runner, and from where."""

from __future__ import annotations

import platform

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.pipelines.runs.events import (
    AttemptFailed,
    AttemptInterrupted,
    CancelRequested,
    Launched,
    Resumed,
    RunEnded,
    RunEvent,
    RunStarted,
    StageEnded,
    StageStarted,
)
from mlops_workbench.pipelines.runs.resumption import MOST_RESUMPTIONS, is_resumable, progress_of

HOUR = 3_600_000
DEAD = ProcessIdentity(2**22 + 1, 1.0)
BEGUN: list[RunEvent] = [Launched(0, DEAD, platform.node()), RunStarted(1, "1" * 32, DEAD)]


@pytest.mark.parametrize(
    ("events", "goes_on"),
    [
        (BEGUN, True),
        (BEGUN[:1], True),  # killed before it could record anything
        ([], False),
        ([Launched(0, DEAD), *BEGUN[1:]], False),  # of a version that resumed no runs
        ([Launched(0, DEAD, "another-host"), *BEGUN[1:]], False),
        ([*BEGUN, CancelRequested(2)], False),
        ([*BEGUN, CancelRequested(2), Resumed(3)], False),
        ([*BEGUN, CancelRequested(2), Resumed(3, by_hand=True)], True),
        ([*BEGUN, RunEnded(2, "failed")], False),
        ([*BEGUN, RunEnded(2, "failed"), Resumed(3, by_hand=True)], True),
        ([*BEGUN, *[Resumed(2)] * (MOST_RESUMPTIONS - 1)], True),
        ([*BEGUN, *[Resumed(2)] * MOST_RESUMPTIONS], False),
        ([*BEGUN, *[Resumed(2)] * MOST_RESUMPTIONS, StageEnded(3, "a", "succeeded")], True),
        ([*BEGUN, *[Resumed(2)] * MOST_RESUMPTIONS, AttemptFailed(3, "a", 1, "", 3)], True),
        ([*BEGUN, *[Resumed(2), AttemptInterrupted(3, "a", 1)] * MOST_RESUMPTIONS], False),
        ([*BEGUN, *[Resumed(2)] * MOST_RESUMPTIONS, Resumed(3, by_hand=True)], True),
    ],
)
def test_which_runs_go_on(events: list[RunEvent], goes_on: bool) -> None:
    assert is_resumable(events, 10, 24.0) == goes_on


def test_a_run_goes_on_within_the_hours_of_the_setting() -> None:
    assert is_resumable(BEGUN, 1 + 2 * HOUR, 2.0) and not is_resumable(BEGUN, 2 + 2 * HOUR, 2.0)
    assert not is_resumable(BEGUN, 2, 0.0)


NAMES = st.sampled_from(["a", "b"])
EVENTS = st.lists(
    st.one_of(
        st.builds(StageStarted, st.just(5), NAMES, st.integers(1, 5), st.just("2" * 32)),
        st.builds(StageEnded, st.just(5), NAMES, st.sampled_from(["succeeded", "refused", "failed", "skipped"])),
        st.builds(AttemptFailed, st.just(5), NAMES, st.integers(1, 5), st.just("no"), st.just(9)),
        st.builds(AttemptInterrupted, st.just(5), NAMES, st.integers(1, 5)),
        st.builds(Resumed, st.just(5), st.booleans()),
        st.just(CancelRequested(5)),
    ),
    max_size=12,
)


@given(EVENTS, EVENTS)
def test_a_stage_that_has_succeeded_stays_so_whatever_follows(before: list[RunEvent], after: list[RunEvent]) -> None:
    done = {name: end for name, end in progress_of(before).ended.items() if end.state in ("succeeded", "refused")}
    others = [event for event in after if getattr(event, "stage", "") not in done]
    found = progress_of([*before, *others])
    assert {name: found.ended[name] for name in done} == done


@given(EVENTS)
def test_a_stage_waits_for_another_attempt_or_runs_but_not_both(events: list[RunEvent]) -> None:
    found = progress_of(events)
    assert not found.running & found.due_ms.keys()
    assert found.running <= found.started.keys()
    assert all(count >= 0 for count in found.uncounted.values())
