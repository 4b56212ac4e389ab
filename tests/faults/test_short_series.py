"""Short series of the trials; ``make bench NAME=faults`` has long ones."""

from __future__ import annotations

import pytest
from capture_trials import capture, ingest
from damage_trials import File, damage
from pipeline_trials import runners
from race_trials import races
from resume_trials import resumed_runs
from serving_trials import endpoints
from trials import Counts

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]


def check(counts: Counts, *at_least: tuple[str, int]) -> None:
    """Nothing is lost, doubled, wrong or made up, and something was tried."""
    for name, least in at_least:
        assert counts[name] >= least, counts
    wrong = ("lost", "duplicated", "false", "log_lost_rows", "races_wrong", "damaged_took_down_others")
    assert not sum(counts[name] for name in wrong), counts


def test_killed_kernels_and_control_planes_lose_and_double_no_point() -> None:
    check(capture(2, 2000, 1), ("kills_kernel", 2), ("kills_control", 1), ("points_logged", 2000))


@pytest.mark.long
def test_a_killed_ingest_loses_and_doubles_no_point() -> None:
    check(ingest(2, 200), ("kills_ingest", 2), ("points_logged", 1800))


def test_a_killed_endpoint_loses_no_answered_row() -> None:
    check(endpoints(2, 1000, starts=1), ("kills_endpoint", 2), ("rows_answered", 1000))


@pytest.mark.long
def test_what_is_recorded_of_a_killed_pipeline_run_is_what_happened() -> None:
    check(runners(3), ("kills_runner", 3))


@pytest.mark.long
def test_runs_go_on_after_kills_and_repeat_nothing_that_has_ended() -> None:
    counts = resumed_runs(2)
    check(counts, ("kills", 2), ("runs", 2))
    assert not counts["resume_lost_stages"] + counts["resume_repeated_stages"] + counts["wrong_outputs"], counts


def test_changes_at_the_same_time_leave_the_right_champion_and_one_endpoint() -> None:
    check(races(20, 2), ("promotions_tried", 20))


@pytest.mark.long
def test_a_damaged_file_is_recovered_and_takes_nothing_else_down() -> None:
    files = (
        File(".mlops/index.db", is_cache=True),
        File(".mlops/control.db"),
    )
    counts = damage(files, ("truncated",))
    check(counts, ("damaged", 2))
    assert counts["damaged_handled"] == counts["damaged"]
    assert counts["caches_recovered"] == counts["caches"] > 0
