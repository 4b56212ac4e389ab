"""Runs of the pipelines and notebooks of a workspace: start, read, cancel, resume."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound, StorageError, WorkbenchError
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.pipelines import PipelineRun, PlannedRun, RunProgress, StageProgress, StageResult
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
from mlops_workbench.pipelines.execution.resume import belongs_to, check_resumable, goes_on
from mlops_workbench.pipelines.execution.reuse import FORCED, Reuse
from mlops_workbench.pipelines.execution.selection import WHOLE, Selection, selected
from mlops_workbench.pipelines.plan.files import notebook_facts, plan_spec
from mlops_workbench.pipelines.plan.nouns import Plan
from mlops_workbench.pipelines.plan.planned import check_secrets, planned_run
from mlops_workbench.pipelines.plan.specs import find_spec
from mlops_workbench.pipelines.runs.estimates import remaining, usual_durations
from mlops_workbench.pipelines.runs.events import (
    CancelRequested,
    Resumed,
    StageEvent,
    StageStarted,
    append_event,
    drop_partial,
    is_damaged,
    read_run_events,
    read_stage_events,
)
from mlops_workbench.pipelines.runs.folder import RunFolder, unknown_run
from mlops_workbench.pipelines.runs.progress import (
    DAMAGED,
    INTERRUPTED,
    chosen_instances,
    fold,
    has_ended,
    launched_process,
)
from mlops_workbench.pipelines.runs.publication import PublishRequest, publication
from mlops_workbench.pipelines.runs.results import stage_results
from mlops_workbench.pipelines.runs.tail import read_tail
from mlops_workbench.pipelines.sweeps.stored import TRIALS

#: Ids have 32 digits; longer text may exceed the length of a file name.
_LONGEST_ID = 64
#: Runs, of any pipeline, among which those are that tell how long a stage usually takes.
_EARLIER = 200
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


def read_run(workspace: Workspace, run_id: str) -> PipelineRun:
    """The state of a run; it has failed if its runner process is dead and has recorded no end.

    Raises
    ------
    NotFound
        There is no such run.
    StorageError
        Its request or its event log cannot be read.
    """
    folder = _folder(workspace, run_id)
    try:
        size = folder.events.stat().st_size
    except FileNotFoundError:
        size = 0
    if size:
        ended = _ended_run(str(folder.path), size)
        if ended is not None:
            return ended
    events = read_run_events(folder.events)
    process = launched_process(events)
    alive = process is not None and process.alive()
    if not alive:  # it may have ended since the events were read
        events = read_run_events(folder.events)
    request, now = folder.read_request(), now_ms()
    resumable = not alive and goes_on(workspace, folder, request, events, now)
    run = fold(request, events, _cells(folder), runner_alive=alive, now=now, resumable=resumable)
    if run.state in ("pending", "failed") and not alive and _lost_events(folder):
        return dataclasses.replace(run, state="failed", message=DAMAGED)
    return run


def log_size(workspace: Workspace, run_id: str) -> int:
    """Bytes of the event log of a run, 0 if there is none."""
    try:
        return RunFolder(workspace.pipeline_runs / run_id).events.stat().st_size
    except OSError:
        return 0


def list_runs(workspace: Workspace, limit: int = 100) -> list[PipelineRun]:
    """Runs, newest first; one whose files cannot be read has failed, with the reason as its message."""
    try:
        names = sorted((entry.name for entry in os.scandir(workspace.pipeline_runs) if entry.is_dir()), reverse=True)
    except FileNotFoundError:
        return []
    found: list[PipelineRun] = []
    for name in names:
        if len(found) >= limit:
            break
        try:
            found.append(read_run(workspace, name))
        except NotFound:
            # A folder without a request is of a run that is being written, or was not written completely.
            continue
        except StorageError as error:
            made = int((workspace.pipeline_runs / name).stat().st_mtime * 1000)
            found.append(PipelineRun(name, "", "failed", "", {}, "", made, made, message=error.message))
    return found


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
    folder = _folder(workspace, run_id)
    append_event(folder.events, CancelRequested(now_ms()))
    process = launched_process(read_run_events(folder.events))
    # In a workspace that was copied, the process is the original's.
    ours = belongs_to(workspace, folder.read_request())
    if process is not None and ours and process.alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
    return read_run(workspace, run_id)


def is_interrupted(run: PipelineRun) -> bool:
    """Whether a run waits for another runner."""
    return run.active and run.message == INTERRUPTED


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
    folder = _folder(workspace, run_id)
    with file_lock(folder.resume_lock, wait=False) as alone:
        run = read_run(workspace, run_id)
        if not alone or (run.active and not is_interrupted(run)):
            raise Conflict("the run is running", where=run_id, hint="wait for its end, or cancel it")
        if by_hand:
            check_resumable(workspace, folder, run)
            if _lost_events(folder):
                raise Conflict("its event log is damaged", where=run_id, hint="start a new run")
        elif not run.active:
            raise Conflict(f"the run has {run.state} already", where=run_id)
        drop_partial(folder.events)
        append_event(folder.events, Resumed(now_ms(), by_hand))
        launch_runner(workspace, folder)
    return read_run(workspace, run_id)


def read_publish(workspace: Workspace, run_id: str) -> PublishRequest | None:
    """How the model of a run is published; None if it publishes nothing or has not succeeded.

    Raises
    ------
    NotFound
        There is no such run.
    Conflict
        Which model is published cannot be told.
    """
    run = read_run(workspace, run_id)
    folder = _folder(workspace, run_id)
    request = folder.read_request()
    if request.publish is None or run.state != "succeeded":
        return None
    uids = {stage.name: stage.run_uid for stage in run.stages}
    return publication(request, request.publish, uids, chosen_instances(read_run_events(folder.events)))


def publishes(workspace: Workspace, run_id: str) -> bool:
    """Whether a run has a model to publish when it succeeds; raises NotFound."""
    return _folder(workspace, run_id).read_request().publish is not None


def read_results(workspace: Workspace, run_id: str) -> list[StageResult]:
    """Executed notebooks of the stages of a run that were started, and where they failed.

    Raises
    ------
    NotFound
        There is no such run.
    """
    folder = _folder(workspace, run_id)
    return stage_results(folder, folder.read_request(), read_run_events(folder.events))


def read_progress(workspace: Workspace, run_id: str, lines: int) -> RunProgress:
    """How far a run is, with an estimate from earlier runs and the last lines that its running stages printed.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the run.
    run_id : str
        The run.
    lines : int
        Most lines of a stage.

    Raises
    ------
    NotFound
        There is no such run.
    StorageError
        Its request or its event log cannot be read.
    """
    run = read_run(workspace, run_id)
    folder = _folder(workspace, run_id)
    if not run.active:
        return RunProgress(run, now_ms(), [StageProgress(stage.name) for stage in run.stages])
    request = folder.read_request()
    attempts = {
        event.stage: event.attempt for event in read_run_events(folder.events) if isinstance(event, StageStarted)
    }
    usual = _usual_durations(workspace.root, run_id)
    now = now_ms()
    stages = [
        StageProgress(
            stage.name,
            usual.get(stage.name),
            read_tail(folder.tail(stage.name, attempts[stage.name]), lines) if stage.state == "running" else [],
        )
        for stage in run.stages
    ]
    needs = {stage.name: stage.needs for stage in request.stages}
    return RunProgress(run, now, stages, remaining(run.stages, needs, usual, request.workers, now))


@lru_cache(maxsize=256)
def _usual_durations(root: Path, run_id: str) -> dict[str, int]:
    """Usual durations of the stages of a run, by other runs; read once for a run."""
    workspace = Workspace.open(root)
    run = read_run(workspace, run_id)
    earlier = [one for one in list_runs(workspace, _EARLIER) if (one.kind, one.pipeline) == (run.kind, run.pipeline)]
    return usual_durations([stage.name for stage in run.stages], earlier)


def run_folder(workspace: Workspace, run_id: str) -> Path:
    """Folder of a run, with its logs, executed notebooks and outputs.

    Raises
    ------
    NotFound
        There is no such run.
    """
    return _folder(workspace, run_id).path


def _spec(workspace: Workspace, name: str) -> PipelineSpec:
    return read_spec(find_spec(workspace, name))


def _folder(workspace: Workspace, run_id: str) -> RunFolder:
    if len(run_id) > _LONGEST_ID or not run_id.isalnum():
        raise unknown_run(run_id)
    folder = RunFolder(workspace.pipeline_runs / run_id)
    if folder.request.exists():
        return folder
    # The runs of a sweep are in its folder, so that a list of runs has the sweep only.
    for request in workspace.pipeline_runs.glob(f"*/{TRIALS}/{run_id}/request.json"):
        return RunFolder(request.parent)
    raise unknown_run(run_id)


def _cells(folder: RunFolder) -> Callable[[str, int], list[StageEvent]]:
    def events(stage: str, attempt: int) -> list[StageEvent]:
        try:
            return read_stage_events(folder.attempt_events(stage, attempt))
        except StorageError:
            # Which cells were executed is shown only; the run's own log says how the stage ended.
            return []

    return events


def _lost_events(folder: RunFolder) -> bool:
    """Whether the event log lacks events: lines that are no events, or none at all of a run that has worked."""
    has_worked = any(folder.path.glob("stages/*/attempt-*"))
    return is_damaged(folder.events) or (has_worked and not read_run_events(folder.events))


@lru_cache(maxsize=1024)
def _ended_run(path: str, size: int) -> PipelineRun | None:
    """A run that has ended by its log of this size, and so does not change any more; otherwise None."""
    folder = RunFolder(Path(path))
    events = read_run_events(folder.events)
    if not has_ended(events):
        return None
    return fold(folder.read_request(), events, _cells(folder), runner_alive=False, now=now_ms())
