"""Which model of a run is published, and the gates that it must pass; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_workbench.core.errors import Conflict
from mlops_workbench.pipelines.runs.requests import PublishTarget, RunRequest, StageRequest


@dataclass(frozen=True)
class MeasuredGate:
    """A gate, and the runs whose metrics must pass it.

    Attributes
    ----------
    conditions : list of str
        Conditions such as ``mae < baseline.mae``.
    run_uids : list of str
        Runs with its metrics; those of a later one go first.
    stage : str
        The stage whose gate it is; empty for the gate of the publication.
    metrics : list of str
        Metrics to show first.
    """

    conditions: list[str]
    run_uids: list[str]
    stage: str = ""
    metrics: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PublishRequest:
    """How to publish the model of a run whose stages have succeeded.

    Attributes
    ----------
    run_uid : str
        Run that logged the model.
    name : str
        Registered model.
    model : str
        Name of the stage's output that is the model; empty for the last model of the run.
    alias : str
        Alias to set when the gates pass, empty for none.
    serve : bool
        Whether an endpoint of the model's name is deployed if there is none.
    gates : list of MeasuredGate
        All must pass.
    metrics_run_uids : list of str
        Runs whose metrics are kept with the version; those of a later one go first.
    """

    run_uid: str
    name: str
    model: str
    alias: str
    serve: bool
    gates: list[MeasuredGate]
    metrics_run_uids: list[str]


def publication(
    request: RunRequest,
    target: PublishTarget,
    run_uids: Mapping[str, str],
    chosen: Mapping[str, Mapping[str, str]],
) -> PublishRequest:
    """How a run's model is published.

    Parameters
    ----------
    request : RunRequest
        The run.
    target : PublishTarget
        What it publishes.
    run_uids : mapping
        For each stage and instance its run.
    chosen : mapping
        For each stage its inputs with a choice, to the instance that was chosen.

    Raises
    ------
    Conflict
        The model cannot be told: it is of a stage with several instances.
    """
    stages = {stage.name: stage for stage in request.stages}
    owner = _only(request, target.stage)
    producer, model = _producer(request, owner, target.model, chosen)
    logged, measured = run_uids[producer.name], run_uids[owner.name]
    gates = [
        MeasuredGate(list(stage.gate), [run_uids[stage.name]], stage.name, list(stage.metrics))
        for stage in request.stages
        if stage.gate
    ]
    if target.gate:
        of = stages.get(target.metrics_from, owner)
        gates.append(MeasuredGate(list(target.gate), [logged, run_uids[of.name]], metrics=list(of.metrics)))
        measured = run_uids[of.name]
    # A stage with a matrix measures other models too.
    others = [run_uids[stage.name] for stage in request.stages if stage.gate and not stage.matrix]
    return PublishRequest(
        run_uid=logged,
        name=target.name,
        model=model,
        alias=target.alias,
        serve=target.serve,
        gates=gates,
        metrics_run_uids=list(dict.fromkeys([uid for uid in others if uid != measured] + [measured])),
    )


def _only(request: RunRequest, name: str) -> StageRequest:
    """The instance of a name, or the only instance of a stage."""
    found = [stage for stage in request.stages if name in (stage.name, stage.stage)]
    if len(found) != 1:
        raise Conflict(
            f"stage '{name}' has {len(found)} instances, so its model is not unique",
            hint="publish a stage that chooses one of them: '[max METRIC]' after its input",
        )
    return found[0]


def _producer(
    request: RunRequest, stage: StageRequest, name: str, chosen: Mapping[str, Mapping[str, str]]
) -> tuple[StageRequest, str]:
    """The stage that made what is the input or output `name` of a stage, and the name of its output."""
    entry = stage.inputs.get(name)
    if name in stage.outputs or entry is None or entry.kind != "stage":
        return stage, name
    source, _, output = entry.source.rpartition(".")
    return _producer(request, _only(request, chosen.get(stage.name, {}).get(name, source)), output, chosen)
