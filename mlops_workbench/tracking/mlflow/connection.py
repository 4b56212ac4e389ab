"""Connection to MLflow: imported late, with the local database prepared once and short timeouts for servers."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.addresses import without_credentials
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.tags import RUN_UID, STORE
from mlops_workbench.tracking.mlflow.errors import translated
from mlops_workbench.tracking.mlflow.own_database import place_default_experiment, prepare_database

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlops_workbench.core.workspace import Workspace
    from mlops_workbench.tracking.mlflow.database import MlflowDatabase

#: Set before MLflow is imported, unless the user set them. With MLflow's defaults (7 tries of 120 seconds) a dead
#: server would be detected after minutes; the journal keeps what cannot be delivered.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class MlflowConnection:
    """A lazy MLflow client for one workspace; safe to share between threads."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.uri = workspace.tracking_uri
        self.shown = without_credentials(self.uri)
        self.local = not workspace.settings.tracking.uri
        self.remote = self.uri.startswith(("http://", "https://", "databricks"))
        self._lock = threading.Lock()

    @property
    def client(self) -> MlflowClient:
        """The MLflow client.

        Raises
        ------
        Unavailable
            The database is of another schema version or does not answer.
        StorageError
            The workspace's database cannot be created.
        """
        with self._lock:
            return self._client

    @property
    def database(self) -> MlflowDatabase | None:
        """The tracking database; None if it is behind a server, or its schema is unknown here."""
        if self.remote:
            return None
        with self._lock:
            return self._database

    @cached_property
    def _database(self) -> MlflowDatabase | None:
        client = self._client
        from mlops_workbench.tracking.mlflow.database import MlflowDatabase

        with translated(self.uri):
            return MlflowDatabase.of(client, RUN_UID)

    @cached_property
    def _client(self) -> MlflowClient:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import logging

        # MLflow announces each migration of a new database at INFO on stderr.
        logging.getLogger("mlflow.store.db").setLevel(logging.WARNING)
        # An unavailable server is reported once, by the status, and not with every attempt.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        from mlflow import MlflowClient

        if self.local:
            return self._first_use(MlflowClient)
        with translated(self.uri):
            return MlflowClient(self.uri, self.uri)

    def _first_use(self, kind: type[MlflowClient]) -> MlflowClient:
        self.workspace.prepare()
        database = self.workspace.state / "mlflow.db"
        with file_lock(self.workspace.run / "mlflow-first-use.lock"), translated(self.uri):
            prepare_database(database, self.workspace.artifacts.as_uri())
            client = kind(self.uri, self.uri)
            experiment = client.get_experiment("0")
            if STORE not in experiment.tags:
                client.set_experiment_tag("0", STORE, new_id())
            location = self.artifact_location("Default")
            if experiment.artifact_location != location:
                # MLflow puts the default experiment below the working folder of the first process.
                place_default_experiment(database, location)
        return client

    @contextlib.contextmanager
    def calls(self) -> Iterator[MlflowClient]:
        """The MLflow client, with its exceptions converted to workbench errors: see :func:`translated`."""
        client = self.client
        with translated(self.uri):
            yield client

    def store_id(self) -> str:
        """Identity of the workspace's own store; empty for any other."""
        if not self.local:
            return ""
        with self.calls() as client:
            return str(client.get_experiment("0").tags.get(STORE, ""))

    def artifact_location(self, experiment: str) -> str | None:
        """URI for an experiment's artifacts; None if the server chooses it."""
        if self.remote:
            return None
        from mlops_workbench.tracking.mapping.values import store_name

        folder = store_name(experiment).replace("/", "_").replace(":", "_").replace(" ", "_")
        return (self.workspace.artifacts / folder).as_uri()


def all_pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Results of all pages of a search of the MLflow client."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return
