"""Times of cron expressions, also when clocks are changed, and what becomes of missed ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cron_oracle import EXPRESSIONS, ZONES, local_minutes, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.pipelines.triggers.cron import Cron
from mlops_workbench.pipelines.triggers.due import MOST_CATCH_UP, due

#: Three days around both changes of the clocks of each zone in 2026, and a time without any.
CHANGES = {
    "Europe/Berlin": ((3, 29), (10, 25), (6, 1)),
    "America/New_York": ((3, 8), (11, 1), (6, 1)),
    "Australia/Lord_Howe": ((4, 5), (10, 4), (6, 1)),
}


def times(text: str, zone: str, start: datetime, number: int) -> list[str]:
    found = islice(Cron(text, zone).after(start), number)
    return [at.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes") for at in found]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_the_times_are_those_of_a_walk_over_the_minutes(text: str, zone: str) -> None:
    for month, day in CHANGES[zone]:
        start = datetime(2026, month, day, tzinfo=UTC) - timedelta(days=2, minutes=1)
        end = start + timedelta(days=4)
        found = list(takewhile(lambda at, end=end: at < end, Cron(text, zone).after(start)))
        assert found == list(walk(text, local_minutes(zone, start, end)))


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    # A range of one number with a step means the number to one reader, and all from it on to another.
    ends = st.tuples(number, number).filter(lambda ends: ends[0] != ends[1])
    span = ends.map(lambda ends: f"{min(ends)}-{max(ends)}")
    step = st.integers(1, 40)
    part = st.one_of(number.map(str), span, st.tuples(span, step).map(lambda pair: f"{pair[0]}/{pair[1]}"))
    free = st.one_of(st.just("*"), step.map(lambda number: f"*/{number}"))
    return st.one_of(free, st.lists(part, min_size=1, max_size=3).map(",".join))


@settings(max_examples=150)
@given(
    minute=fields(0, 59), hour=fields(0, 5), weekday=fields(0, 7), zone=st.sampled_from(ZONES), change=st.integers(0, 1)
)
def test_any_expression_is_right_around_a_change_of_the_clocks(
    minute: str, hour: str, weekday: str, zone: str, change: int
) -> None:
    text = f"{minute} {hour} * * {weekday}"
    month, day = CHANGES[zone][change]
    start = datetime(2026, month, day, tzinfo=UTC) - timedelta(days=1, hours=3, minutes=1)
    end = start + timedelta(days=2)
    found = list(takewhile(lambda at: at < end, Cron(text, zone).after(start)))
    assert found == list(walk(text, local_minutes(zone, start, end)))


def test_a_time_that_does_not_exist_comes_at_the_first_minute_after_the_gap() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert times("30 2 * * *", "Europe/Berlin", before, 2) == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]
    assert times("0,15,30 2 * * *", "Europe/Berlin", before, 2) == ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]
    # Nothing is added for what follows elapsed time.
    assert times("30 */2 * * *", "Europe/Berlin", before + timedelta(hours=12), 2)[0] == "2026-03-29T04:30+02:00"
    # Half an hour is left out.
    howe = datetime(2026, 10, 3, 12, tzinfo=UTC)
    assert times("10 2 * * *", "Australia/Lord_Howe", howe, 1) == ["2026-10-04T02:30+11:00"]


def test_a_time_that_comes_twice_starts_one_run() -> None:
    before = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert times("30 2 * * *", "Europe/Berlin", before, 2) == ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]
    assert times("30 * * * *", "Europe/Berlin", before + timedelta(hours=12), 3) == [
        "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T03:30+01:00",
    ]  # fmt: skip


def test_monday_is_monday_and_a_leap_day_is_found() -> None:
    monday = next(Cron("0 6 * * 1", "Europe/Berlin").after(datetime(2026, 11, 28, tzinfo=UTC)))
    assert monday == datetime(2026, 11, 30, 5, tzinfo=UTC)
    assert Cron("0 0 29 2 *").next(datetime(2097, 1, 1, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(("text", "zone"), [("0 6 * *", "UTC"), ("60 6 * * *", "UTC"), ("0 6 * * *", "Europe/Berlinn")])
def test_a_wrong_expression_or_zone_is_refused(text: str, zone: str) -> None:
    with pytest.raises(InvalidInput) as found:
        Cron(text, zone)
    assert found.value.hint


HOURLY = Cron("0 * * * *")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_nothing_is_due_before_the_planned_time() -> None:
    assert due(HOURLY, NOON, NOON - timedelta(seconds=1), "all") == due(HOURLY, NOON, NOON - timedelta(hours=3), "skip")
    found = due(HOURLY, NOON, NOON - timedelta(seconds=1), "all")
    assert found.starts == () and found.next == NOON


def test_the_rule_decides_about_missed_times() -> None:
    later = NOON + timedelta(hours=5, minutes=30)
    skip, once, every = (due(HOURLY, NOON, later, rule) for rule in ("skip", "once", "all"))
    assert skip.starts == () and skip.missed == 6 and skip.first_missed == NOON
    assert once.starts == (NOON + timedelta(hours=5),) and once.missed == 5
    assert every.starts == tuple(NOON + timedelta(hours=hours) for hours in range(6)) and every.missed == 0
    assert {skip.next, once.next, every.next} == {NOON + timedelta(hours=6)}
    # The newest one is on time, the others are not.
    assert due(HOURLY, NOON, NOON + timedelta(hours=5, seconds=30), "skip").starts == (NOON + timedelta(hours=5),)


def test_years_of_missed_minutes_are_decided_at_once() -> None:
    minutely, later = Cron("* * * * *"), NOON + timedelta(days=700)
    assert due(minutely, NOON, later, "skip").starts == (later,)
    every = due(minutely, NOON, later, "all")
    assert every.starts[-1] == later and len(every.starts) == MOST_CATCH_UP and every.more


@settings(max_examples=150)
@given(
    late=st.integers(0, 40 * 3600), rule=st.sampled_from(["skip", "once", "all"]), text=st.sampled_from(EXPRESSIONS),
    zone=st.sampled_from(ZONES),
)  # fmt: skip
def test_each_time_is_decided_exactly_once(late: int, rule: str, text: str, zone: str) -> None:
    cron = Cron(text, zone)
    planned = cron.next(datetime(2026, 10, 24, 20, tzinfo=UTC))
    assert planned is not None
    now = planned + timedelta(seconds=late)
    found = due(cron, planned, now, rule)  # type: ignore[arg-type]
    until = [planned, *takewhile(lambda at: at <= now, cron.after(planned))]
    assert len(found.starts) + found.missed == len(until) and set(found.starts) <= set(until)
    assert found.next is not None and found.next > now
    # Deciding again at the same moment decides nothing.
    assert due(cron, found.next, now, rule).starts == ()  # type: ignore[arg-type]
