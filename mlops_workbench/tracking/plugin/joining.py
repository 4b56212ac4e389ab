"""MLflow code inside a tracked cell, which logs to the run of that cell."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlops_workbench.core.tags import PARENT_RUN_ID, RUN_NAME, USER

if TYPE_CHECKING:
    from mlflow.entities import RunTag

#: Functions of MLflow that start a run if there is none: ``log_metric`` without ``start_run``, ``evaluate``.
_STARTERS = {"_get_or_start_run", "_start_run_or_reuse_active_run"}
_AUTOLOGGING = "mlflow.autologging"
_DEPTH = 12

#: Tags of the origin of a run; a joined run has its own.
ORIGIN = (RUN_NAME, USER, "mlflow.source.")


def is_implicit_run(tags: Iterable[RunTag]) -> bool:
    """Whether MLflow itself, and not the user's code, starts the run that is being created.

    ``mlflow.log_metric`` outside of a run does so, and autologging. Only the latter sets a tag, so the call stack is
    searched for the former.
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
    """Remove a run from MLflow's stack of active runs, with the runs nested in it."""
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
