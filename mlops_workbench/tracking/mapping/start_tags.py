"""Tags that a run has in MLflow from its start, beside those that were given."""

from __future__ import annotations

from mlops_workbench.core.records import MLFLOW, RunStart
from mlops_workbench.core.tags import (
    CELL_ID,
    EXPERIMENT,
    KIND,
    NOTEBOOK,
    PARENT_UID,
    RUN_UID,
    SOURCE_NAME,
    SOURCE_TYPE,
    USER,
)
from mlops_workbench.tracking.mapping.values import as_text, clip

_LONGEST = 5000


def start_tags(uid: str, start: RunStart, user: str, experiment: str) -> dict[str, str]:
    """Tags of the workbench, and for a run that MLflow code did not start, MLflow's tags of its user and source."""
    tags = {
        RUN_UID: uid,
        KIND: start.kind,
        EXPERIMENT: experiment,
        PARENT_UID: start.parent_uid,
        NOTEBOOK: start.notebook,
        CELL_ID: start.cell_id,
        USER: start.tags.get(USER, ""),
    }
    if start.via != MLFLOW:
        tags |= {
            USER: tags[USER] or user,
            SOURCE_NAME: start.notebook,
            SOURCE_TYPE: "NOTEBOOK" if start.notebook else "LOCAL",
        }
    return {key: clip(as_text(value), _LONGEST) for key, value in tags.items() if value}
