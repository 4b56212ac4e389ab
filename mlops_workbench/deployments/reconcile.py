"""Pure functions from the spec and the actual state of an endpoint to the next action, and to its description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlops_workbench.core.endpoints import Endpoint, EndpointSpec
from mlops_workbench.core.models import model_name
from mlops_workbench.serving.desired import Desired, Observed

#: Seconds before another start after one that failed: doubled by each in a row, up to the second number. A process
#: that served is started again at once.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
#: Time a process has to finish its requests when it is asked to end.
GRACE_SECONDS = 20.0

#: ``start`` a process, ``update`` its desired state, ``restart`` it (the change needs a new process), ``end`` it,
#: ``kill`` one that does not end, ``wait`` before another attempt, or nothing.
Action = Literal["start", "update", "restart", "end", "kill", "wait", "nothing"]


@dataclass(frozen=True)
class EndpointState:
    """The actual state of an endpoint.

    Attributes
    ----------
    desired, observed : Desired, Observed or None
        Its state files.
    alive : bool
        Whether a process runs, including one that has not reported yet.
    failures : int
        Starts in a row that failed: processes that ended before they served.
    ended : str
        How the last process ended, empty unless it has to be replaced.
    next_start : float
        Earliest time of the next attempt, on the clock of `now`.
    ending_since : float or None
        When its process was asked to end.
    """

    desired: Desired | None
    observed: Observed | None
    alive: bool
    failures: int = 0
    ended: str = ""
    next_start: float = 0.0
    ending_since: float | None = None


def decide(spec: EndpointSpec, actual: EndpointState, template: Desired, now: float) -> Action:
    """The next action for an endpoint.

    Parameters
    ----------
    spec : EndpointSpec
        The desired state.
    actual : EndpointState
        The actual state.
    template : Desired
        The desired state of a process started now, with its settings.
    now : float
        Seconds on a monotonic clock.
    """
    if not actual.alive:
        if not spec.wanted:
            return "nothing"
        changed = actual.desired is None or actual.desired.generation != spec.generation
        # A changed spec is tried at once; only a repeated attempt has to wait.
        return "start" if changed or now >= actual.next_start else "wait"
    if actual.ending_since is not None:
        return "kill" if now - actual.ending_since > GRACE_SECONDS else "nothing"
    if not spec.wanted:
        return "end"
    if actual.observed is not None and actual.observed.process_key != template.process_key:
        return "restart"
    if actual.desired is None or not _is_current(actual.desired, spec) or actual.desired.settings != template.settings:
        return "update"
    return "nothing"


def pause_after(failures: int) -> float:
    """Seconds to wait before the next attempt after so many failures in a row."""
    return min(FIRST_PAUSE * 2.0 ** min(max(failures - 1, 0), 32), LONGEST_PAUSE)


def describe(spec: EndpointSpec, actual: EndpointState, problem: str) -> Endpoint:
    """The endpoint as it is shown to users; `problem` is the supervisor's last failure, empty for none."""
    observed = actual.observed if actual.alive else None
    last = actual.observed
    current = observed is not None and observed.generation >= spec.generation
    message = problem or (last.error if last is not None and last.generation >= spec.generation else "")
    version = observed.version if observed else 0
    if not spec.wanted:
        state = "updating" if actual.alive else "stopped"
        message = message or ("stopping" if actual.alive else "")
    elif message:
        state = "failed"
    elif observed is None or (observed.state == "starting" and not version):
        state = "starting"
        message = actual.ended
    elif current and version == spec.version and _is_deployed(observed, actual.desired):
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
        p95_ms=observed.p95_ms if observed else None,
        p99_ms=observed.p99_ms if observed else None,
        rate=observed.rate if observed else None,
        runtime=observed.runtime if observed else "",
        uncompiled=observed.uncompiled if observed else "",
        workers=len(observed.workers) if observed else 0,
        message=message,
        digest=observed.digest if observed else "",
    )


def _is_current(desired: Desired, spec: EndpointSpec) -> bool:
    wanted = (True, spec.generation, model_name(spec.model), spec.version)
    return (desired.wanted, desired.generation, desired.model, desired.version) == wanted


def _is_deployed(observed: Observed | None, desired: Desired | None) -> bool:
    # The digest is empty in a file of version 0.1.
    return observed is not None and (desired is None or desired.digest in ("", observed.digest))
