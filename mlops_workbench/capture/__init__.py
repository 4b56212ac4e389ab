"""Recording of runs, metrics, parameters and models in the user's process, written only to the journal.

The import is fast and loads no data libraries; see `tests/capture/session/test_imports_of_a_kernel.py`. Public names
are imported on first use: before the first reply, the hooks of cells need only `kernel`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_workbench.capture.api import (
        current_experiment,
        log,
        log_artifact,
        log_dataset,
        log_figure,
        log_model,
        log_param,
        log_params,
        log_table,
        save_model_of_run,
        set_experiment,
        tag,
        track,
    )
    from mlops_workbench.capture.run.active import ActiveRun
    from mlops_workbench.capture.session.session import Session, current_session

__all__ = [
    "ActiveRun",
    "Session",
    "current_experiment",
    "current_session",
    "log",
    "log_artifact",
    "log_dataset",
    "log_figure",
    "log_model",
    "log_param",
    "log_params",
    "log_table",
    "save_model_of_run",
    "set_experiment",
    "tag",
    "track",
]

_MODULES = {
    "ActiveRun": "mlops_workbench.capture.run.active",
    **dict.fromkeys(("Session", "current_session"), "mlops_workbench.capture.session.session"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mlops_workbench.capture' has no attribute '{name}'")
    value = getattr(import_module(_MODULES.get(name, "mlops_workbench.capture.api")), name)
    globals()[name] = value
    return value
