"""What the attempts at the stages of a run have left: executed notebooks, and where they failed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.pipelines import StageResult
from mlops_workbench.notebooks.document import read_notebook
from mlops_workbench.pipelines.runs.events import AttemptEnded, RunEvent, StageReused, StageStarted, read_stage_events
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.requests import RunRequest, StageRequest

#: A frame of IPython's traceback in the code of a cell: its execution count, and the line.
_FRAME = re.compile(r"Cell In\[(\d+)\], line (\d+)")


def stage_results(folder: RunFolder, request: RunRequest, events: Iterable[RunEvent]) -> list[StageResult]:
    """What the last attempt at each stage has left, in order; only stages that were started or reused."""
    attempts: dict[str, int] = {}
    for event in events:
        if isinstance(event, StageStarted | StageReused):
            attempts[event.stage] = event.attempt if isinstance(event, StageStarted) else 1
    return [_result(folder, stage, attempts[stage.name]) for stage in request.stages if stage.name in attempts]


def _result(folder: RunFolder, stage: StageRequest, attempt: int) -> StageResult:
    executed = folder.executed(stage.name, attempt)
    result = StageResult(stage.name, attempt, str(executed) if executed.exists() else "")
    try:
        events = read_stage_events(folder.attempt_events(stage.name, attempt))
        ended = next((event for event in reversed(events) if isinstance(event, AttemptEnded)), None)
        if ended is None or ended.state != "failed":
            return result
        if ended.cell is None:
            return StageResult(stage.name, attempt, result.notebook, traceback=ended.traceback)
        # In the executed notebook, papermill may have added cells.
        lines = read_notebook(folder.copy(stage.name)).cells[ended.cell].source.splitlines()
    except (WorkbenchError, IndexError):
        # The state of the stage and its message are in the log of the run.
        return result
    line = failing_line(ended.traceback)
    return StageResult(
        stage.name,
        attempt,
        result.notebook,
        cell=stage.cell_number(ended.cell),
        line=line if 0 < line <= len(lines) else 0,
        source=lines[line - 1] if 0 < line <= len(lines) else "",
        traceback=ended.traceback,
    )


def failing_line(traceback: str) -> int:
    """Line of the cell that failed: that of the innermost frame in it; 0 if IPython's traceback has none."""
    frames = [(int(number), int(line)) for number, line in _FRAME.findall(traceback)]
    # The outermost frame is in the cell that was running; functions may be defined in others.
    return next((line for number, line in reversed(frames) if number == frames[0][0]), 0)
