"""Model folders of fitted objects, saved as a kernel and the delivery save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops_workbench.capture.run.models import save_model
from mlops_workbench.core.records import Model, Record
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.reference import sample_fit_data
from mlops_workbench.tracking.mlflow.model_folder import write_model_folder


class StoringRecorder:
    """Stores blobs in a workspace, and keeps the records."""

    experiment = "default"

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.records: list[Record] = []

    def write(self, record: Record, sync: bool = False) -> None:
        self.records.append(record)

    def store(self, run_uid: str, data: bytes | Path, *, again: bool = False, wait: bool = True) -> str | None:
        return self.workspace.blobs.put_bytes(data) if isinstance(data, bytes) else self.workspace.blobs.put_file(data)


def save_fitted(workspace: Workspace, folder: Path, model: Any, X: Any, y: Any = None) -> Model:
    """Save a fitted model and its training data into a model folder; returns the record."""
    recorder = StoringRecorder(workspace)
    assert save_model(recorder, "r", model, "model", sample_fit_data(X, y))  # type: ignore[arg-type]
    (record,) = recorder.records
    assert isinstance(record, Model)
    write_model_folder(folder, record, workspace.blobs, run_id="r", model_id="m", location=folder.as_uri())
    return record
