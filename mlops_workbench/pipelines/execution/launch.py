"""Writes a planned run to its folder, and starts its runner process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.wire.json_numbers import json_value
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.document import (
    INJECTED_TAG,
    code_cells,
    kernel_name,
    read_notebook,
    tagged_cell,
    write_notebook,
)
from mlops_workbench.notebooks.parameters.inject import inject
from mlops_workbench.pipelines.plan import InputPlan, Plan, StagePlan
from mlops_workbench.pipelines.runs.events import Launched, append_event
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.requests import (
    InputRequest,
    OutputRequest,
    PublishTarget,
    RunRequest,
    Scalar,
    StageRequest,
)


def write_run(workspace: Workspace, folder: RunFolder, plan: Plan, reason: str) -> None:
    """Write a planned run to its folder; the request is written last, since it makes the run exist.

    Raises
    ------
    InvalidInput
        A value cannot be injected.
    StorageError
        The folder cannot be written.
    """
    spec = plan.spec
    stages = [_write_stage(folder, stage) for stage in plan.stages]
    write_atomic(folder.spec, spec.path.read_bytes())
    publish = spec.publish
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
        else PublishTarget(publish.stage, publish.metrics_from, publish.name, publish.alias, list(publish.gate)),
    )
    write_struct(folder.request, request)


def _write_stage(folder: RunFolder, stage: StagePlan) -> StageRequest:
    """Write the copy that will run; later edits of the user's notebook have no effect on it."""
    source = read_notebook(stage.notebook)
    values = stage.values
    try:
        copy = inject(source, values) if values else source
    except InvalidInput as error:
        raise InvalidInput(f"stage '{stage.name}': {error.message}", hint=error.hint) from error
    added = len(copy.cells) > len(source.cells)
    injected = tagged_cell(copy, INJECTED_TAG) if added else None
    write_notebook(copy, folder.copy(stage.name))
    return StageRequest(
        name=stage.name,
        stage=stage.spec.name,
        notebook=stage.spec.notebook,
        source=str(stage.notebook),
        kernel=kernel_name(source),
        needs=list(stage.needs),
        injected=len(copy.cells) if injected is None else injected,
        cells=sum(1 for _ in code_cells(copy)),
        params={name: shown(value) for name, value in stage.params.items()},
        inputs={name: _input(entry) for name, entry in stage.inputs.items()},
        outputs={name: OutputRequest(entry.path, entry.spec.type) for name, entry in stage.outputs.items()},
        timeout=stage.spec.timeout,
        retries=stage.spec.retries,
        resources=stage.spec.resources,
        metrics=list(stage.spec.metrics),
        gate=list(stage.spec.gate),
    )


def _input(entry: InputPlan) -> InputRequest:
    spec = entry.spec
    shown = f"{spec.source}.{spec.output}" if spec.kind == "stage" else spec.source
    return InputRequest(spec.kind, shown, list(entry.files), connection=spec.connection)


def launch_runner(workspace: Workspace, folder: RunFolder) -> None:
    """Start the runner of a written run, detached, and record its process."""
    # A run that is started in a stage, or in a notebook of a run, is independent of that run.
    environment = {key: value for key, value in os.environ.items() if key not in ("MLOPS_RUN_UID", "MLOPS_EXPERIMENT")}
    environment["MLOPS_WORKSPACE"] = str(workspace.root)
    with open(folder.log, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlops_workbench.pipelines.execution.runner", str(folder.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.path,
            env=environment,
            start_new_session=True,
        )
    # Before the process is reaped, so that its id is not reused.
    identity = ProcessIdentity.of(process.pid) or ProcessIdentity(process.pid, 0.0)
    append_event(folder.events, Launched(now_ms(), identity))
    threading.Thread(target=process.wait, daemon=True, name=f"pipeline-run-{process.pid}").start()


def shown(value: object) -> Scalar:
    """A value as a scalar of JSON: containers as JSON, other values as text."""
    plain = json_value(value)
    if plain is None or isinstance(plain, (bool, int, float, str)):
        return plain
    return json.dumps(plain, default=str, ensure_ascii=False) if isinstance(plain, (list, dict)) else str(plain)
