"""Times of a cron expression in a time zone, also over changes of the clocks."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from cronsim import CronSim, CronSimError

from mlops_workbench.core.errors import InvalidInput, did_you_mean

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
#: Days after which an expression without a match has none: the calendar repeats after 400 years, but a leap day on
#: a certain day of the week comes within 40.
_MOST_DAYS = 41 * 366
#: How far back the last time before a moment is looked for, step by step.
_BACK = (timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366), timedelta(days=_MOST_DAYS))


class Cron:
    """Times of an expression of five parts.

    cronsim reads the expression and decides about days. The minutes of a day are computed here: of a fixed time, one
    that does not exist (the clocks go forward) counts as the first minute after the gap, and one that comes twice
    counts once. An expression whose minute or hour begins with ``*`` follows elapsed time: it matches in both of two
    repeated hours, and nothing is added after a gap.

    Parameters
    ----------
    text : str
        Minute, hour, day of the month, month, day of the week.
    zone : str
        Name of the time zone.

    Raises
    ------
    InvalidInput
        The expression or the zone is not valid.
    """

    def __init__(self, text: str, zone: str = "UTC") -> None:
        hint = "write minute, hour, day of the month, month, day of the week: '0 6 * * 1' is every Monday at 6:00"
        parts = text.upper().split()
        if len(parts) != 5:
            raise InvalidInput(f"cron '{text[:80]}' does not have five parts", hint=hint)
        try:
            self._parsed = CronSim(" ".join(parts), datetime(2024, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise InvalidInput(f"cron '{text[:80]}' is not valid: {error}", hint=hint) from error
        try:
            self._zone = zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            known = did_you_mean(zone, zoneinfo.available_timezones())
            raise InvalidInput(f"there is no time zone '{zone[:80]}'", hint=known) from error
        self._elapsed = parts[0].startswith("*") or parts[1].startswith("*")
        self._times = [
            time(hour, minute) for hour in sorted(self._parsed.hours) for minute in sorted(self._parsed.minutes)
        ]

    def after(self, moment: datetime) -> Iterator[datetime]:
        """All times after a moment, in order, in UTC.

        Parameters
        ----------
        moment : datetime
            With its zone.
        """
        last = moment.astimezone(UTC)
        day = last.astimezone(self._zone).date() - _DAY
        waiting: set[datetime] = set()
        empty = 0
        while empty < _MOST_DAYS and day.year < date.max.year:
            found = set(self._of_day(day))
            empty = 0 if found else empty + 1
            waiting |= found
            # Around midnight, a change of the clocks can put times of one day among those of the next.
            until = datetime.combine(day, time(12), self._zone).astimezone(UTC)
            for at in sorted(at for at in waiting if at <= until):
                if at > last:
                    last = at
                    yield at
            waiting = {at for at in waiting if at > until}
            day += _DAY
        yield from sorted(at for at in waiting if at > last)

    def next(self, moment: datetime) -> datetime | None:
        """The first time after a moment, in UTC; None if there is none."""
        return next(self.after(moment), None)

    def last(self, moment: datetime) -> datetime | None:
        """The last time up to and including a moment, in UTC; None if there was none."""
        moment = moment.astimezone(UTC)
        for span in _BACK:
            found: datetime | None = None
            for at in self.after(moment - span):
                if at > moment:
                    break
                found = at
            if found is not None:
                return found
        return None

    def _of_day(self, day: date) -> Iterator[datetime]:
        """Moments of the times of a local day that matches, in UTC, not in order."""
        if day.month not in self._parsed.months or not self._parsed.match_day(day):
            return
        for at in self._times:
            first = datetime.combine(day, at, self._zone)
            second = first.replace(fold=1)
            moment = first.astimezone(UTC)
            if first.utcoffset() == second.utcoffset():
                yield moment
            elif moment.astimezone(self._zone).replace(tzinfo=None) != first.replace(tzinfo=None):
                if not self._elapsed:
                    yield self._end_of_gap(moment, second.astimezone(UTC))
            else:
                yield moment
                if self._elapsed:
                    yield second.astimezone(UTC)

    def _end_of_gap(self, after: datetime, before: datetime) -> datetime:
        """The first minute with the offset that holds `after` a gap; `before` is a moment before the gap."""
        offset = after.astimezone(self._zone).utcoffset()
        minutes = int((after - before) / _MINUTE)
        low, high = 0, minutes
        while high - low > 1:
            middle = (low + high) // 2
            if (before + middle * _MINUTE).astimezone(self._zone).utcoffset() == offset:
                high = middle
            else:
                low = middle
        return before + high * _MINUTE
