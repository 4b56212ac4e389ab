"""Recording of runs, metrics, parameters and models in the user's process, written only to the journal.

The import is fast and loads no data libraries; see `tests/capture/session/test_imports_of_a_kernel.py`.
"""

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
