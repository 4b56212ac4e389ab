"""Sweeps of a workspace: start, read, resume; a sweep is a run of kind ``sweep``, listed and cancelled like others."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from mlops_workbench.capture.resources.cost import money_of
from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound, SettingsError, StorageError
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.sweeps import Sweep, SweepRequest
from mlops_workbench.core.workspace import FILE as SETTINGS_FILE
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.parameters.shown import shown
from mlops_workbench.pipelines import service
from mlops_workbench.pipelines.definition.file import read_spec
from mlops_workbench.pipelines.execution.launch import launch_runner
from mlops_workbench.pipelines.execution.trials import TrialPlanner
from mlops_workbench.pipelines.plan.specs import find_spec
from mlops_workbench.pipelines.runs.events import read_run_events
from mlops_workbench.pipelines.runs.folder import RunFolder, read_struct, write_struct
from mlops_workbench.pipelines.runs.requests import RunRequest
from mlops_workbench.pipelines.sweeps.methods import make_sampler, resolved
from mlops_workbench.pipelines.sweeps.results import best_trial, closed, importance, trials_of
from mlops_workbench.pipelines.sweeps.stored import FILE, SOURCES, StoredSweep


def start_sweep(
    workspace: Workspace, request: SweepRequest, reason: str = "manual", champion: service.Champion | None = None
) -> Sweep:
    """Check a sweep and its first trial, and start it in a process of its own.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the sweep.
    request : SweepRequest
        The sweep; the path of a notebook is absolute.
    reason : str
        What starts it.
    champion : callable, optional
        Returns the metrics of the present champion of a model, for the gates of a pipeline.

    Raises
    ------
    NotFound
        There is no such notebook or pipeline.
    InvalidInput
        A value, a limit or a method is wrong.
    StorageError
        The folder of the sweep cannot be written.
    """
    if bool(request.notebook) == bool(request.pipeline):
        raise InvalidInput("a sweep is of a notebook or of a pipeline", hint="give one of the two")
    path = find_spec(workspace, request.pipeline) if request.pipeline else None
    folder = RunFolder(workspace.pipeline_runs / new_id())
    stored = StoredSweep(request=request, spec="" if path is None else str(path))
    planner = TrialPlanner(workspace, stored, folder)
    request = resolved(request, planner.space, random.SystemRandom().randrange(2**31))
    sampler = make_sampler(request, planner.space)
    if request.money is not None and money_of(workspace.settings.prices, 3600.0, None) is None:
        raise SettingsError(
            "a limit in money needs the price of this machine",
            where=str(workspace.root / SETTINGS_FILE),
            hint='add to workbench.toml:  [prices]  machine = "laptop"  per_hour = { laptop = 0.05 }',
        )
    if (first := sampler.ask()) is not None:
        planner.plan(folder, first.values)
    publish = None if path is None else read_spec(path).publish
    best = champion(publish.name) if publish is not None and champion is not None else None
    workspace.prepare()
    stored = StoredSweep(
        request=request,
        spec=stored.spec,
        planned=sampler.total or 0,
        sources=_copied(folder, planner.paths),
        champion=None if best is None else dict(best),
    )
    write_struct(folder.path / FILE, stored)
    space = planner.space
    experiment = planner.spec.experiment if planner.spec is not None else ""
    inside = Path(request.notebook).is_relative_to(workspace.root)
    write_struct(
        folder.request,
        RunRequest(
            id=folder.path.name,
            pipeline=request.pipeline
            or (str(Path(request.notebook).relative_to(workspace.root)) if inside else request.notebook),
            name=f"sweep of {request.name or request.pipeline or Path(request.notebook).stem}",
            kind="sweep",
            reason=reason,
            workspace=str(workspace.root),
            experiment=request.experiment or experiment or workspace.settings.tracking.experiment,
            created_ms=now_ms(),
            workers=request.parallel or workspace.settings.pipelines.workers,
            params={
                **{name: str(dimension) for name, dimension in space.dimensions.items()},
                **{name: shown(value) for name, value in space.fixed.items()},
            },
        ),
    )
    launch_runner(workspace, folder)
    return read_sweep(workspace, folder.path.name)


def read_sweep(workspace: Workspace, sweep_id: str) -> Sweep:
    """A sweep with its trials; importances are known when it has ended.

    Raises
    ------
    NotFound
        There is no such sweep.
    StorageError
        Its files cannot be read.
    """
    run = service.read_run(workspace, sweep_id)
    if run.kind != "sweep":
        raise NotFound(f"the run '{sweep_id}' is no sweep", hint="'mlops sweep' lists the sweeps")
    found = _of_run(workspace, run)
    if run.active or not found.metric:
        return dataclasses.replace(found, importance_note="known at the end" if found.metric else "without a metric")
    folder = RunFolder(service.run_folder(workspace, sweep_id))
    shares, note = _importance(str(folder.path), folder.events.stat().st_size)
    return dataclasses.replace(found, importance=dict(shares), importance_note=note)


def _of_run(workspace: Workspace, run: PipelineRun) -> Sweep:
    folder = RunFolder(service.run_folder(workspace, run.id))
    try:
        stored = read_struct(folder.path / FILE, StoredSweep)
    except FileNotFoundError:
        # Retention removes all but the log.
        stored = StoredSweep(request=SweepRequest())
    trials = trials_of(read_run_events(folder.events))
    request = stored.request
    best = best_trial(trials, request.direction)
    return Sweep(
        run=run,
        method=request.method,
        seed=request.seed or 0,
        metric=request.metric,
        direction=request.direction,
        planned=stored.planned,
        trials=trials if run.active else closed(trials, run.end_ms),
        best=best.number if best is not None else 0,
    )


def list_sweeps(workspace: Workspace, limit: int = 100) -> list[Sweep]:
    """Sweeps, newest first, without importances; those whose files cannot be read are left out."""
    found = []
    for run in service.list_runs(workspace, 10 * limit):
        if run.kind == "sweep" and len(found) < limit:
            try:
                found.append(_of_run(workspace, run))
            except (NotFound, StorageError):
                continue
    return found


def resume_sweep(workspace: Workspace, sweep_id: str) -> Sweep:
    """Let a sweep that was cancelled, has failed or was killed go on; trials that have ended are not repeated.

    Raises
    ------
    NotFound
        There is no such sweep.
    Conflict
        It runs, or has reached its end.
    """
    read_sweep(workspace, sweep_id)
    if not (service.run_folder(workspace, sweep_id) / FILE).exists():
        raise Conflict("the files of the sweep were removed", where=sweep_id, hint="start another one")
    service.resume_run(workspace, sweep_id)
    return read_sweep(workspace, sweep_id)


def trial_uids(workspace: Workspace, sweep_id: str) -> list[str]:
    """Runs in the tracking store of all trials, with those of their stages."""
    found = []
    for trial in trials_of(read_run_events(RunFolder(service.run_folder(workspace, sweep_id)).events)):
        found.append(trial.run_uid)
        with contextlib.suppress(NotFound, StorageError):
            found += [stage.run_uid for stage in service.read_run(workspace, trial.run).stages]
    return [uid for uid in found if uid]


@lru_cache(maxsize=64)
def _importance(folder: str, size: int) -> tuple[Mapping[str, float], str]:
    """Importances by the log of this size of a sweep that has ended."""
    return importance(trials_of(read_run_events(RunFolder(Path(folder)).events)))


def _copied(folder: RunFolder, paths: list[Path]) -> dict[str, str]:
    """Copy the sources into the folder of a sweep."""
    found = {}
    for number, path in enumerate(paths):
        # A folder for each, since two may have the same name.
        copy = folder.path / SOURCES / str(number) / path.name
        try:
            copy.parent.mkdir(parents=True)
            shutil.copyfile(path, copy)
        except OSError as error:
            raise StorageError(f"cannot copy {path.name}: {error.strerror or error}", where=str(path)) from error
        found[str(path)] = str(copy.relative_to(folder.path))
    return found
