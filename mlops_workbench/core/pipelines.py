"""Pipeline runs and their stages, as they are read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

StageState = Literal["pending", "running", "succeeded", "failed", "cancelled", "skipped"]
PipelineState = Literal["pending", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True)
class PipelineParam:
    """A parameter of a pipeline: name, type in plain words, default and help."""

    name: str
    type: str
    default: str | int | float | bool | None
    help: str = ""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline spec found in the workspace; `problem` says why it cannot run."""

    name: str
    path: str
    stages: list[str] = field(default_factory=list)
    params: list[PipelineParam] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class StageRun:
    """A stage of a pipeline run; times are 0 until known, `cells` counts executed code cells."""

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
        Also the name of its run folder.
    pipeline : str
        Name of the spec.
    state : str
        pending, running, succeeded, failed or cancelled.
    reason : str
        Why it was started: ``manual``, ``alert:<id>``, ...
    params : dict
        Values it runs with.
    run_uid : str
        Its run in the tracking store; stages are children.
    published : str
        ``name/version`` when it registered a model.
    message : str
        Error, or what the gate said.
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
