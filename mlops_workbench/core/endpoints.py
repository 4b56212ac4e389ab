"""Endpoints: what is wanted of them and what they are doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EndpointState = Literal["starting", "ready", "updating", "failed", "stopped"]


@dataclass(frozen=True)
class EndpointSpec:
    """What is wanted: the part that is stored and reconciled.

    Attributes
    ----------
    name : str
        Endpoint name, also the model name in ``/v2/models/<name>``.
    model : str
        Reference as the user gave it: ``flight-delays@champion`` follows the alias, ``flight-delays/3``
        is fixed.
    version : int
        Version that the reference stands for now.
    previous : int
        Version it served before, 0 for none.
    port : int
        Port, 0 for any free one; once an endpoint has a port it keeps it.
    wanted : bool
        False when it is to be stopped.
    generation : int
        Counts changes of the spec; an endpoint reports the one it serves.
    """

    name: str
    model: str
    version: int
    previous: int = 0
    port: int = 0
    wanted: bool = True
    generation: int = 1


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as it is.

    Attributes
    ----------
    name, model, version, previous
        As in :class:`EndpointSpec`; `version` is the one that answers requests.
    wanted_version : int
        The version it is moving to; equal to `version` when nothing changes.
    state : str
        starting, ready, updating, failed or stopped.
    url : str
        Base URL, empty when it is not running.
    pid : int
        Its process, 0 for none.
    since_ms : int
        When the present version began to answer.
    requests, rows, errors : int
        Counted since its process started.
    p50_ms, p99_ms : float or None
        Latency of recent requests in milliseconds.
    message : str
        Why it failed, or what it waits for.
    """

    name: str
    model: str
    version: int
    wanted_version: int
    previous: int
    state: EndpointState
    url: str
    pid: int
    since_ms: int
    requests: int = 0
    rows: int = 0
    errors: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    message: str = ""
