"""Pipelines, their runs and stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: ``refused``: it succeeded, but its gate failed.
StageState = Literal["pending", "running", "succeeded", "failed", "cancelled", "skipped", "refused"]
#: ``not_published``: finished, but the gate of a stage failed, so that nothing was published.
PipelineState = Literal["pending", "running", "succeeded", "failed", "cancelled", "not_published"]


@dataclass(frozen=True)
class PipelineParam:
    """A parameter of a pipeline: name, type as text, default and help."""

    name: str
    type: str
    default: str | int | float | bool | None
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
        Id of its run in the tracking store; the runs of the stages are its children.
    published : str
        ``name/version`` of the registered model, empty for none.
    start_ms, end_ms : int
        Milliseconds since the epoch; `end_ms` is 0 while it runs.
    message : str
        Error, or result of the gate.
    """

    id: str
    pipeline: str
    state: PipelineState
    reason: str
    params: dict[str, str | int | float | bool | None]
    run_uid: str
    start_ms: int
    end_ms: int = 0
    stages: list[StageRun] = field(default_factory=list)
    published: str = ""
    message: str = ""
    kind: Literal["pipeline", "notebook"] = "pipeline"
