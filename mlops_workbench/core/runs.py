"""Runs as they are read back: from the index, over REST, in the panel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes
    ----------
    uid : str
        The workbench's own id, given by the process that ran, known before MLflow has heard of the run.
    run_id : str
        MLflow's id; empty until the run was delivered.
    experiment, name, kind : str
        Kind is ``run``, ``pipeline`` or ``stage``.
    status : str
        RUNNING, FINISHED, FAILED or KILLED.
    start_ms, end_ms : int
        Milliseconds since the epoch; `end_ms` is 0 while it runs.
    parent_uid : str
        The run this one belongs to, empty for none.
    notebook : str
        Notebook it came from.
    params : dict
        Parameters as text.
    metrics : dict
        Last value of each metric; NaN and infinities are None.
    tags : dict
        Tags as text.
    error : str
        Last line of the traceback of a failed run.
    origin : str
        Empty for a run of the journals here, ``mlflow`` for one that was read from MLflow: of plain MLflow code, or
        of another machine.
    user : str
        Who ran it.
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
    metrics: dict[str, float | None] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    error: str = ""
    origin: str = ""
    user: str = ""

    @property
    def seconds(self) -> float | None:
        """Duration, None while it runs."""
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
    """A model that a run logged."""

    name: str
    estimator: str
    format: str
    model_id: str  # MLflow's LoggedModel id, empty until delivered


@dataclass(frozen=True)
class RunDataset:
    """Data that went into a run."""

    name: str
    context: str
    digest: str
    rows: int
    columns: int
    covers: str = "content"  # what the digest was made of: content | sampled | shape
    snapshot: str = ""  # blob digest of the data as Parquet, empty when none was kept
    schema: str = ""  # blob digest of its pandera schema, empty when none was inferred
    first_ms: int = 0  # when the first run began that used this version


@dataclass(frozen=True)
class RunCell:
    """An execution of a cell that a run rests on."""

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
    """A metric at a step; the value is None for NaN and infinities."""

    step: int
    at_ms: int
    value: float | None


@dataclass(frozen=True)
class RunDetail:
    """A run with everything that a page about it shows."""

    run: Run
    source: str = ""
    output: str = ""
    traceback: str = ""
    artifacts: list[RunArtifact] = field(default_factory=list)
    models: list[RunModel] = field(default_factory=list)
    datasets: list[RunDataset] = field(default_factory=list)
    history: dict[str, list[MetricPoint]] = field(default_factory=dict)
    cells: list[RunCell] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # why the notebook on disk does not repeat this run
    children: list[Run] = field(default_factory=list)
    points: dict[str, int] = field(default_factory=dict)  # of each metric; `history` has fewer when these are many
    defaults: list[str] = field(default_factory=list)  # names of parameters that have their class's default


@dataclass(frozen=True)
class Experiment:
    """An experiment and how many runs it has."""

    name: str
    runs: int
    last_ms: int
