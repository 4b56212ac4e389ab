"""Access to MLflow's tracking store; calls are safe to repeat."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.core.errors import NotFound
from mlops_workbench.core.records import Dataset, ModelMetrics
from mlops_workbench.core.runs import MetricPoint
from mlops_workbench.core.tags import MODEL_UID, RUN_UID
from mlops_workbench.tracking.mapping.datasets import dataset_fields, dataset_tags
from mlops_workbench.tracking.mapping.metric_rows import MetricRow
from mlops_workbench.tracking.mapping.values import indexed_value, metric_for_store, safe_path, step_for_store
from mlops_workbench.tracking.mlflow.connection import MlflowConnection
from mlops_workbench.tracking.mlflow.errors import translated

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from mlops_workbench.core.workspace import Workspace
    from mlops_workbench.tracking.mlflow.registry import RegistryStore
    from mlops_workbench.tracking.mlflow.transaction import SqliteTransaction

#: Limits of MLflow for one call.
METRICS_PER_CALL = 1000
PARAMS_PER_CALL = 100
TAGS_PER_CALL = 100


class TrackingStore:
    """Runs, artifacts and logged models in MLflow.

    MLflow is imported, and a local database created, with the first call that needs it.

    Parameters
    ----------
    workspace : Workspace
        Its settings have the tracking URI: SQLite in the workspace, or any MLflow server or database.

    Raises
    ------
    Unavailable
        By every method: the store does not answer, or has another schema version.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.connection = MlflowConnection(workspace)
        self._experiments: dict[str, str] = {}
        self._experiments_lock = threading.Lock()
        self._local = threading.local()
        #: Called with the id of an experiment that was restored, and its runs with it.
        self.on_restore: Callable[[str], None] | None = None

    @property
    def uri(self) -> str:
        """MLflow tracking URI from the settings."""
        return self.connection.uri

    @property
    def shown_uri(self) -> str:
        """Tracking URI without credentials."""
        return self.connection.shown

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client, for calls that this class does not offer."""
        return self.connection.client

    def has_transactions(self) -> bool:
        """Whether :meth:`transaction` is supported: the store is an SQLite file of a known schema."""
        database = self.connection.database
        return database is not None and database.writer is not None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction of the runs, parameters, metrics, tags and ends that this thread writes inside.

        Files, models, data sets and experiments must not be written inside: MLflow itself writes those, and would
        wait for the end of the transaction.
        """
        database = self.connection.database
        if database is None or database.writer is None:
            raise AssertionError("no transactions with this store")
        with database.writer.transaction() as opened:
            self._local.transaction = opened
            try:
                yield
            finally:
                self._local.transaction = None

    @property
    def _open(self) -> SqliteTransaction | None:
        """The open transaction of this thread."""
        return getattr(self._local, "transaction", None)

    @cached_property
    def registry(self) -> RegistryStore:
        """Registered models in the same MLflow."""
        from mlops_workbench.tracking.mlflow.registry import RegistryStore

        return RegistryStore(self.connection)

    def store_id(self) -> str:
        """Identity of the workspace's own database, empty for others; a new database has another one."""
        return self.connection.store_id()

    def ping(self) -> None:
        """Raise :class:`Unavailable` unless the store answers."""
        with self.connection.calls() as client:
            client.search_experiments(max_results=1)

    def experiment_id(self, name: str) -> str:
        """MLflow's id of an experiment, which is created if missing and restored if deleted."""
        with self._experiments_lock:
            if name not in self._experiments:
                self._experiments[name] = self._find_or_create_experiment(name)
            return self._experiments[name]

    def _find_or_create_experiment(self, name: str) -> str:
        with self.connection.calls() as client:
            found = client.get_experiment_by_name(name)
            if found is None:
                return str(client.create_experiment(name, artifact_location=self.connection.artifact_location(name)))
            if found.lifecycle_stage != "active":
                client.restore_experiment(found.experiment_id)
                if self.on_restore is not None:
                    self.on_restore(str(found.experiment_id))
            return str(found.experiment_id)

    def clear_experiments(self) -> None:
        """Clear the cache of experiment ids, after one was refused."""
        with self._experiments_lock:
            self._experiments.clear()

    def find_run(self, experiment_id: str, run_uid: str) -> str | None:
        """MLflow's id of the run with this uid, None if there is none."""
        if self._open:
            return self._open.find_run(run_uid)
        database = self.connection.database
        if database is not None:
            with translated(self.uri):
                return database.find_run(run_uid)
        from mlflow.entities import ViewType

        with self.connection.calls() as client:
            found = client.search_runs(
                [experiment_id],
                filter_string=f"tags.`{RUN_UID}` = '{_quoted(run_uid)}'",
                run_view_type=ViewType.ALL,
                order_by=["attributes.start_time ASC"],
                max_results=1,
            )
        return str(found[0].info.run_id) if found else None

    def create_run(self, uid: str, experiment_id: str, name: str, start_ms: int, tags: Mapping[str, str]) -> str:
        """Create a run and return MLflow's id, which is derived from the uid unless a server chooses it.

        With a server this is the only call that must not be repeated blindly.
        """
        if self._open:
            return self._open.create_run(uid, experiment_id, name, max(start_ms, 1), tags)
        database = self.connection.database
        if database is not None:
            with translated(self.uri):
                return database.create_run(uid, experiment_id, name, max(start_ms, 1), tags)
        with self.connection.calls() as client:
            run = client.create_run(experiment_id, start_time=max(start_ms, 1), tags=dict(tags), run_name=name or None)
        return str(run.info.run_id)

    def run_is_open(self, run_id: str) -> bool:
        """Whether the run exists and is not deleted."""
        if self._open:
            return self._open.run_is_open(run_id)
        # First: that the store cannot be opened does not mean that the run is missing.
        client = self.connection.client
        try:
            with translated(self.connection.uri):
                return bool(client.get_run(run_id).info.lifecycle_stage == "active")
        except NotFound:
            return False

    def run_params(self, run_id: str) -> dict[str, str]:
        """Parameters of a run in MLflow."""
        if self._open:
            return self._open.run_params(run_id)
        with self.connection.calls() as client:
            return dict(client.get_run(run_id).data.params)

    def run_tags(self, run_id: str) -> dict[str, str]:
        """Tags of a run in MLflow."""
        if self._open:
            return self._open.run_tags(run_id)
        with self.connection.calls() as client:
            return dict(client.get_run(run_id).data.tags)

    def log_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Write at most 100 parameters; the whole call fails if one has another value already."""
        if self._open:
            return self._open.log_params(run_id, params)
        from mlflow.entities import Param

        with self.connection.calls() as client:
            client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()], synchronous=True)

    def log_metrics(self, run_id: str, rows: Sequence[MetricRow], model_id: str | None = None) -> None:
        """Write at most 1000 metric values, also for a logged model; rows that exist are not written again."""
        if self._open and model_id is None:
            return self._open.log_metrics(run_id, rows)
        from mlflow.entities import Metric

        metrics = [
            Metric(row.key, row.value, row.at_ms, row.step, model_id=model_id, run_id=run_id if model_id else None)
            for row in rows
        ]
        with self.connection.calls() as client:
            client.log_batch(run_id, metrics=metrics, synchronous=True)

    def log_model_metrics(self, run_id: str, records: Sequence[ModelMetrics]) -> None:
        """Write metrics that MLflow code logged for models; the run's own metrics are not written again."""
        from mlflow.entities import Metric

        metrics = [
            Metric(
                name, metric_for_store(value)[0], record.at_ms, step_for_store(record.step), record.model_id,
                record.dataset_name or None, record.dataset_digest or None, run_id,
            )
            for record in records
            for name, value in record.values.items()
        ]  # fmt: skip
        with self.connection.calls() as client:
            client.log_batch(run_id, metrics=metrics, synchronous=True)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set at most 100 tags; the last value wins."""
        if self._open:
            return self._open.set_tags(run_id, tags)
        from mlflow.entities import RunTag

        with self.connection.calls() as client:
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()], synchronous=True)

    def log_file(self, run_id: str, source: Path, path: str) -> None:
        """Put a file under a run as `path`; a file of that name is replaced."""
        import shutil

        folder, _, name = safe_path(path).rpartition("/")
        with tempfile.TemporaryDirectory(prefix="mlops-artifact-") as staging, self.connection.calls() as client:
            # A copy, since MLflow uses the name of the file, and would copy a blob's read-only mode too.
            copy = Path(staging) / name
            shutil.copyfile(source, copy)
            client.log_artifact(run_id, str(copy), folder or None)

    def log_text(self, run_id: str, text: str, path: str) -> None:
        """Put a text file under a run."""
        with self.connection.calls() as client:
            client.log_text(run_id, text.encode("utf-8", "replace").decode(), safe_path(path))

    def log_datasets(self, run_id: str, datasets: Sequence[Dataset]) -> None:
        """Log data as inputs of a run."""
        from mlflow.entities import Dataset as StoreDataset
        from mlflow.entities import DatasetInput, InputTag

        inputs = [
            DatasetInput(StoreDataset(**dataset_fields(data)), [InputTag(*tag) for tag in dataset_tags(data).items()])
            for data in datasets
        ]
        with self.connection.calls() as client:
            client.log_inputs(run_id, datasets=inputs)

    def end_run(self, run_id: str, status: str, end_ms: int) -> None:
        """Set status and end time of a run."""
        if self._open:
            return self._open.end_run(run_id, status, end_ms)
        with self.connection.calls() as client:
            client.set_terminated(run_id, status=status, end_time=end_ms)

    def reopen_run(self, run_id: str) -> None:
        """Set a run that was ended as dead to RUNNING again."""
        if self._open:
            return self._open.reopen_run(run_id)
        with self.connection.calls() as client:
            client.update_run(run_id, status="RUNNING")

    def latest_metrics(self, run_id: str) -> list[MetricRow]:
        """Last value of each metric of a run, with its time and step."""
        with self.connection.calls() as client:
            message = client.get_run(run_id).to_proto()
        return [MetricRow(m.key, m.value, m.timestamp, m.step) for m in message.data.metrics]

    # Logged models ---------------------------------------------------------------------------------------------

    def find_model(self, experiment_id: str, model_uid: str) -> str | None:
        """MLflow's id of the logged model with this uid, None if there is none."""
        with self.connection.calls() as client:
            found = client.search_logged_models(
                [experiment_id], filter_string=f"tags.`{MODEL_UID}` = '{_quoted(model_uid)}'", max_results=1
            )
        return str(found[0].model_id) if found else None

    def create_model(
        self, experiment_id: str, name: str, run_id: str, tags: Mapping[str, str], params: Mapping[str, str]
    ) -> str:
        """Create a logged model, pending until :meth:`finish_model`."""
        with self.connection.calls() as client:
            model = client.create_logged_model(
                experiment_id, name=name, source_run_id=run_id, tags=dict(tags), params=dict(params), model_type=""
            )
        return str(model.model_id)

    def model_location(self, model_id: str) -> str:
        """URI of a logged model's files."""
        with self.connection.calls() as client:
            return str(client.get_logged_model(model_id).artifact_location)

    def finish_model(self, model_id: str, run_id: str, folder: Path) -> None:
        """Upload the model folder, make the model an output of its run, and mark it as ready."""
        from mlflow.entities import LoggedModelOutput

        with self.connection.calls() as client:
            client.log_model_artifacts(model_id, str(folder))
            outputs = client.get_run(run_id).outputs
            if model_id not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
                client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
            client.finalize_logged_model(model_id, "READY")

    # Reading back ----------------------------------------------------------------------------------------------

    def metric_history(self, run_id: str, name: str) -> list[MetricPoint]:
        """All points of a metric of a run, in order of step and time.

        Raises
        ------
        NotFound
            MLflow has no such run.
        """
        with self.connection.calls() as client:
            found = client.get_metric_history(run_id, name)
        found.sort(key=lambda metric: (metric.step, metric.timestamp))
        return [MetricPoint(m.step, m.timestamp, indexed_value(m.value).shown) for m in found]

    def download(self, run_id: str, path: str, folder: Path) -> Path:
        """Copy an artifact of a run into `folder` and return its path.

        Raises
        ------
        NotFound
            The run has no such artifact.
        """
        with self.connection.calls() as client:
            return Path(client.download_artifacts(run_id, path, str(folder)))


def _quoted(text: str) -> str:
    # MLflow's filter language cannot escape a quote; uids never contain one.
    return text.replace("'", "")
