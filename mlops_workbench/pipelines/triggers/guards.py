"""What holds a start back: runs that are active, a pause between starts, a number of starts a day. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_workbench.core.shown.formats import moment
from mlops_workbench.pipelines.definition.nouns import StartLimits

_DAY_MS = 86_400_000


def held(
    now_ms: int,
    *,
    active: int,
    max_active: int,
    starts_ms: Sequence[int],
    limits: StartLimits,
    last_ms: int = 0,
    cooldown: float = 0.0,
) -> str:
    """Why a start must wait, and until when; an empty text if it need not.

    Parameters
    ----------
    now_ms : int
        The moment, in milliseconds since the epoch.
    active, max_active : int
        Runs that are active, and how many may be.
    starts_ms : sequence of int
        Times of the last starts by triggers.
    limits : StartLimits
        Of all triggers together.
    last_ms : int
        Last start by this trigger, 0 for none.
    cooldown : float
        Seconds between two starts by this trigger.
    """
    if active >= max_active:
        runs = "a run is active" if active == 1 else f"{active} runs are active"
        return f"{runs}, and max_active is {max_active}"
    if limits.per_day:
        today = sorted(at for at in starts_ms if at > now_ms - _DAY_MS)
        if len(today) >= limits.per_day:
            until = today[-limits.per_day] + _DAY_MS
            return f"{len(today)} starts in 24 hours, and per_day is {limits.per_day}: {moment(until)}"
    pauses = [(max(starts_ms, default=0), limits.cooldown), (last_ms, cooldown)]
    until = max((at + int(seconds * 1000) for at, seconds in pauses if at and seconds), default=0)
    return f"cool-down until {moment(until)}" if until > now_ms else ""
