"""Which windows a log has, found from the summaries of its files without reading a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.serving.log.summaries import HOUR_US, Hour

UNITS = ("hour", "day", "month")
_LABELS = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}
_ALL_BITS = (1 << 64) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Outline:
    """A window before it is read.

    Attributes
    ----------
    number : int
        Start in microseconds since the epoch, or the number of a window by count.
    label : str
        Name for users: ``2013-04``, or ``rows 1-5000``.
    rows : int
        Number of predictions.
    from_us, until_us : int
        Whole hours that its rows are in; those of a window by count have rows of others too.
    before : int
        Rows before `from_us`.
    key : str
        Changes whenever the rows of these hours or their truth change.
    """

    number: int
    label: str
    rows: int
    from_us: int
    until_us: int
    before: int
    key: str


@dataclass
class _Sums:
    """Rows and digests of one hour, over all files."""

    rows: int = 0
    digest: int = 0
    truth: int = 0


def check_window(window: str) -> None:
    """Raise `InvalidInput` unless this is a unit of time or a number of rows."""
    if window not in UNITS and not (window.isdecimal() and int(window) > 0):
        raise InvalidInput(
            f"'{window}' is not a window", hint="use 'hour', 'day', 'month' or a number of rows such as '5000'"
        )


def outlines(predictions: Iterable[Hour], feedback: Iterable[Hour], window: str) -> list[Outline]:
    """All windows in order of time.

    Parameters
    ----------
    predictions, feedback : iterable of Hour
        Summaries of all files.
    window : str
        ``hour``, ``day``, ``month`` or a number of rows as text.
    """
    sums: dict[int, _Sums] = {}
    for hour in predictions:
        found = sums.setdefault(hour.start_us, _Sums())
        found.rows += hour.rows
        found.digest += hour.digest
    for hour in feedback:
        if hour.start_us in sums:
            sums[hour.start_us].truth += hour.digest
    hours = sorted(sums.items())
    return _counted(hours, int(window)) if window.isdecimal() else _calendar(hours, window)


def start_of(micros: int, unit: str) -> int:
    """First microsecond of the hour, day or month of an instant."""
    if unit != "month":
        size = HOUR_US if unit == "hour" else 24 * HOUR_US
        return micros // size * size
    moment = moment_of(micros)
    return micros_of(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0))


def end_of(start_us: int, unit: str) -> int:
    """First microsecond after the hour, day or month that begins at `start_us`."""
    if unit != "month":
        return start_us + (HOUR_US if unit == "hour" else 24 * HOUR_US)
    start = moment_of(start_us)
    return micros_of(start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1))


def moment_of(micros: int) -> datetime:
    """Time in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def micros_of(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _calendar(hours: list[tuple[int, _Sums]], unit: str) -> list[Outline]:
    members: defaultdict[int, list[_Sums]] = defaultdict(list)
    for start, sums in hours:
        members[start_of(start, unit)].append(sums)
    return [
        Outline(
            start, moment_of(start).strftime(_LABELS[unit]), sum(one.rows for one in parts), start,
            end_of(start, unit), 0, _key(parts, 0),
        )
        for start, parts in members.items()
    ]  # fmt: skip


def _counted(hours: list[tuple[int, _Sums]], size: int) -> list[Outline]:
    ends = [0]
    for _, sums in hours:
        ends.append(ends[-1] + sums.rows)
    spans = list(zip(pairwise(ends), hours, strict=True))
    found, first = [], 0
    for number in range(-(-ends[-1] // size)):
        low, high = number * size, min((number + 1) * size, ends[-1])
        while spans[first][0][1] <= low:
            first += 1
        last = first
        while spans[last][0][1] < high:
            last += 1
        parts = [sums for _, (_, sums) in spans[first : last + 1]]
        before, start, until = spans[first][0][0], spans[first][1][0], spans[last][1][0] + HOUR_US
        key = _key(parts, before)
        found.append(Outline(number, f"rows {low + 1}-{high}", high - low, start, until, before, key))
    return found


def _key(parts: list[_Sums], before: int) -> str:
    rows = digest = truth = 0
    for one in parts:
        rows += one.rows
        digest += one.digest
        truth += one.truth
    return f"{before}:{rows}:{digest & _ALL_BITS:016x}:{truth & _ALL_BITS:016x}"


def joined_ranges(windows: Iterable[Outline]) -> list[tuple[int, int, int]]:
    """Times that the windows cover, with the rows before each: ranges that touch are one."""
    found: list[tuple[int, int, int]] = []
    for one in sorted(windows, key=lambda window: window.from_us):
        if found and one.from_us <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], one.until_us), found[-1][2])
        else:
            found.append((one.from_us, one.until_us, one.before))
    return found
