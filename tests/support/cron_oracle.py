"""Times of a cron expression by a walk over the minutes of UTC, with a reader of expressions of its own."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

#: Lists, steps, names, ranges, L and #, fixed and relative to elapsed time; times in and around changes of the clocks.
EXPRESSIONS = (
    "0 6 * * 1",
    "30 2 * * *",
    "15,45 1-3 * * *",
    "0 0 * * *",
    "59 23 L * *",
    "0 2,3 * * SUN",
    "*/15 * * * *",
    "*/20 2 * * *",
    "30 */2 * * *",
    "5-50/15 3 * * *",
    "0 12 13 * FRI",
    "0 9 1,15 * MON",
    "10 2 * MAR,OCT,NOV 0#1",
    "45 1 * * 7L",
    "0 8 LW JAN-JUN *",
    "*/7 1-2 * * SUN",
    "0 7/3 * * MON-FRI",
    "20 4 */5 * 2",
)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")


def _whole(text: str, low: int, high: int, names: tuple[str, ...], first: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        low_text, dash, high_text = span.partition("-")
        if span == "*":
            begin, end = low, high
        else:
            begin = names.index(low_text) + first if low_text in names else int(low_text)
            end = begin
            if dash:
                end = names.index(high_text) + first if high_text in names else int(high_text)
            elif slash:
                end = high
        found |= set(range(begin, end + 1, int(step) if slash else 1))
    return found


class Oracle:
    """Whether an expression matches a local minute."""

    def __init__(self, text: str) -> None:
        minute, hour, self.day, month, self.weekday = text.split()
        self.elapsed = minute.startswith("*") or hour.startswith("*")
        self.minutes = _whole(minute, 0, 59, (), 0)
        self.hours = _whole(hour, 0, 23, (), 0)
        self.months = _whole(month, 1, 12, MONTHS, 1)
        self.known: dict[tuple[int, int, int], bool] = {}

    def matches(self, at: datetime) -> bool:
        if at.minute not in self.minutes or at.hour not in self.hours or at.month not in self.months:
            return False
        date = (at.year, at.month, at.day)
        if date not in self.known:
            in_month, in_week = self._in_month(at), self._in_week(at)
            both = self.day.startswith("*") or self.weekday.startswith("*")
            self.known[date] = (in_month and in_week) if both else (in_month or in_week)
        return self.known[date]

    def _in_month(self, at: datetime) -> bool:
        last = calendar.monthrange(at.year, at.month)[1]
        if self.day == "L":
            return at.day == last
        if self.day == "LW":
            return at.day == max(d for d in range(1, last + 1) if datetime(at.year, at.month, d).weekday() < 5)
        return at.day in _whole(self.day, 1, 31, (), 1)

    def _in_week(self, at: datetime) -> bool:
        today = (at.weekday() + 1) % 7
        last = calendar.monthrange(at.year, at.month)[1]
        if self.weekday.endswith("L"):
            return today == int(self.weekday[:-1]) % 7 and at.day + 7 > last
        if "#" in self.weekday:
            name, number = self.weekday.split("#")
            day = DAYS.index(name) if name in DAYS else int(name) % 7
            return today == day and (at.day - 1) // 7 + 1 == int(number)
        return today in {day % 7 for day in _whole(self.weekday, 0, 7, DAYS, 0)}


def local_minutes(zone: str, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Minutes of UTC, each with what a clock on the wall shows."""
    there = ZoneInfo(zone)
    found = []
    at = start
    while at < end:
        found.append((at, at.astimezone(there).replace(tzinfo=None, fold=0)))
        at += MINUTE
    return found


def walk(text: str, minutes: list[tuple[datetime, datetime]]) -> Iterator[datetime]:
    """Minutes at which an expression starts something, the first minute left out: it shows the clock before."""
    oracle = Oracle(text)
    previous = latest = minutes[0][1]
    for at, wall in minutes[1:]:
        if oracle.elapsed:
            hit = oracle.matches(wall)
        else:
            # A minute that the clocks repeat was there already; those that they leave out count now.
            hit = wall > latest and oracle.matches(wall)
            left_out = previous + MINUTE
            while left_out < wall:
                hit = hit or (left_out > latest and oracle.matches(left_out))
                left_out += MINUTE
        previous, latest = wall, max(latest, wall)
        if hit:
            yield at


def year(number: int) -> tuple[datetime, datetime]:
    """From a minute before a year of UTC to its end."""
    return datetime(number, 1, 1, tzinfo=UTC) - MINUTE, datetime(number + 1, 1, 1, tzinfo=UTC)
