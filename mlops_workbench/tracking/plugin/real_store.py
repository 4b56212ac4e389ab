"""The workspace's own MLflow store behind the plugin, and the delivery of runs to it."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.errors import Unavailable, WorkbenchError
from mlops_workbench.core.tags import PARENT_RUN_ID, visible_tags
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.delivery.log import DeliveredRun, DeliveryLog, delivery_log_path
from mlops_workbench.tracking.ingest.ingest import Ingest
from mlops_workbench.tracking.mlflow.store import TrackingStore

if TYPE_CHECKING:
    from mlflow.entities import Experiment, LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.tracking.abstract_store import AbstractStore

#: Seconds to wait for a delivery in all, and for a store that does not answer.
_TIMEOUT, _PATIENCE = 60.0, 5.0

_PROXIED = "mlflow-artifacts:"
_RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")


class RealStore:
    """The store to which runs are delivered; opened with the first call that needs it.

    Parameters
    ----------
    workspace : Workspace
        Its settings name the store.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.tracking = TrackingStore(workspace)
        self._delivering = threading.Lock()
        self._log: DeliveryLog | None = None
        self._log_lock = threading.Lock()
        # Uids that user code has, by the server's id of the run.
        self._uids: dict[str, str] = {}
        self._experiments: dict[str, Experiment] = {}

    @property
    def store(self) -> AbstractStore:
        """MLflow's store; use it inside :func:`as_mlflow_errors`."""
        store: AbstractStore = self.tracking.client._tracking_client.store
        return store

    @property
    def remote(self) -> bool:
        """Whether the store is a server."""
        return self.tracking.connection.remote

    def after_fork(self) -> None:
        """Replace locks and connections in a forked child."""
        self._delivering = threading.Lock()
        self._log_lock = threading.Lock()
        self._log = None

    # Delivery ---------------------------------------------------------------------------------------------------

    def deliver(self, run_uid: str | None = None) -> None:
        """Wait until everything journalled so far (of one run) is in the store.

        The process that runs the workspace's ingest delivers it; if there is none, this process does.

        Raises
        ------
        Unavailable
            The store does not answer, or not in time.
        """
        with self._delivering, Ingest(self.workspace, self.tracking) as ingest:
            ingest.drain(run_uid, _TIMEOUT, _PATIENCE)

    def try_to_deliver(self, run_uid: str) -> None:
        """As :meth:`deliver`, but without an error if the store does not answer."""
        with contextlib.suppress(Unavailable):
            self.deliver(run_uid)

    def delivered(self, uid: str) -> DeliveredRun | None:
        """The acknowledgement of a run, None if it was not delivered or is not a run of the workbench."""
        return self._delivery_log().run(uid)

    def note_restored(self, *, uid: str = "", experiment_id: str = "") -> None:
        """Note that a run, or those of an experiment, were restored and can be delivered to again."""
        self._delivery_log().resume(uid=uid, experiment_id=experiment_id)
        self.tracking.clear_experiments()

    def _delivery_log(self) -> DeliveryLog:
        with self._log_lock:
            if self._log is None:
                connection = self.tracking.connection
                path = delivery_log_path(self.workspace.journal, self.tracking.uri, local=connection.local)
                self._log = DeliveryLog(path)
            return self._log

    # Ids --------------------------------------------------------------------------------------------------------

    def run_id(self, run_id: str) -> str:
        """The store's id of a run, from either of its ids."""
        if not isinstance(run_id, str):
            return run_id
        found = self._delivery_log().run_id(run_id)
        if found is None or found == run_id:
            return run_id
        self._uids[found] = run_id
        return found

    def uid(self, run_id: str) -> str:
        """The id of a run in this process, from the store's id."""
        return self._uids.get(run_id, run_id)

    def with_store_ids(self, filter_string: str | None) -> str | None:
        """A search filter with the run ids of this process replaced by the store's."""
        if not filter_string or not self.remote:
            return filter_string
        return _RUN_ID.sub(lambda found: self.run_id(found[0]), filter_string)

    def experiment(self, experiment_id: str) -> Experiment:
        """An experiment, from a cache while a server does not answer."""
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

    # Results ----------------------------------------------------------------------------------------------------

    def shown(self, found: Any) -> Any:
        """A result of the store as MLflow code sees it: see the methods for single entities."""
        from mlflow.entities import Experiment, LoggedModel, Run
        from mlflow.entities.model_registry import ModelVersion, RegisteredModel

        if isinstance(found, list):
            # In place, since a page of results has a token.
            found[:] = [self.shown(item) for item in found]
        elif isinstance(found, Run):
            return self.shown_run(found)
        elif isinstance(found, LoggedModel):
            return self.shown_model(found)
        elif isinstance(found, ModelVersion):
            return self._shown_version(found)
        elif isinstance(found, Experiment | RegisteredModel):
            found._tags = visible_tags(found._tags)
            if isinstance(found, RegisteredModel):
                self.shown(found.latest_versions)
        return found

    def shown_run(self, run: Run) -> Run:
        """A run without the workbench's tags, with its id in this process and a resolved artifact URI."""
        run.info._run_id = self.uid(run.info.run_id)
        run.info._artifact_uri = self.resolved(run.info.artifact_uri)
        run.data._tags = visible_tags(run.data.tags)
        parent = run.data.tags.get(PARENT_RUN_ID)
        if parent in self._uids:
            run.data._tags[PARENT_RUN_ID] = self._uids[parent]
        return run

    def _shown_version(self, version: ModelVersion) -> ModelVersion:
        version._tags = visible_tags(version.tags)
        if version.run_id:
            version._run_id = self.uid(version.run_id)
        return version

    def shown_model(self, model: LoggedModel) -> LoggedModel:
        """A logged model, as :meth:`shown_run`."""
        model._tags = visible_tags(model.tags)
        if model.source_run_id:
            model._source_run_id = self.uid(model.source_run_id)
        model._artifact_location = self.resolved(model.artifact_location)
        for metric in model.metrics or []:
            metric._run_id = self.uid(metric.run_id)
        return model

    def resolved(self, uri: str | None) -> str:
        """An artifact URI that does not depend on the tracking URI, which is not the server's in this process."""
        if not self.remote or not uri or not uri.startswith(_PROXIED):
            return uri or ""
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

        return str(MlflowArtifactsRepository.resolve_uri(uri, self.tracking.uri))

    def artifact_location(self, experiment: Experiment, uid: str) -> str | Callable[[], str]:
        """Root of the artifacts of a run that may not be delivered yet.

        A server chooses the run's id and so the location: the result is then a function, which delivers the run and
        requests the location.
        """
        if self.tracking.connection.database is not None:
            from mlflow.utils.uri import append_to_uri_path

            return str(append_to_uri_path(experiment.artifact_location, uid, "artifacts"))
        return partial(self._location_on_server, uid)

    def _location_on_server(self, uid: str) -> str:
        self.deliver(uid)
        return self.resolved(self.store.get_run(self.run_id(uid)).info.artifact_uri)

    @cached_property
    def registry(self) -> Any:
        """MLflow's model registry store of the same MLflow."""
        return self.tracking.client._get_registry_client().store


@contextlib.contextmanager
def as_mlflow_errors() -> Iterator[None]:
    """Convert the workbench's errors to MLflow's, which MLflow code expects."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, TEMPORARILY_UNAVAILABLE

    try:
        yield
    except Unavailable as error:
        raise MlflowException(str(error), TEMPORARILY_UNAVAILABLE) from error
    except WorkbenchError as error:
        raise MlflowException(str(error), INTERNAL_ERROR) from error
