"""The result of an attempt at a stage, from what became of its notebook; pure but for a look at its outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.shown.plain_text import without_sequences
from mlops_workbench.pipelines.cells.reasons import reason, shortened
from mlops_workbench.pipelines.definition.nouns import Cause
from mlops_workbench.pipelines.runs.events import AttemptEnded
from mlops_workbench.pipelines.runs.requests import StageRequest

if TYPE_CHECKING:
    from mlops_workbench.pipelines.cells.record import CellFailure, ExecutionRecord

_LONGEST_TRACEBACK = 64 * 1024


def ended_as(stage: StageRequest, record: ExecutionRecord) -> AttemptEnded:
    """The result of an attempt whose notebook was executed."""
    if record.failure is not None:
        return _failed_cell(stage, record.failure)
    missing = [f"'{name}' ({file.path})" for name, file in stage.outputs.items() if not Path(file.path).exists()]
    left = ""
    if record.left_at is not None:
        cell, how = record.left_at
        left = f"the notebook ended itself in cell {stage.cell_number(cell)} with {how}"
    if missing:
        message = f"{stage.notebook} did not write its output {' and '.join(missing)}{f'; {left}' if left else ''}"
        return AttemptEnded(now_ms(), "failed", message, message, cause="missing_output")
    return AttemptEnded(now_ms(), "succeeded", left)


def failed(
    stage: StageRequest,
    error: Exception,
    cause: Cause,
    traceback: str = "",
    mask: Callable[[str], str] = str,
) -> AttemptEnded:
    """The result of an attempt that failed outside of a cell; `mask` replaces secrets, also those that are cut."""
    if isinstance(error, WorkbenchError):
        what = " ".join(filter(None, (error.message, error.hint and f"({error.hint})")))
    else:
        what = reason(type(error).__name__, mask(str(error)))
    message = shortened(" ".join(without_sequences(mask(what)).split()))
    return AttemptEnded(now_ms(), "failed", f"{stage.notebook}: {message}", message, traceback, cause=cause)


def _failed_cell(stage: StageRequest, failure: CellFailure) -> AttemptEnded:
    if failure.cause == "timeout" and stage.timeout:
        what = f"the stage took longer than its timeout of {stage.timeout:g} s"
    elif failure.cause in ("kernel_died", "timeout"):
        what = failure.value
    else:
        what = reason(failure.name, failure.value)
    return AttemptEnded(
        now_ms(),
        "failed",
        f"{stage.notebook}, cell {stage.cell_number(failure.cell)}: {what}",
        what,
        shortened(without_sequences("\n".join(failure.traceback)), _LONGEST_TRACEBACK),
        "error" if failure.cause == "stopped" else failure.cause,
        failure.cell,
    )
