"""Endpoints: desired and observed state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EndpointState = Literal["starting", "ready", "updating", "failed", "stopped"]


@dataclass(frozen=True)
class EndpointSpec:
    """Desired state of an endpoint, which is stored and reconciled.

    Attributes
    ----------
    name : str
        Endpoint name, also the model name in ``/v2/models/<name>``.
    model : str
        Model reference given by the user: ``flight-delays@champion`` follows the alias,
        ``flight-delays/3`` is a fixed version.
    version : int
        Version that the reference resolves to now.
    previous : int
        Version served before, 0 for none.
    port : int
        Port; 0: any free port, which the endpoint then keeps.
    wanted : bool
        Whether the endpoint shall run.
    generation : int
        Number of the last change of the spec; an endpoint reports the generation it serves.
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
    """Observed state of an endpoint.

    Attributes
    ----------
    name, model, version, previous
        As in :class:`EndpointSpec`; `version` is the version that answers requests.
    digest : str
        Identity of the version that answers: SHA-256 over its files, in hexadecimal.
    wanted_version : int
        Version that the endpoint switches to; equal to `version` when it does not switch.
    state : str
        starting, ready, updating, failed or stopped.
    url : str
        Base URL, empty when the endpoint does not run.
    pid : int
        Process id, 0 for none.
    since_ms : int
        Time since which `version` serves, in milliseconds since the epoch.
    requests, rows, errors : int
        Number of requests, rows and failed requests since the process started.
    p50_ms, p95_ms, p99_ms : float or None
        Median, 95th and 99th percentile of the latency of recent requests, in milliseconds.
    rate : float or None
        Requests a second in the last ten seconds.
    runtime, uncompiled : str
        What answers: the library or its compiled form; why it is not compiled, empty if it is.
    workers : int
        Processes that answer requests.
    message : str
        Reason of a failure, or what the endpoint waits for.
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
    digest: str = ""
    p95_ms: float | None = None
    rate: float | None = None
    runtime: str = ""
    uncompiled: str = ""
    workers: int = 0
