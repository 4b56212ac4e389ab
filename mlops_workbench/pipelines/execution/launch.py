"""Writes a planned run to its folder, and starts its runner process."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import InvalidInput, SpecError, StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity, inherited_environment
from mlops_workbench.core.wire.json_numbers import JsonNumber
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.document import (
    INJECTED_TAG,
    code_cells,
    kernel_name,
    read_notebook,
    tagged_cell,
    write_notebook,
)
from mlops_workbench.notebooks.parameters.inject import inject, injected_source
from mlops_workbench.notebooks.parameters.shown import shown
from mlops_workbench.pipelines.execution.selection import WHOLE, Selection, selected
from mlops_workbench.pipelines.executors.local import local_capacity
from mlops_workbench.pipelines.executors.resources import excess
from mlops_workbench.pipelines.kernels.modules import prepare_module, start_module
from mlops_workbench.pipelines.plan.nouns import InputPlan, Plan, StagePlan
from mlops_workbench.pipelines.runs.events import Launched, append_event
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.requests import (
    InputRequest,
    OutputRequest,
    PublishTarget,
    RunRequest,
    StageRequest,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Variables of the process that started a run, which the run must not inherit.
_OF_A_RUN = ("MLOPS_RUN_UID", "MLOPS_EXPERIMENT", "MLOPS_STAGE", "MLOPS_READS", "MLOPS_SECRET_NAMES")


def check_capacity(workspace: Workspace, plan: Plan) -> None:
    """Check that each stage alone can have the resources that it asks for.

    Raises
    ------
    SpecError
        A stage asks for more than there is.
    """
    capacity = local_capacity(workspace.settings.pipelines)
    for stage in plan.stages:
        if found := excess(stage.spec.resources, capacity):
            raise SpecError(
                f"stage '{stage.name}' asks for more than its runs may take: {found}",
                where=plan.spec.where(stage.spec.at("resources")),
                hint="lower its 'resources', or raise 'cpu', 'memory_gb' or 'gpu' in [pipelines] of workbench.toml",
            )


def write_run(
    workspace: Workspace,
    folder: RunFolder,
    plan: Plan,
    reason: str,
    champion: Mapping[str, JsonNumber | None] | None = None,
    selection: Selection = WHOLE,
    read: Callable[[Path], NotebookNode] = read_notebook,
) -> None:
    """Write a planned run to its folder; the request is written last, since it makes the run exist.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the run.
    folder : RunFolder
        Its folder, to which the outputs in the plan belong.
    plan : Plan
        The plan.
    reason : str
        What starts it.
    champion : mapping, optional
        Metrics of the present champion of the model to publish; None without one.
    selection : Selection, optional
        Which stages run.
    read : callable, optional
        Returns the notebook of a path, which is not changed.

    Raises
    ------
    SpecError
        A stage asks for more resources than there are.
    InvalidInput
        A value cannot be injected.
    StorageError
        The folder cannot be written.
    """
    check_capacity(workspace, plan)
    spec = plan.spec
    stages = selected(spec.name, [write_stage(folder, stage, read) for stage in plan.stages], selection)
    write_atomic(folder.spec, spec.path.read_bytes())
    publish = None if selection.only else spec.publish
    request = RunRequest(
        id=folder.path.name,
        pipeline=spec.name,
        spec=str(spec.path),
        reason=reason,
        workspace=str(workspace.root),
        experiment=spec.experiment,
        created_ms=now_ms(),
        workers=workspace.settings.pipelines.workers,
        params={name: shown(value) for name, value in plan.params.items()},
        stages=stages,
        publish=None
        if publish is None
        else PublishTarget(
            stage=publish.stage,
            metrics_from=publish.metrics_from,
            name=publish.name,
            alias=publish.alias,
            gate=list(publish.gate),
            model=publish.model,
            serve=publish.serve,
        ),
        champion=None if champion is None else dict(champion),
    )
    write_struct(folder.request, request)


def write_stage(
    folder: RunFolder, stage: StagePlan, read: Callable[[Path], NotebookNode] = read_notebook
) -> StageRequest:
    """Write the copy of the notebook that will run; later edits of the user's notebook have no effect on it.

    Raises
    ------
    InvalidInput
        A value cannot be injected.
    StorageError
        The folder cannot be written.
    """
    request, copy = prepare_stage(stage, read)
    write_notebook(copy, folder.copy(stage.name))
    return request


def prepare_stage(
    stage: StagePlan, read: Callable[[Path], NotebookNode] = read_notebook
) -> tuple[StageRequest, NotebookNode]:
    """Return the request of a stage, and the notebook that will run; raises InvalidInput."""
    source = read(stage.notebook)
    values = stage.values
    later = any(entry.candidates for entry in stage.inputs.values())
    try:
        copy = inject(source, values, stage.secrets) if values or stage.secrets or later else source
        inputs = {name: _input(name, entry) for name, entry in stage.inputs.items()}
    except InvalidInput as error:
        raise InvalidInput(f"stage '{stage.name}': {error.message}", hint=error.hint) from error
    added = len(copy.cells) > len(source.cells)
    injected = tagged_cell(copy, INJECTED_TAG) if added else None
    request = StageRequest(
        name=stage.name,
        stage=stage.spec.name,
        notebook=stage.spec.notebook,
        source=str(stage.notebook),
        kernel=kernel_name(source),
        needs=list(stage.needs),
        injected=len(copy.cells) if injected is None else injected,
        cells=sum(1 for _ in code_cells(copy)),
        matrix={name: shown(value) for name, value in stage.matrix.items()},
        params={name: shown(value) for name, value in stage.params.items()},
        secrets=dict(stage.secrets),
        inputs=inputs,
        outputs={name: OutputRequest(entry.path, entry.spec.type) for name, entry in stage.outputs.items()},
        timeout=stage.spec.timeout,
        retries=stage.spec.retries,
        resources=stage.spec.resources,
        cache=stage.spec.cache,
        metrics=list(stage.spec.metrics),
        gate=list(stage.spec.gate),
    )
    return request, copy


def _input(name: str, entry: InputPlan) -> InputRequest:
    spec = entry.spec
    return InputRequest(
        kind=spec.kind,
        source=f"{spec.source}.{spec.output}" if spec.kind == "stage" else spec.source,
        files=list(entry.files),
        choose=spec.choose,
        candidates={
            instance: (path, injected_source({name: value})) for instance, (path, value) in entry.candidates.items()
        },
        connection=spec.connection,
    )


def _environment(workspace: Workspace) -> dict[str, str]:
    # A run that is started in a stage, or in a notebook of a run, is independent of that run.
    inherited = {key: value for key, value in inherited_environment().items() if key not in _OF_A_RUN}
    return {**inherited, "MLOPS_WORKSPACE": str(workspace.root)}


def prepare_runner(workspace: Workspace) -> None:
    """Start what will fork the runners of the workspace, if it does not run; it takes a second to be ready."""
    prepare_module(workspace, _environment(workspace))


def launch_runner(workspace: Workspace, folder: RunFolder) -> None:
    """Start the runner of a written run, detached, and record its process.

    Raises
    ------
    StorageError
        It cannot be started, or recorded.
    """
    environment = _environment(workspace)
    try:
        process = start_module(
            workspace,
            "mlops_workbench.pipelines.execution.runner",
            [str(folder.path)],
            folder=folder.path,
            environment=environment,
            output=folder.log,
        )
    except OSError as error:
        raise StorageError(f"the process of the run cannot be started: {error}", where=str(folder.path)) from error
    # Before the process is reaped, so that its id is not reused.
    identity = ProcessIdentity.of(process.pid) or ProcessIdentity(process.pid, 0.0)
    append_event(folder.events, Launched(now_ms(), identity, platform.node()))
    threading.Thread(target=process.wait, daemon=True, name=f"pipeline-run-{process.pid}").start()
