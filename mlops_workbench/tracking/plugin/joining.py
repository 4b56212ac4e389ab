"""MLflow code inside a tracked cell: it logs to the run of that cell."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlops_workbench.core.tags import PARENT_RUN_ID, RUN_NAME, USER

if TYPE_CHECKING:
    from mlflow.entities import RunTag

#: Functions of MLflow that begin a run because there is none: ``log_metric`` without ``start_run``, ``evaluate``.
_STARTERS = {"_get_or_start_run", "_start_run_or_reuse_active_run"}
_AUTOLOGGING = "mlflow.autologging"
_DEPTH = 12

#: Tags that tell where a run comes from; a run that is joined has its own.
ORIGIN = (RUN_NAME, USER, "mlflow.source.")


def begun_unasked(tags: Iterable[RunTag]) -> bool:
    """Whether the run that MLflow is about to make was begun by MLflow itself and not by the user's code.

    That is what ``mlflow.log_metric`` outside of a run does, and autologging. MLflow says so in a tag only for
    the latter, so for the former the callers are looked at.
    """
    keys = {tag.key for tag in tags}
    if PARENT_RUN_ID in keys:
        return False
    if _AUTOLOGGING in keys:
        return True
    frame = sys._getframe(1)
    for _ in range(_DEPTH):
        if frame.f_code.co_name in _STARTERS and frame.f_globals.get("__name__", "").startswith("mlflow."):
            return True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return False


def pop_run(run_id: str, status: str) -> None:
    """Take a run that ends off MLflow's stack of active runs, with those that were begun within it."""
    fluent = sys.modules.get("mlflow.tracking.fluent")
    if fluent is None:
        return
    stack = fluent._active_run_stack.get()
    while any(run.info.run_id == run_id for run in stack):
        fluent.end_run(status)


def end_all() -> None:
    """End MLflow's active runs of this thread, as MLflow does at exit."""
    fluent = sys.modules.get("mlflow.tracking.fluent")
    if fluent is not None:
        while fluent._active_run_stack.get():
            fluent._safe_end_run()
