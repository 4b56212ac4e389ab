"""Tags of runs and models in MLflow."""

from __future__ import annotations

#: Tags that tie what is in MLflow to what is in the journal.
RUN_UID = "mlops.run_uid"

MODEL_UID = "mlops.model_uid"

#: Tag of MLflow with the run id of the parent.
PARENT = "mlflow.parentRunId"

#: Tag of experiment 0 of a workspace's own store: tells it from a later one in the same place.
STORE_TAG = "mlops.store"


def shown_tags(tags: dict[str, str]) -> dict[str, str]:
    """Tags of a run that MLflow has as they are shown: without those that MLflow and the workbench set themselves."""
    shown = {key: value for key, value in tags.items() if not key.startswith(("mlflow.", "mlops."))}
    if note := tags.get("mlflow.note.content"):
        shown.setdefault("note", note)
    return shown
