"""Runs of the pipelines and notebooks of a workspace: start, read, cancel, resume."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from mlops_workbench.core.errors import Conflict, InvalidInput, WorkbenchError
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.pipelines import PipelineRun, PlannedRun
from mlops_workbench.core.wire.json_numbers import JsonNumber
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.definition.file import read_spec
from mlops_workbench.pipelines.definition.nouns import PipelineSpec
from mlops_workbench.pipelines.execution.forecast import Forecast, forecast
from mlops_workbench.pipelines.execution.launch import check_capacity, launch_runner, prepare_stage, write_run
from mlops_workbench.pipelines.execution.notebook_run import (
    NotebookOptions,
    check_output,
    plan_notebook,
    write_notebook_run,
)
from mlops_workbench.pipelines.execution.resume import belongs_to, check_resumable
from mlops_workbench.pipelines.execution.reuse import FORCED, Reuse
from mlops_workbench.pipelines.execution.selection import WHOLE, Selection, selected
from mlops_workbench.pipelines.plan.files import notebook_facts, plan_spec
from mlops_workbench.pipelines.plan.nouns import Plan
from mlops_workbench.pipelines.plan.planned import check_secrets, planned_run
from mlops_workbench.pipelines.plan.specs import find_spec
from mlops_workbench.pipelines.runs.events import (
    CancelRequested,
    Resumed,
    append_event,
    drop_partial,
    read_run_events,
)
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.progress import (
    launched_process,
)
from mlops_workbench.pipelines.stored_runs import (
    find_run,
    is_interrupted,
    list_runs,
    log_size,
    lost_events,
    publish_spec,
    read_progress,
    read_publish,
    read_results,
    read_run,
    run_folder,
)

__all__ = [
    "Champion",
    "cancel_run",
    "check_start",
    "is_interrupted",
    "list_runs",
    "log_size",
    "plan_run",
    "publish_spec",
    "read_progress",
    "read_publish",
    "read_results",
    "read_run",
    "resume_run",
    "run_folder",
    "start_notebook",
    "start_run",
]

#: Metrics of the present champion of a model; None without one.
Champion = Callable[[str], Mapping[str, JsonNumber | None] | None]


def start_run(
    workspace: Workspace,
    name: str,
    params: Mapping[str, object],
    reason: str = "manual",
    champion: Champion | None = None,
    selection: Selection = WHOLE,
) -> PipelineRun:
    """Check a pipeline, and start it in a process of its own.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the spec and the run.
    name : str
        Pipeline: the name of its file without the suffix.
    params : mapping
        Values for its parameters; text is converted to their types.
    reason : str
        Reason for the run.
    champion : callable, optional
        Returns the metrics of the present champion of a model; called if a gate of a stage compares with them.
    selection : Selection, optional
        Which stages run.

    Returns
    -------
    PipelineRun
        The run, usually still ``pending``.

    Raises
    ------
    NotFound
        There is no such pipeline.
    SpecError
        The spec is wrong, or does not match its notebooks; ``where`` is ``file:line:column``.
    InvalidInput
        A parameter is unknown, missing or of the wrong type, or a secret is not in the environment of this process.
    StorageError
        The run's folder cannot be written.
    """
    folder = RunFolder(workspace.pipeline_runs / new_id())
    plan = plan_spec(_spec(workspace, name), folder.outputs, params)
    check_secrets(plan.stages)
    publish = plan.spec.publish
    compares = any("champion" in condition for stage in plan.stages for condition in stage.spec.gate)
    best = champion(publish.name) if champion is not None and publish is not None and compares else None
    if selection.only:
        _check_results(_forecast(workspace, folder, plan, selection))
    workspace.prepare()
    write_run(workspace, folder, plan, reason, best, selection)
    launch_runner(workspace, folder)
    return read_run(workspace, folder.path.name)


def start_notebook(
    workspace: Workspace, notebook: Path, options: NotebookOptions, reason: str = "manual"
) -> PipelineRun:
    """Check a notebook and the values for its parameters, and run it in a process of its own as a tracked run.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the run; the notebook may be elsewhere.
    notebook : Path
        Absolute path.
    options : NotebookOptions
        Values, names and limits.
    reason : str
        Reason for the run.

    Returns
    -------
    PipelineRun
        The run, usually still ``pending``.

    Raises
    ------
    NotFound
        There is no such notebook, kernel or folder for the output.
    InvalidInput
        A value does not fit, is missing or unknown; a secret is not in the environment of this process.
    StorageError
        The notebook cannot be read, or the run's folder cannot be written.
    """
    facts = notebook_facts(notebook)
    if isinstance(facts, WorkbenchError):
        raise facts
    stage = plan_notebook(facts, options)
    if options.output is not None:
        check_output(notebook, options.output)
    check_secrets([stage])
    folder = RunFolder(workspace.pipeline_runs / new_id())
    workspace.prepare()
    write_notebook_run(workspace, folder, stage, options, reason)
    launch_runner(workspace, folder)
    return read_run(workspace, folder.path.name)


def check_start(workspace: Workspace, name: str, params: Mapping[str, object]) -> None:
    """Raise what :func:`start_run` would raise for a pipeline and its parameters, without starting it."""
    _checked_plan(workspace, name, params)


def plan_run(workspace: Workspace, name: str, params: Mapping[str, object], selection: Selection = WHOLE) -> PlannedRun:
    """What :func:`start_run` would run, and why; raises what it would raise."""
    folder, plan = _checked_plan(workspace, name, params)
    found = _forecast(workspace, folder, plan, selection)
    if selection.only:
        _check_results(found)
    planned = planned_run(plan)
    stages = [
        dataclasses.replace(
            stage,
            cached=found[stage.name].result is not None,
            cached_from=result.run_id if (result := found[stage.name].result) is not None else "",
            reasons=found[stage.name].reasons,
        )
        for stage in planned.stages
        if stage.name in found
    ]
    return dataclasses.replace(planned, stages=stages)


def _checked_plan(workspace: Workspace, name: str, params: Mapping[str, object]) -> tuple[RunFolder, Plan]:
    folder = RunFolder(workspace.pipeline_runs / "none")
    plan = plan_spec(_spec(workspace, name), folder.outputs, params)
    check_capacity(workspace, plan)
    check_secrets(plan.stages)
    return folder, plan


def _forecast(workspace: Workspace, folder: RunFolder, plan: Plan, selection: Selection) -> dict[str, Forecast]:
    prepared = [prepare_stage(stage) for stage in plan.stages]
    cells = {request.name: notebook.cells for request, notebook in prepared}
    stages = selected(plan.spec.name, [request for request, _ in prepared], selection)
    reuse = Reuse(workspace, folder, plan.spec.name, str(plan.spec.path))
    return forecast(reuse, [(stage, cells[stage.name]) for stage in stages])


def _check_results(found: Mapping[str, Forecast]) -> None:
    """Raise InvalidInput if a stage that only one stage needs has no result that could be taken."""
    *needed, _ = found.items()
    missing = [name for name, one in needed if one.result is None and FORCED not in one.reasons]
    if missing:
        raise InvalidInput(
            f"stage '{missing[0]}', whose outputs it needs, has no kept result",
            hint="run the pipeline without --only first; results of stages with 'cache: false' are not kept",
        )


def cancel_run(workspace: Workspace, run_id: str) -> PipelineRun:
    """Ask a run to stop: its stages are ended and their notebooks kept.

    Raises
    ------
    NotFound
        There is no such run.
    Conflict
        The run has ended.
    """
    run = read_run(workspace, run_id)
    if run.state not in ("pending", "running"):
        raise Conflict(f"the run has {run.state} already", where=run_id)
    folder = find_run(workspace, run_id)
    append_event(folder.events, CancelRequested(now_ms()))
    process = launched_process(read_run_events(folder.events))
    # In a workspace that was copied, the process is the original's.
    ours = belongs_to(workspace, folder.read_request())
    if process is not None and ours and process.alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
    return read_run(workspace, run_id)


def resume_run(workspace: Workspace, run_id: str, *, by_hand: bool = True) -> PipelineRun:
    """Let a run go on whose runner has ended.

    Stages whose end is on record are kept. If a user asks for it, by hand, the stages of an ended run that failed,
    or were skipped or cancelled, run again, with the notebooks and parameters of that run.

    Raises
    ------
    NotFound
        There is no such run.
    Conflict
        It is running, has succeeded or belongs to another workspace, its files were removed, or `by_hand` is False and
        it does not go on by itself.
    StorageError
        Its folder cannot be written.
    """
    folder = find_run(workspace, run_id)
    with file_lock(folder.resume_lock, wait=False) as alone:
        run = read_run(workspace, run_id)
        if not alone or (run.active and not is_interrupted(run)):
            raise Conflict("the run is running", where=run_id, hint="wait for its end, or cancel it")
        if by_hand:
            check_resumable(workspace, folder, run)
            if lost_events(folder):
                raise Conflict("its event log is damaged", where=run_id, hint="start a new run")
        elif not run.active:
            raise Conflict(f"the run has {run.state} already", where=run_id)
        drop_partial(folder.events)
        append_event(folder.events, Resumed(now_ms(), by_hand))
        launch_runner(workspace, folder)
    return read_run(workspace, run_id)


def _spec(workspace: Workspace, name: str) -> PipelineSpec:
    return read_spec(find_spec(workspace, name))
