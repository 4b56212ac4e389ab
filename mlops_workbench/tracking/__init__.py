"""Access to MLflow, the read index, and the ingest that feeds both from the journals.

Importing this package does not import MLflow, which takes seconds; the first call that needs it does. The
names below are loaded on first use, so that a kernel that only reads the index imports nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_workbench.tracking.index.read import LoggedModel, ReadIndex
    from mlops_workbench.tracking.ingest.ingest import Ingest
    from mlops_workbench.tracking.mlflow.store import TrackingStore

__all__ = ["Ingest", "LoggedModel", "ReadIndex", "TrackingStore"]

_HOMES = {
    "Ingest": "mlops_workbench.tracking.ingest.ingest",
    "LoggedModel": "mlops_workbench.tracking.index.read",
    "ReadIndex": "mlops_workbench.tracking.index.read",
    "TrackingStore": "mlops_workbench.tracking.mlflow.store",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlops_workbench.tracking' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
