"""The kernel side: runs, metrics, parameters, models, written to the journal and nowhere else.

Importing this costs little and imports no library of the user's field; see `tests/capture/test_imports.py`.
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
