"""An MLflow database that is written to directly.

MLflow's API chooses the id of every run, and takes some thirty microseconds of Python and several commits for a
metric. If this process opens the database itself, and its schema revision is known here, a run is inserted through
MLflow's own classes with *our* id, as ``mlflow migrate-filestore`` does. Any other store or revision is written to
through :class:`mlflow.MlflowClient` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_workbench.tracking.mlflow.new_run import new_run, run_id_of
from mlops_workbench.tracking.mlflow.transaction import SqliteWriter

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

#: Schema revisions whose tables ``experiments runs tags params metrics latest_metrics`` are supported.
#: MLflow 3.17: ``dc11669786a5``.
KNOWN_REVISIONS = frozenset({"dc11669786a5"})


class MlflowDatabase:
    """Tables of a tracking database of a known revision.

    Parameters
    ----------
    store : SqlAlchemyStore
        MLflow's store of that database.
    uid_tag : str
        Tag with the uid of runs whose id MLflow chose.
    """

    def __init__(self, store: SqlAlchemyStore, uid_tag: str) -> None:
        self.store = store
        self._uid_tag = uid_tag
        self._other_ids: dict[str, str] | None = None
        file = store.engine.url.database if store.engine.dialect.name == "sqlite" else None
        #: Writes many rows at once; None for other databases than a file of SQLite.
        self.writer = SqliteWriter(Path(file), KNOWN_REVISIONS, uid_tag) if file and file != ":memory:" else None

    @classmethod
    def of(cls, client: MlflowClient, uid_tag: str) -> MlflowDatabase | None:
        """The database of `client`; None for a server, and for an unknown schema."""
        from mlflow.store.db.utils import _get_schema_version
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = client._tracking_client.store
        # A subclass (MLflow's workspaces) has other columns and rules.
        if type(store) is not SqlAlchemyStore or _get_schema_version(store.engine) not in KNOWN_REVISIONS:
            return None
        return cls(store, uid_tag)

    def find_run(self, uid: str) -> str | None:
        """MLflow's id of the run with this uid, deleted ones included."""
        from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag

        with self.store.ManagedSessionMaker() as session:
            if session.get(SqlRun, run_id_of(uid)) is not None:
                return run_id_of(uid)
            if self._other_ids is None:
                # Runs of earlier versions, and those delivered while the schema was unknown. Read once, since the
                # table has no index for the value of a tag.
                rows = session.query(SqlTag.value, SqlTag.run_uuid).filter(
                    SqlTag.key == self._uid_tag, SqlTag.value != SqlTag.run_uuid
                )
                self._other_ids = {str(value): str(run_id) for value, run_id in rows}
        return self._other_ids.get(uid)

    def create_run(self, uid: str, experiment_id: str, name: str, start_ms: int, tags: Mapping[str, str]) -> str:
        """Insert a run unless it exists. Return MLflow's id, which is derived from the uid.

        Raises
        ------
        MlflowException
            Its experiment is deleted.
        """
        from mlflow.entities import LifecycleStage
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
        from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun, SqlTag

        run_id = run_id_of(uid)
        with self.store.ManagedSessionMaker(read_only=False) as session:
            if session.get(SqlRun, run_id) is not None:
                return run_id
            experiment: Any = session.get(SqlExperiment, int(experiment_id))
            if experiment is None or experiment.lifecycle_stage != LifecycleStage.ACTIVE:
                raise MlflowException(f"experiment {experiment_id} is deleted", INVALID_PARAMETER_VALUE)
            columns, all_tags = new_run(run_id, experiment_id, experiment.artifact_location, name, start_ms, tags)
            run = SqlRun(**columns)
            run.tags = [SqlTag(key=key, value=value) for key, value in all_tags.items()]
            session.add(run)
        return run_id
