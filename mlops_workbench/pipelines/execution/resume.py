"""Whether a run whose runner has ended goes on by itself, and whether a user can let it go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlops_workbench.core.errors import Conflict
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.runs.events import RunEvent, is_damaged
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.requests import RunRequest
from mlops_workbench.pipelines.runs.resumption import is_resumable


def belongs_to(workspace: Workspace, request: RunRequest) -> bool:
    """Whether a run was started in this workspace, and not in one of which it is a copy."""
    try:
        return workspace.root.samefile(request.workspace)
    except OSError:
        return False


def goes_on(
    workspace: Workspace, folder: RunFolder, request: RunRequest, events: Sequence[RunEvent], now_ms: int
) -> bool:
    """Whether a run whose runner has ended is resumed by the control plane."""
    hours = workspace.settings.pipelines.resume_hours
    return (
        is_resumable(events, now_ms, hours)
        and belongs_to(workspace, request)
        and not is_damaged(folder.events, but_last=True)
    )


def check_resumable(workspace: Workspace, folder: RunFolder, run: PipelineRun) -> None:
    """Check that a user can let a run go on whose runner has ended.

    Raises
    ------
    Conflict
        It has succeeded, belongs to another workspace, or its files were removed.
    """
    if run.state in ("succeeded", "not_published"):
        what = "succeeded" if run.state == "succeeded" else "finished"
        raise Conflict(f"the run has {what} already", where=run.id, hint="start a new one")
    request = folder.read_request()
    if not belongs_to(workspace, request):
        raise Conflict(f"the run is of the workspace {request.workspace}", where=run.id, hint="start a new one here")
    kept = {stage.name for stage in run.stages if stage.state == "succeeded"}
    needed = [folder.copy(stage.name) for stage in request.stages]
    for stage in request.stages:
        needed += [Path(output.path) for output in stage.outputs.values() if stage.name in kept]
    if missing := next((path for path in needed if not path.exists()), None):
        raise Conflict(
            f"the run cannot be resumed: {missing.relative_to(folder.path)} was removed",
            where=run.id,
            hint="start a new one",
        )
