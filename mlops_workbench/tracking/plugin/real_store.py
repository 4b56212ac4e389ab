"""The workspace's own MLflow store behind the plugin, and what must be delivered to it first."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import Unavailable, WorkbenchError
from mlops_workbench.core.tags import PARENT_RUN_ID
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.delivery.log import DeliveredRun, DeliveryLog, delivery_log_path
from mlops_workbench.tracking.ingest.ingest import Ingest
from mlops_workbench.tracking.mlflow.store import TrackingStore

if TYPE_CHECKING:
    from mlflow.entities import Experiment, LoggedModel, Run
    from mlflow.store.tracking.abstract_store import AbstractStore

#: Seconds to wait for a delivery in all, and for a store that does not answer.
_TIMEOUT, _PATIENCE = 60.0, 5.0

_PROXIED = "mlflow-artifacts:"
_RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")


class RealStore:
    """Where runs end up, seen from MLflow code in the same process.

    Nothing is opened before the first call that needs it.

    Parameters
    ----------
    workspace : Workspace
        Names the store.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.tracking = TrackingStore(workspace)
        self._delivering = threading.Lock()
        self._log: DeliveryLog | None = None
        self._log_lock = threading.Lock()
        # Ids of a server for runs whose own id the user was given.
        self._uids: dict[str, str] = {}
        self._experiments: dict[str, Experiment] = {}

    @property
    def store(self) -> AbstractStore:
        """MLflow's store; use it inside :func:`told_to_mlflow`."""
        store: AbstractStore = self.tracking.client._tracking_client.store
        return store

    @property
    def remote(self) -> bool:
        """Whether a server stands before the store."""
        return self.tracking.connection.remote

    def after_fork(self) -> None:
        """In a forked child: locks and connections of the parent are not ours."""
        self._delivering = threading.Lock()
        self._log_lock = threading.Lock()
        self._log = None

    # Delivery ---------------------------------------------------------------------------------------------------

    def deliver(self, run_uid: str | None = None) -> None:
        """Wait until what was journalled so far (of one run) is in the store.

        Whoever runs the workspace's ingest does the work; when nobody does, this process does it now.

        Raises
        ------
        Unavailable
            The store does not answer, or not in time.
        """
        with self._delivering, Ingest(self.workspace, self.tracking) as ingest:
            ingest.drain(run_uid, _TIMEOUT, _PATIENCE)

    def try_to_deliver(self, run_uid: str) -> None:
        """As :meth:`deliver`, but a store that is away is no error here."""
        with contextlib.suppress(Unavailable):
            self.deliver(run_uid)

    def delivered(self, uid: str) -> DeliveredRun | None:
        """What was acknowledged of a run, None when it was not delivered (or is none of the workbench's)."""
        return self._delivery_log().run(uid)

    def restored(self, *, uid: str = "", experiment_id: str = "") -> None:
        """A run, or those of an experiment, can be delivered to again."""
        self._delivery_log().take_up(uid=uid, experiment_id=experiment_id)
        self.tracking.forget_experiments()

    def _delivery_log(self) -> DeliveryLog:
        with self._log_lock:
            if self._log is None:
                connection = self.tracking.connection
                path = delivery_log_path(self.workspace.journal, self.tracking.uri, local=connection.local)
                self._log = DeliveryLog(path)
            return self._log

    # Ids --------------------------------------------------------------------------------------------------------

    def run_id(self, run_id: str) -> str:
        """The store's id of a run, whichever of its ids is given."""
        if not isinstance(run_id, str):
            return run_id
        found = self._delivery_log().run_id(run_id)
        if found is None or found == run_id:
            return run_id
        self._uids[found] = run_id
        return found

    def uid(self, run_id: str) -> str:
        """The id under which this process's code knows a run."""
        return self._uids.get(run_id, run_id)

    def in_store_words(self, filter_string: str) -> str:
        """A search filter with the store's ids in the place of those that this process knows."""
        return filter_string if not self.remote else _RUN_ID.sub(lambda found: self.run_id(found[0]), filter_string)

    def experiment(self, experiment_id: str) -> Experiment:
        """An experiment; what is known of it serves while a server is away."""
        try:
            found = self.store.get_experiment(experiment_id)
        except Exception:
            if not self.remote or experiment_id not in self._experiments or self._answers():
                raise
            return self._experiments[experiment_id]
        self._experiments[experiment_id] = found
        return found

    def _answers(self) -> bool:
        try:
            self.tracking.ping()
        except Unavailable:
            return False
        return True

    # What is given back -----------------------------------------------------------------------------------------

    def shown_run(self, run: Run) -> Run:
        """A run of the store with the id that this process knows, and artifacts that can be reached."""
        run.info._run_id = self.uid(run.info.run_id)
        run.info._artifact_uri = self.reachable(run.info.artifact_uri)
        parent = run.data.tags.get(PARENT_RUN_ID)
        if parent in self._uids:
            run.data._tags[PARENT_RUN_ID] = self._uids[parent]
        return run

    def shown_model(self, model: LoggedModel) -> LoggedModel:
        """A logged model of the store, likewise."""
        if model.source_run_id:
            model._source_run_id = self.uid(model.source_run_id)
        model._artifact_location = self.reachable(model.artifact_location)
        for metric in model.metrics or []:
            metric._run_id = self.uid(metric.run_id)
        return model

    def reachable(self, uri: str | None) -> str:
        """The place of artifacts without the help of a tracking URI, which is ours and not the server's."""
        if not self.remote or not uri or not uri.startswith(_PROXIED):
            return uri or ""
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

        return str(MlflowArtifactsRepository.resolve_uri(uri, self.tracking.uri))

    def artifact_location(self, experiment: Experiment, uid: str) -> str | Callable[[], str]:
        """Root of the artifacts of a run, before the store has heard of it.

        A server chooses the run's id and so the place: there it is asked, and the run delivered, when somebody
        wants to know.
        """
        if self.tracking.connection.database is not None:
            from mlflow.utils.uri import append_to_uri_path

            return str(append_to_uri_path(experiment.artifact_location, uid, "artifacts"))
        return partial(self._place_on_server, uid)

    def _place_on_server(self, uid: str) -> str:
        self.deliver(uid)
        return self.reachable(self.store.get_run(self.run_id(uid)).info.artifact_uri)

    @cached_property
    def registry(self) -> Any:
        """MLflow's model registry store of the same MLflow."""
        return self.tracking.client._get_registry_client().store


@contextlib.contextmanager
def told_to_mlflow() -> Iterator[None]:
    """Turn the workbench's errors into MLflow's, which MLflow code expects."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, TEMPORARILY_UNAVAILABLE

    try:
        yield
    except Unavailable as error:
        raise MlflowException(str(error), TEMPORARILY_UNAVAILABLE) from error
    except WorkbenchError as error:
        raise MlflowException(str(error), INTERNAL_ERROR) from error
