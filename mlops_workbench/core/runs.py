"""Runs and their parts, as read from the index and over REST."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mlops_workbench.core.wire.json_numbers import JsonNumber

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes
    ----------
    uid : str
        Id given by the process of the run, independent of MLflow.
    run_id : str
        MLflow's id; empty until the run is delivered to MLflow.
    experiment, name, kind : str
        Name of the experiment and of the run; the kind is ``run``, ``notebook``, ``pipeline`` or ``stage``.
    status : str
        RUNNING, FINISHED, FAILED or KILLED.
    start_ms, end_ms : int
        Milliseconds since the epoch; `end_ms` is 0 while it runs.
    parent_uid : str
        Uid of the parent run, empty for none.
    notebook : str
        Path of the notebook, empty when unknown.
    params : dict
        Parameters as text.
    metrics : dict
        Last value of each metric; see :data:`JsonNumber` for NaN, infinities and huge integers.
    tags : dict
        Tags as text.
    error : str
        Last line of the traceback of a failed run.
    origin : str
        Empty for a run from the journals of this workspace, ``mlflow`` for a run read from MLflow (logged by plain
        MLflow code or on another machine).
    user : str
        Name of the user who ran it.
    """

    uid: str
    run_id: str
    experiment: str
    name: str
    kind: str
    status: RunStatus
    start_ms: int
    end_ms: int = 0
    parent_uid: str = ""
    notebook: str = ""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, JsonNumber | None] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    error: str = ""
    origin: str = ""
    user: str = ""

    @property
    def seconds(self) -> float | None:
        """Duration in seconds, None while the run is active."""
        return (self.end_ms - self.start_ms) / 1000 if self.end_ms else None


@dataclass(frozen=True)
class RunArtifact:
    """A file of a run: path under the run, size in bytes, media type, kind and blob digest."""

    path: str
    size: int
    media_type: str
    kind: str
    digest: str


@dataclass(frozen=True)
class RunModel:
    """A model logged by a run."""

    name: str
    estimator: str
    format: str
    model_id: str  # MLflow's LoggedModel id, empty until delivered


@dataclass(frozen=True)
class RunDataset:
    """A data set used by a run."""

    name: str
    context: str
    digest: str
    rows: int
    columns: int
    covers: str = "content"  # input of the digest: content | sampled | shape
    snapshot: str = ""  # blob digest of the data as Parquet, empty for none
    schema: str = ""  # blob digest of its pandera schema, empty for none
    first_ms: int = 0  # start of the first run with this version, milliseconds since the epoch


@dataclass(frozen=True)
class RunCell:
    """An execution of a cell that a run depends on; `started_ms` is milliseconds since the epoch."""

    uid: str
    count: int
    cell_id: str
    source: str
    status: str  # ok | failed | interrupted
    started_ms: int
    seconds: float
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class MetricPoint:
    """Value of a metric at a step; `at_ms` is milliseconds since the epoch."""

    step: int
    at_ms: int
    value: JsonNumber | None


@dataclass(frozen=True)
class RunDetail:
    """A run with all its parts, for its page."""

    run: Run
    source: str = ""
    output: str = ""
    traceback: str = ""
    artifacts: list[RunArtifact] = field(default_factory=list)
    models: list[RunModel] = field(default_factory=list)
    datasets: list[RunDataset] = field(default_factory=list)
    history: dict[str, list[MetricPoint]] = field(default_factory=dict)
    cells: list[RunCell] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # reasons why the notebook on disk may not repeat this run
    children: list[Run] = field(default_factory=list)
    points: dict[str, int] = field(default_factory=dict)  # points by metric; `history` may have fewer
    defaults: list[str] = field(default_factory=list)  # names of parameters with the default of their class


@dataclass(frozen=True)
class Experiment:
    """An experiment: number of runs, start of the last one in milliseconds since the epoch."""

    name: str
    runs: int
    last_ms: int
