"""Pipelines, their runs and stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Scalar = str | int | float | bool | None

#: ``refused``: it succeeded, but its gate failed.
StageState = Literal["pending", "running", "succeeded", "failed", "cancelled", "skipped", "refused"]
#: ``not_published``: finished, but the gate of a stage failed, so that nothing was published.
PipelineState = Literal["pending", "running", "succeeded", "failed", "cancelled", "not_published"]
RunKind = Literal["pipeline", "notebook", "sweep"]


@dataclass(frozen=True)
class PipelineParam:
    """A parameter of a pipeline: name, type as text, default and help."""

    name: str
    type: str
    default: Scalar
    help: str = ""


@dataclass(frozen=True)
class PipelineStage:
    """A stage of a pipeline.

    Attributes
    ----------
    needs : list of str
        Stages whose outputs it needs.
    instances : int
        How often it runs: more than once with a matrix.
    gate : list of str
        Conditions on its metrics.
    """

    name: str
    notebook: str
    needs: list[str] = field(default_factory=list)
    instances: int = 1
    gate: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline spec of the workspace; `problem` is the reason why it cannot run, empty for none.

    `graph` has its stages so that each comes after those it needs; it is empty when the spec cannot be read.
    """

    name: str
    path: str
    stages: list[str] = field(default_factory=list)
    params: list[PipelineParam] = field(default_factory=list)
    problem: str = ""
    graph: list[PipelineStage] = field(default_factory=list)
    version: int = 2


@dataclass(frozen=True)
class StageRun:
    """A stage of a pipeline run.

    Times are milliseconds since the epoch, 0 until known; `cells` is the number of executed code cells.

    Attributes
    ----------
    cached : bool
        Whether its result was taken from the cache; then `run_uid` is the run that made it.
    cached_from : str
        The pipeline run that made it.
    notes : list of str
        What to declare so that its result can be reused safely.
    """

    name: str
    notebook: str
    state: StageState
    run_uid: str = ""
    start_ms: int = 0
    end_ms: int = 0
    cells: int = 0
    cells_total: int = 0
    message: str = ""
    cached: bool = False
    cached_from: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PipelineRun:
    """One run of a pipeline.

    Attributes
    ----------
    id : str
        Id, also the name of the run folder.
    pipeline : str
        Name of the spec, or path of the notebook relative to the workspace.
    state : str
        See `PipelineState`.
    reason : str
        What started it: ``manual``, ``alert:<id>``, ...
    params : dict
        Values of the parameters.
    run_uid : str
        Id of its run in the tracking store; the runs of the stages are its children. Of a notebook, its only run.
    published : str
        ``name/version`` of the registered model, empty for none.
    start_ms, end_ms : int
        Milliseconds since the epoch; `end_ms` is 0 while it runs.
    message : str
        Error, or result of the gate.
    kind : str
        ``pipeline``; ``notebook`` for the run of a single notebook, whose only stage is that notebook; ``sweep`` for
        a sweep, which has no stages: see `Sweep`.
    """

    id: str
    pipeline: str
    state: PipelineState
    reason: str
    params: dict[str, Scalar]
    run_uid: str
    start_ms: int
    end_ms: int = 0
    stages: list[StageRun] = field(default_factory=list)
    published: str = ""
    message: str = ""
    kind: RunKind = "pipeline"

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.state in ("pending", "running")


@dataclass(frozen=True)
class StageProgress:
    """What a display of a run shows of a stage beside its `StageRun`.

    Attributes
    ----------
    usual_ms : int or None
        Median of its last durations in milliseconds; None if it has not succeeded before.
    output : list of str
        Last lines that the cells of a running stage printed, oldest first.
    """

    name: str
    usual_ms: int | None = None
    output: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    Attributes
    ----------
    at_ms : int
        Time of this state on the clock of the control plane, in milliseconds since the epoch.
    stages : list of StageProgress
        In the order of the run's stages.
    remaining_ms : int or None
        Estimate of the time to its end from earlier runs; None without one.
    """

    run: PipelineRun
    at_ms: int
    stages: list[StageProgress] = field(default_factory=list)
    remaining_ms: int | None = None


@dataclass(frozen=True)
class StageResult:
    """What the last attempt at a stage has left.

    Attributes
    ----------
    stage : str
        Name of the stage, or of its instance.
    attempt : int
        Number of the attempt, from 1.
    notebook : str
        Absolute path of the executed notebook, empty if there is none.
    cell : int
        Number of the cell that failed, counted from 1 in the user's notebook; 0 if none did.
    line, source : int, str
        Number and text of the line of that cell that failed; 0 and empty if unknown.
    traceback : str
        Why it failed, as the kernel said.
    """

    stage: str
    attempt: int
    notebook: str = ""
    cell: int = 0
    line: int = 0
    source: str = ""
    traceback: str = ""


@dataclass(frozen=True)
class PlannedStage:
    """A stage, or an instance of one, that a run would execute.

    Attributes
    ----------
    needs : list of str
        Stages and instances that must have succeeded before.
    params : dict
        Values of its parameters.
    secrets : dict
        Parameters to the environment variables that hold their values.
    inputs, outputs : dict
        By name where it is read from, as in the spec, and its path in the folder of the stage's outputs.
    cached : bool
        Whether its result would be taken from the cache.
    cached_from : str
        The pipeline run that made that result.
    reasons : list of str
        Why it would run: what has changed, one line each.
    """

    name: str
    notebook: str
    needs: list[str] = field(default_factory=list)
    params: dict[str, Scalar] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    cached: bool = False
    cached_from: str = ""
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PlannedRun:
    """What a run of a pipeline would do: its parameters, and its stages in order."""

    pipeline: str
    params: dict[str, Scalar] = field(default_factory=dict)
    stages: list[PlannedStage] = field(default_factory=list)
