"""Events and status of a workspace. Events carry names only; values are read over REST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Topic = Literal["runs", "models", "endpoints", "pipelines", "monitors", "alerts", "status"]


@dataclass(frozen=True)
class Event:
    """A change of an object of a topic; `revision` is the number of the event in its control plane."""

    topic: Topic
    id: str
    revision: int


@dataclass(frozen=True)
class ProcessStatus:
    """A process of the workspace: role, id, URL (empty for none), state as text."""

    role: str
    pid: int
    url: str
    state: str


@dataclass(frozen=True)
class IngestStatus:
    """Delivery of journals to the tracking store.

    `backlog_bytes` and `backlog_records` are not delivered yet, `lag_seconds` is the age of the oldest of them.
    `tracking` is the MLflow URI without credentials, `problem` the reason why delivery is interrupted, `refused` the
    number of values that MLflow rejected (the journal keeps them). While `catching_up`, lists of runs lack some that
    were just written.
    """

    tracking: str
    files: int
    backlog_bytes: int
    lag_seconds: float
    problem: str = ""
    backlog_records: int = 0
    refused: int = 0
    catching_up: bool = False


@dataclass(frozen=True)
class WorkspaceStatus:
    """Summary of the workspace: version, root folder, processes, and numbers of objects."""

    version: str
    root: str
    started_ms: int
    ingest: IngestStatus
    processes: list[ProcessStatus]
    runs: int
    models: int
    endpoints: int
    open_alerts: int
