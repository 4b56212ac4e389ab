"""What changed: events carry names, never values; REST tells the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Topic = Literal["runs", "models", "endpoints", "pipelines", "monitors", "alerts", "status"]


@dataclass(frozen=True)
class Event:
    """Something of a topic changed; `revision` grows by one with every event of a control plane."""

    topic: Topic
    id: str
    revision: int


@dataclass(frozen=True)
class ProcessStatus:
    """A process of the workspace: role, id, URL (empty when it has none), state in plain words."""

    role: str
    pid: int
    url: str
    state: str


@dataclass(frozen=True)
class IngestStatus:
    """Delivery of journals to the tracking store.

    `backlog_bytes` and `backlog_records` wait to be delivered, `lag_seconds` is the age of the oldest of them,
    `tracking` is the MLflow URI without credentials, `problem` says why delivery stands still, `refused` is the number
    of values that MLflow did not take (the journal keeps them).
    """

    tracking: str
    files: int
    backlog_bytes: int
    lag_seconds: float
    problem: str = ""
    backlog_records: int = 0
    refused: int = 0


@dataclass(frozen=True)
class WorkspaceStatus:
    """The workspace at a glance."""

    version: str
    root: str
    started_ms: int
    ingest: IngestStatus
    processes: list[ProcessStatus]
    runs: int
    models: int
    endpoints: int
    open_alerts: int
