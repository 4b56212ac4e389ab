"""The port to MLflow, the read index, and the ingest that feeds both from the journals.

Importing this package does not import MLflow, which takes seconds; the first call that needs it does. The
names below are loaded on first use: a kernel that only looks into the index pays for nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_workbench.tracking.index import LoggedModel, ReadIndex
    from mlops_workbench.tracking.ingest import Ingest
    from mlops_workbench.tracking.mlflow_store import TrackingStore

__all__ = ["Ingest", "LoggedModel", "ReadIndex", "TrackingStore"]

_HOMES = {
    "Ingest": "mlops_workbench.tracking.ingest",
    "LoggedModel": "mlops_workbench.tracking.index",
    "ReadIndex": "mlops_workbench.tracking.index",
    "TrackingStore": "mlops_workbench.tracking.mlflow_store",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlops_workbench.tracking' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
