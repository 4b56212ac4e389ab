"""Connection to MLflow: imported late, with the local database prepared once and short timeouts for servers."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.addresses import without_credentials
from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.ids import new_id
from mlops_workbench.core.tags import RUN_UID, STORE
from mlops_workbench.tracking.mlflow.errors import translated
from mlops_workbench.tracking.sqlite import keep_database

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

#: Columns of MLflow's tables that hold absolute places of artifacts.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
#: What ends the folder of a workspace's artifacts in them.
_MARK = "/.mlops/artifacts/"


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
        # MLflow creates its tables without a lock: migrations of two processes would conflict.
        self.workspace.prepare()
        database = self.workspace.state / "mlflow.db"
        with file_lock(self.workspace.run / "mlflow-first-use.lock"), translated(self.uri):
            _set_wal(database)
            if _migrate(database, self.uri):
                _follow_move(database, self.workspace.artifacts.as_uri())
            client = kind(self.uri, self.uri)
            experiment = client.get_experiment("0")
            if STORE not in experiment.tags:
                client.set_experiment_tag("0", STORE, new_id())
            location = self.artifact_location("Default")
            if experiment.artifact_location != location:
                # MLflow puts the default experiment below the working folder of the first process.
                _place_default_experiment(database, location)
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


def _set_wal(database: Path) -> None:
    try:
        with sqlite3.connect(database, timeout=20) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
    except sqlite3.Error as error:
        raise StorageError(
            f"cannot open the tracking database: {error}",
            where=str(database),
            hint="check that the workspace is writable, or set tracking.uri to an MLflow server",
        ) from error


def _migrate(database: Path, uri: str) -> bool:
    """Bring the workspace's own database to the schema of the installed MLflow, and keep a copy of the old one.

    MLflow alone migrates it without a copy when the new schema has more tables, and refuses it otherwise.

    Returns
    -------
    bool
        Whether it has that schema: not when it is new, or of a later MLflow, which MLflow itself refuses.
    """
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(uri)
    try:
        found = utils._get_schema_version(engine)
        scripts = ScriptDirectory.from_config(utils._get_alembic_config(uri))
        if found is None or found not in {script.revision for script in scripts.walk_revisions()}:
            return False
        if found != scripts.get_current_head():
            keep_database(database, found)
            utils._upgrade_db(engine)
        return True
    finally:
        engine.dispose()


def _follow_move(database: Path, artifacts: str) -> None:
    """Correct the absolute places of artifacts after the workspace's folder was moved or copied."""
    with contextlib.closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        for table, column in _PLACES:
            marked = f"instr({column}, '{_MARK}')"
            connection.execute(
                f"UPDATE {table} SET {column} = :now || substr({column}, {marked} + {len(_MARK) - 1}) "
                f"WHERE {column} LIKE 'file:%' AND {marked} > 0 "
                f"AND substr({column}, 1, {marked} + {len(_MARK) - 2}) <> :now",
                {"now": artifacts},
            )


def _place_default_experiment(database: Path, location: str | None) -> None:
    connection = sqlite3.connect(database, timeout=20)
    with connection:
        connection.execute("UPDATE experiments SET artifact_location=? WHERE experiment_id=0", (location,))
    connection.close()
