"""The port to MLflow, the read index, and the ingest that feeds both from the journals.

Importing this package does not import MLflow, which takes seconds; the first call that needs it does.
"""

from __future__ import annotations

from mlops_workbench.tracking.index import LoggedModel, ReadIndex
from mlops_workbench.tracking.ingest import Ingest
from mlops_workbench.tracking.mlflow_store import TrackingStore

__all__ = ["Ingest", "LoggedModel", "ReadIndex", "TrackingStore"]
