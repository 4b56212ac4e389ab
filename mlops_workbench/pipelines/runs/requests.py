"""What a pipeline run does, with everything resolved: later edits of spec and notebooks have no effect on it."""

from __future__ import annotations

from typing import Literal

import msgspec

from mlops_workbench.core.pipelines import RunKind, Scalar
from mlops_workbench.core.wire.json_numbers import JsonNumber
from mlops_workbench.pipelines.definition.nouns import CacheSpec, InputKind, OutputType, ResourceSpec, RetrySpec

#: Whether a stage is taken from the cache.
Reuse = Literal["unchanged", "never", "always"]


class PublishTarget(msgspec.Struct, frozen=True):
    """How the model of a run is published: see `PublishSpec`."""

    stage: str
    metrics_from: str
    name: str
    alias: str
    gate: list[str]
    model: str = ""
    serve: bool = False


class InputRequest(msgspec.Struct, frozen=True):
    """An input of a stage.

    Attributes
    ----------
    kind : str
        See `InputSpec`.
    source : str
        As in the spec: ``data/*.csv``, ``prepare.train``, ``flights@3``; the text of a query.
    files : list of str
        Absolute paths, or URLs, that the input had when the run was requested; of a data set or a query the one path
        to which the stage's process writes it.
    choose : str
        ``max METRIC`` or ``min METRIC``: the runner chooses one of `candidates`.
    candidates : dict
        For each instance of a matrix the path, and the source code that assigns the value for the notebook.
    connection : str
        Of a query.
    """

    kind: InputKind
    source: str
    files: list[str] = []
    choose: str = ""
    candidates: dict[str, tuple[str, str]] = {}
    connection: str = ""


class OutputRequest(msgspec.Struct, frozen=True):
    """An output of a stage: its absolute path, and the type that ``save`` writes."""

    path: str
    type: OutputType = "file"


class StageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A stage, or an instance of a stage with a matrix, to run.

    Attributes
    ----------
    name : str
        Name of the instance: ``train``, or ``train@lr=0.1``.
    stage : str
        Name of the stage in the spec.
    matrix : dict
        Its values of the matrix.
    notebook : str
        Path in the spec.
    source : str
        Absolute path of the user's notebook.
    kernel : str
        Name of its kernel.
    needs : list of str
        Instances that must have succeeded before.
    injected : int
        Index of the injected cell in the copy that runs.
    cells : int
        Number of code cells of that copy.
    params : dict
        Parameters and constants, as scalars; without secrets.
    secrets : dict
        Parameters to the environment variables that hold their values.
    metrics : list of str
        Metrics that its run must have.
    timeout : float or None
        Seconds for an attempt.
    gate : list of str
        Conditions on its metrics.
    reuse : str
        ``unchanged``: a kept result is taken if nothing that it depends on has changed, and `cache` allows it;
        ``never``: it runs; ``always``: the newest result is taken in any case, and it does not run.
    """

    name: str
    stage: str
    notebook: str
    source: str
    kernel: str = "python3"
    needs: list[str] = []
    injected: int = 0
    cells: int = 0
    matrix: dict[str, Scalar] = {}
    params: dict[str, Scalar] = {}
    secrets: dict[str, str] = {}
    inputs: dict[str, InputRequest] = {}
    outputs: dict[str, OutputRequest] = {}
    metrics: list[str] = []
    timeout: float | None = None
    retries: RetrySpec = RetrySpec()
    resources: ResourceSpec = ResourceSpec()
    cache: CacheSpec = CacheSpec()
    gate: list[str] = []
    reuse: Reuse = "unchanged"

    def cell_number(self, index: int) -> int:
        """Number of a cell from 1 as in the user's notebook, which has no injected cell."""
        return index + (0 if index > self.injected else 1)


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it was checked and requested.

    Attributes
    ----------
    kind : str
        ``pipeline``: the runs of the stages are children of the pipeline's; ``notebook``: the run of the only stage;
        ``sweep``: it has no stages, its trials are runs of their own.
    pipeline : str
        Name of the pipeline, or path of the notebook relative to the workspace.
    name : str
        Name of the run in the tracking store; by default the pipeline's, or the stage's for a notebook.
    spec : str
        Path of the spec, empty for a notebook.
    workers : int
        Most stages at a time; 0 for no limit.
    champion : dict or None
        Metrics of the present champion of the model to publish, for the gates of stages; None without one.
    output : str
        Of a notebook: absolute path to which the executed notebook is copied at the end; empty for none.
    """

    id: str
    pipeline: str
    name: str = ""
    spec: str = ""
    kind: RunKind = "pipeline"
    reason: str = "manual"
    workspace: str
    experiment: str
    created_ms: int
    workers: int = 1
    params: dict[str, Scalar] = {}
    stages: list[StageRequest] = []
    publish: PublishTarget | None = None
    champion: dict[str, JsonNumber | None] | None = None
    output: str = ""


class StageJob(msgspec.Struct, frozen=True):
    """Input of the process of one attempt at a stage.

    Attributes
    ----------
    copy, executed, events : str
        Paths of the prepared notebook, the notebook with outputs, and the log of the attempt.
    runner_pid, runner_started : int, float
        The runner, whose end ends the attempt: see `core.processes.ProcessIdentity`.
    kept : str
        Path to which it writes what the cache needs of a stage that succeeded (`Kept`); empty for nothing.
    """

    stage: StageRequest
    copy: str
    executed: str
    events: str
    runner_pid: int
    runner_started: float
    kept: str = ""
