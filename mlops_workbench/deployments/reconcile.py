"""What to do about an endpoint: its spec and what is seen of it, to one action. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlops_workbench.core.endpoints import Endpoint, EndpointSpec
from mlops_workbench.serving.desired import Desired, Observed

#: Seconds before a process that died is started again: doubles with every death in a row, up to the last.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
#: A process that lived this long had no trouble starting: its death is not counted with earlier ones.
STEADY_SECONDS = 60.0
#: Time a process has to finish its requests when it is told to end.
GRACE_SECONDS = 20.0

#: ``start`` a process, ``tell`` it what is wanted now, ``restart`` it (what changed needs a new process), ``end`` it,
#: ``kill`` one that does not end, ``rest`` before another attempt, or nothing.
Action = Literal["start", "tell", "restart", "end", "kill", "rest", "nothing"]


@dataclass(frozen=True)
class Seen:
    """What is seen of an endpoint.

    Attributes
    ----------
    desired : Desired or None
        What its process was last told.
    observed : Observed or None
        What its process last reported.
    alive : bool
        Whether a process runs: the one that reported, or one that was started and has not reported yet.
    deaths : int
        Processes that died in a row.
    next_start : float
        When the next attempt may be made, in the seconds of `now`.
    ending_since : float or None
        When it was told to end.
    """

    desired: Desired | None
    observed: Observed | None
    alive: bool
    deaths: int = 0
    next_start: float = 0.0
    ending_since: float | None = None


def decide(spec: EndpointSpec, seen: Seen, process_key: str, now: float) -> Action:
    """The one thing to do now for an endpoint.

    Parameters
    ----------
    spec : EndpointSpec
        What is wanted.
    seen : Seen
        What is.
    process_key : str
        `Desired.process_key` that a process started now would have.
    now : float
        Seconds on a monotonic clock.
    """
    if not seen.alive:
        if not spec.wanted:
            return "nothing"
        told_anew = seen.desired is None or seen.desired.generation != spec.generation
        # A new wish is tried at once; only the same attempt again has to wait.
        return "start" if told_anew or now >= seen.next_start else "rest"
    if seen.ending_since is not None:
        return "kill" if now - seen.ending_since > GRACE_SECONDS else "nothing"
    if not spec.wanted:
        return "end"
    if seen.observed is not None and seen.observed.process_key != process_key:
        return "restart"
    if seen.desired is None or not _says(seen.desired, spec):
        return "tell"
    return "nothing"


def pause_after(deaths: int) -> float:
    """Seconds to wait before the next attempt after so many deaths in a row."""
    return min(FIRST_PAUSE * 2.0 ** min(max(deaths - 1, 0), 32), LONGEST_PAUSE)


def describe(spec: EndpointSpec, seen: Seen, problem: str) -> Endpoint:
    """The endpoint as users see it.

    Parameters
    ----------
    spec : EndpointSpec
        What is wanted.
    seen : Seen
        What is.
    problem : str
        What the supervisor itself could not do for it, empty when nothing.
    """
    observed = seen.observed if seen.alive else None
    last = seen.observed
    current = observed is not None and observed.generation >= spec.generation
    message = problem or (last.error if last is not None and last.generation >= spec.generation else "")
    version = observed.version if observed else 0
    if not spec.wanted:
        state = "updating" if seen.alive else "stopped"
        message = message or ("it is being stopped" if seen.alive else "")
    elif message:
        state = "failed"
    elif observed is None or (observed.state == "starting" and not version):
        state = "starting"
        if not seen.alive and seen.deaths:
            message = f"its process died {seen.deaths} times in a row; it is started again"
    elif current and version == spec.version:
        state = "ready"
    else:
        state = "updating"
        message = f"loading version {spec.version}"
    return Endpoint(
        name=spec.name,
        model=spec.model,
        version=version,
        wanted_version=spec.version,
        previous=spec.previous,
        state=state,  # type: ignore[arg-type]
        url=observed.url if observed else "",
        pid=observed.process.pid if observed else 0,
        since_ms=observed.since_ms if observed else 0,
        requests=observed.requests if observed else 0,
        rows=observed.rows if observed else 0,
        errors=observed.errors if observed else 0,
        p50_ms=observed.p50_ms if observed else None,
        p99_ms=observed.p99_ms if observed else None,
        message=message,
    )


def _says(desired: Desired, spec: EndpointSpec) -> bool:
    return (desired.wanted, desired.generation, desired.version) == (True, spec.generation, spec.version)
