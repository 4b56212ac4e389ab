"""Times as people write them: ``last tuesday``, ``2 days ago``, ``2026-11-01 14:00``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from mlops_workbench.core.errors import InvalidInput

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_AGO = re.compile(r"(\d{1,6}|an?) (second|minute|hour|day|week)s? ago")
_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))? ?(am|pm)?")
_HINT = "for example: yesterday, last tuesday, last tuesday at 14:00, 2 days ago, 2026-11-01, 2026-11-01 14:00"


@dataclass(frozen=True)
class Span:
    """A time, or a span of time.

    Attributes
    ----------
    first_ms, last_ms : int
        Its ends, both included, in milliseconds since the epoch; the same for a moment.
    text : str
        It in words, for a heading.
    """

    first_ms: int
    last_ms: int
    text: str


def span_of(text: str, now: datetime) -> Span:
    """The moment, or the whole day or week, that a text means.

    Parameters
    ----------
    text : str
        What was typed.
    now : datetime
        The present, in local time without a zone.

    Raises
    ------
    InvalidInput
        It means nothing, or what is still to come.
    """
    words = " ".join(text.lower().replace(",", " ").split())
    span = None
    try:
        first, last = _iso(text.strip()) or (_spoken(words, now) if words else None) or (None, None)
        if first is not None and last is not None:
            span = Span(int(first.timestamp() * 1000), int(last.timestamp() * 1000), _shown(first, last))
    except (ValueError, OverflowError, OSError):
        pass
    if span is None:
        raise InvalidInput(f"'{text[:60]}' is not a time", where="--at", hint=_HINT)
    if span.first_ms > now.timestamp() * 1000:
        raise InvalidInput(f"'{text[:60]}' is in the future: {span.text}", where="--at", hint=_HINT)
    return span


def _spoken(words: str, now: datetime) -> tuple[datetime, datetime] | None:
    if words == "now":
        return now, now
    if found := _AGO.fullmatch(words):
        count = int(found[1]) if found[1].isdecimal() else 1
        if found[2] in ("day", "week"):
            # The same time of the clock, also over a change of summer time.
            then = now - timedelta(days=count * _UNITS[found[2]] // 86_400)
        else:
            then = datetime.fromtimestamp(now.timestamp() - count * _UNITS[found[2]])
        return then, then
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if words == "last week":
        return today - timedelta(days=today.weekday() + 7), _end(today - timedelta(days=today.weekday() + 1))
    if words == "last month":
        end = today.replace(day=1) - timedelta(days=1)
        return end.replace(day=1), _end(end)
    day_words, clock = _split(words)
    day = _day(day_words, today)
    if day is None:
        return None
    if not clock:
        return day, _end(day)
    moment = datetime.combine(day, _clock(clock))
    return moment, moment


def _split(words: str) -> tuple[str, str]:
    """The day and the time of the clock, which may be missing; a clock alone is one of today."""
    named, separator, clock = words.partition(" at ")
    if separator:
        return named, clock
    parts = words.split(" ")
    for size in range(1, len(parts) + 1):
        if any(part.isalpha() and part not in ("am", "pm") for part in parts[-size:]):
            size -= 1
            break
    return (" ".join(parts[: len(parts) - size]) or "today"), " ".join(parts[len(parts) - size :])


def _day(words: str, today: datetime) -> datetime | None:
    if words == "today":
        return today
    if words == "yesterday":
        return today - timedelta(days=1)
    name = words.removeprefix("last ").removeprefix("on ")
    found = [number for number, day in enumerate(_DAYS) if name in (day, day[:3])]
    # The last one before today, also with the name of today.
    return today - timedelta(days=(today.weekday() - found[0] - 1) % 7 + 1) if found else None


def _clock(words: str) -> time:
    found = _CLOCK.fullmatch(words)
    if found is None:
        raise ValueError(words)
    hour = int(found[1])
    if found[4]:
        if not 1 <= hour <= 12:
            raise ValueError(words)
        hour = hour % 12 + (12 if found[4] == "pm" else 0)
    elif found[2] is None:
        # A number alone says nothing.
        raise ValueError(words)
    return time(hour, int(found[2] or 0), int(found[3] or 0))


def _iso(text: str) -> tuple[datetime, datetime] | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}|\d{8}|\d{4}-?W\d{2}(-?\d)?", text):
        return found, _end(found)
    found = found.astimezone().replace(tzinfo=None) if found.tzinfo is not None else found
    return found, found


def _end(day: datetime) -> datetime:
    """The last millisecond of a day."""
    return day.replace(hour=23, minute=59, second=59, microsecond=999_000)


def _shown(first: datetime, last: datetime) -> str:
    if first == last:
        return f"at {first:%Y-%m-%d %H:%M:%S}"
    if first.date() == last.date():
        return f"on {first:%A, %Y-%m-%d}"
    return f"from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
