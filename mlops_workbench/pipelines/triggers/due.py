"""Which times of a schedule start a run now, and which were missed: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Literal

from mlops_workbench.pipelines.triggers.cron import Cron

CatchUp = Literal["skip", "once", "all"]
#: A time is missed when it is noticed later than this: a control plane that restarts or a machine that is busy misses
#: none, one that sleeps does.
GRACE = timedelta(minutes=2)
#: Most missed times that are made up for, and most that are counted.
MOST_CATCH_UP = 100
MOST_COUNTED = 10_000


@dataclass(frozen=True)
class Due:
    """What a schedule does at a moment.

    Attributes
    ----------
    starts : tuple of datetime
        Planned times that start a run, in UTC, oldest first.
    missed : int
        Number of other planned times, which start nothing.
    first_missed, last_missed : datetime or None
        The first and the last of them.
    next : datetime or None
        The next time; None if there is none.
    more : bool
        Whether more were missed than are counted.
    """

    starts: tuple[datetime, ...] = ()
    missed: int = 0
    first_missed: datetime | None = None
    last_missed: datetime | None = None
    next: datetime | None = None
    more: bool = False


def due(cron: Cron, planned: datetime, now: datetime, catch_up: CatchUp, grace: timedelta = GRACE) -> Due:
    """Decide about the times of a schedule from `planned` to `now`.

    Parameters
    ----------
    cron : Cron
        The schedule.
    planned : datetime
        Its next time, as it was computed before.
    now : datetime
        The moment of the decision.
    catch_up : str
        ``skip``: only the last time starts a run, if it is not later than `grace`; ``once``: the last one does,
        however late; ``all``: each does, the newest `MOST_CATCH_UP` of them.
    grace : timedelta
        How late is on time.
    """
    if planned > now:
        return Due(next=planned)
    following = cron.next(now)
    times = [planned]
    for at in islice(cron.after(planned), MOST_COUNTED):
        if at > now:
            break
        times.append(at)
    more = len(times) > MOST_COUNTED
    if more:
        last = cron.last(now)
        assert last is not None
        newest = _newest(cron, now) if catch_up == "all" else [last]
        times += [at for at in newest if at > times[-1]]
    if catch_up == "all":
        starts = times[-MOST_CATCH_UP:]
    elif catch_up == "once" or now - times[-1] <= grace:
        starts = times[-1:]
    else:
        starts = []
    missed = times[: len(times) - len(starts)]
    return Due(
        starts=tuple(starts),
        missed=len(missed),
        first_missed=missed[0] if missed else None,
        last_missed=missed[-1] if missed else None,
        next=following,
        more=more,
    )


def _newest(cron: Cron, now: datetime) -> list[datetime]:
    """The newest `MOST_CATCH_UP` times up to a moment, or more."""
    span = timedelta(minutes=MOST_CATCH_UP)
    while True:
        found = list(takewhile(lambda at: at <= now, cron.after(now - span)))
        if len(found) >= MOST_CATCH_UP:
            return found
        span *= 2
