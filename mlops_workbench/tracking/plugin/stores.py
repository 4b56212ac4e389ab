"""Entry points: the stores that MLflow opens for a URI ``mlops://``.

With ``mlflow.set_tracking_uri("mlops://")`` (or ``MLFLOW_TRACKING_URI=mlops://``) runs, metrics, parameters, tags
and data go to the workspace's journal and are read back from memory; all other calls go to the workspace's own
MLflow store. ``mlops:///path`` names a workspace, ``mlops://`` is that of the working folder.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from mlops_workbench.capture.session.session import Session, current_session
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.plugin.journal_registry import JournalRegistry
from mlops_workbench.tracking.plugin.journal_store import JournalStore

SCHEME = "mlops"

_lock = threading.Lock()
_stores: dict[Path, JournalStore] = {}


def workspace_of(uri: str) -> Workspace:
    """The workspace that a URI names: ``mlops:///folder``, or ``mlops://`` for that of the working folder.

    Raises
    ------
    MlflowException
        The URI has a host or names no existing folder, or the settings of the workspace are not valid.
    """
    parts = urlsplit(uri)
    folder = unquote(parts.path)
    try:
        if parts.scheme != SCHEME or parts.netloc:
            raise MlflowException(
                f"'{uri}' is not a workspace URI: write mlops:// for the working folder's, or mlops:///absolute/path",
                INVALID_PARAMETER_VALUE,
            )
        if not folder.strip("/"):
            return current_session().workspace
        if not Path(folder).is_dir():
            raise MlflowException(f"'{uri}' names a folder that does not exist", INVALID_PARAMETER_VALUE)
        return Workspace.open(Path(folder))
    except WorkbenchError as error:
        raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from error


def journal_store(uri: str) -> JournalStore:
    """The store of this process for the workspace of `uri`."""
    workspace = workspace_of(uri)
    with _lock:
        if workspace.root not in _stores:
            session = current_session()
            same = session.workspace.root == workspace.root
            _stores[workspace.root] = JournalStore(workspace, session if same else Session(workspace))
        return _stores[workspace.root]


def tracking_store(store_uri: str, artifact_uri: str | None = None, **_: Any) -> JournalStore:
    """MLflow's tracking store for `store_uri`."""
    return journal_store(store_uri)


def registry_store(store_uri: str, tracking_uri: str | None = None, **_: Any) -> JournalRegistry:
    """MLflow's model registry store for `store_uri`."""
    return JournalRegistry(journal_store(store_uri))
