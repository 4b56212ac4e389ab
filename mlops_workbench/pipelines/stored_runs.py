"""Runs of the pipelines and notebooks of a workspace, as their folders tell."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from mlops_workbench.core.errors import NotFound, StorageError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.pipelines import PipelineRun, RunProgress, StageProgress, StageResult
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.definition.nouns import PublishSpec
from mlops_workbench.pipelines.execution.resume import goes_on
from mlops_workbench.pipelines.runs.estimates import remaining, usual_durations
from mlops_workbench.pipelines.runs.events import (
    StageEvent,
    StageStarted,
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


def read_run(workspace: Workspace, run_id: str) -> PipelineRun:
    """The state of a run; it has failed if its runner process is dead and has recorded no end.

    Raises
    ------
    NotFound
        There is no such run.
    StorageError
        Its request or its event log cannot be read.
    """
    folder = find_run(workspace, run_id)
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
    if run.state in ("pending", "failed") and not alive and lost_events(folder):
        return dataclasses.replace(run, state="failed", message=DAMAGED)
    return run


def log_size(workspace: Workspace, run_id: str) -> int:
    """Bytes of the event log of a run, 0 if there is none."""
    try:
        return find_run(workspace, run_id).events.stat().st_size
    except (NotFound, OSError):
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


def is_interrupted(run: PipelineRun) -> bool:
    """Whether a run waits for another runner."""
    return run.active and run.message == INTERRUPTED


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
    folder = find_run(workspace, run_id)
    request = folder.read_request()
    if request.publish is None or run.state != "succeeded":
        return None
    uids = {stage.name: stage.run_uid for stage in run.stages}
    return publication(request, request.publish, uids, chosen_instances(read_run_events(folder.events)))


def publish_spec(workspace: Workspace, run_id: str) -> PublishSpec | None:
    """What a run publishes when it succeeds, None for nothing; raises NotFound."""
    return find_run(workspace, run_id).read_request().publish


def read_results(workspace: Workspace, run_id: str) -> list[StageResult]:
    """Executed notebooks of the stages of a run that were started, and where they failed.

    Raises
    ------
    NotFound
        There is no such run.
    """
    folder = find_run(workspace, run_id)
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
    folder = find_run(workspace, run_id)
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
    return find_run(workspace, run_id).path


def find_run(workspace: Workspace, run_id: str) -> RunFolder:
    """The folder of a run; raises NotFound."""
    if len(run_id) > _LONGEST_ID or not run_id.isalnum():
        raise unknown_run(run_id)
    folder = RunFolder(workspace.pipeline_runs / run_id)
    if folder.request.exists():
        return folder
    folder = RunFolder(_trial_folder(workspace.pipeline_runs, run_id))
    if folder.request.exists():
        return folder
    raise unknown_run(run_id)


@lru_cache(maxsize=1024)
def _trial_folder(runs: Path, run_id: str) -> Path:
    """Folder of a trial, which is in that of its sweep, so that a list of runs has the sweep only; raises NotFound."""
    for request in runs.glob(f"*/{TRIALS}/{run_id}/request.json"):
        return request.parent
    raise unknown_run(run_id)


def _cells(folder: RunFolder) -> Callable[[str, int], list[StageEvent]]:
    def events(stage: str, attempt: int) -> list[StageEvent]:
        try:
            return read_stage_events(folder.attempt_events(stage, attempt))
        except StorageError:
            # Which cells were executed is shown only; the run's own log says how the stage ended.
            return []

    return events


def lost_events(folder: RunFolder) -> bool:
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
