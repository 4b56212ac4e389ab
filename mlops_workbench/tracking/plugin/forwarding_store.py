"""Forwards to the real store, after delivering the runs a call refers to."""

from __future__ import annotations

import os
import weakref
from typing import Any

from mlflow.entities import Experiment, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.tracking.abstract_store import AbstractStore

from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.tags import MODEL_PREFIX
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.plugin.live_run import LiveRun
from mlops_workbench.tracking.plugin.live_runs import LiveRuns
from mlops_workbench.tracking.plugin.masked import all_masked, masked_tags
from mlops_workbench.tracking.plugin.real_store import RealStore, as_mlflow_errors
from mlops_workbench.tracking.plugin.run_log import RunLog

_stores: weakref.WeakSet[ForwardingStore] = weakref.WeakSet()
_MISSING = ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


class ForwardingStore(AbstractStore):
    """Experiments, models and traces of the workspace's own store.

    Parameters
    ----------
    workspace : Workspace
        Its settings name the store.
    session : Session
        Records the runs of this process.
    """

    def __init__(self, workspace: Workspace, session: Session) -> None:
        super().__init__()
        self.real = RealStore(workspace)
        self.runs = LiveRuns(session, self.real)
        self._journal = RunLog(session)
        self._live = self.runs.by_id
        _stores.add(self)

    def __getattr__(self, name: str) -> Any:
        # Methods that only some of MLflow's stores have, such as get_metric_history_bulk.
        if name.startswith("__") or name == "real":
            raise AttributeError(name)
        return getattr(self.real.store, name)

    @property
    def supports_workspaces(self) -> bool:
        """Always False: MLflow's workspaces are a feature of its server."""
        return False

    @property
    def supports_trace_archival(self) -> bool:
        """As the real store."""
        return bool(self.real.store.supports_trace_archival)

    # Experiments and models -------------------------------------------------------------------------------------

    def get_experiment(self, experiment_id: str) -> Experiment:
        """Return an experiment."""
        with as_mlflow_errors():
            return self.real.shown(self.real.experiment(experiment_id))

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: list[Any] | None = None) -> str:
        """Create an experiment; by default its artifacts go to the workspace's artifact folder."""
        with as_mlflow_errors():
            location = artifact_location
            if not location and isinstance(name, str) and name:
                location = self.real.tracking.connection.artifact_location(name)
            return str(self.real.store.create_experiment(name, location, masked_tags(tags)))

    def set_experiment_tag(self, experiment_id: str, tag: Any) -> None:
        """Set a tag of an experiment."""
        with as_mlflow_errors():
            self.real.store.set_experiment_tag(experiment_id, *masked_tags([tag]))

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment with its runs."""
        self._deliver_all_and_call("delete_experiment", experiment_id)
        self._mark(experiment_id, deleted=True)

    def restore_experiment(self, experiment_id: str) -> None:
        """Restore a deleted experiment with its runs."""
        # Without delivery before, which MLflow refuses as long as the experiment is deleted.
        with as_mlflow_errors():
            self.real.store.restore_experiment(experiment_id)
            self.real.note_restored(experiment_id=str(experiment_id))
        self._mark(experiment_id, deleted=False)

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Rename an experiment; its runs are delivered first, since journals refer to experiments by name."""
        self._deliver_all_and_call("rename_experiment", experiment_id, new_name)
        for live in list(self._live.values()):
            if live.experiment_id == str(experiment_id):
                live.run.experiment = new_name

    def _mark(self, experiment_id: str, *, deleted: bool) -> None:
        for live in list(self._live.values()):
            if live.experiment_id == str(experiment_id):
                live.deleted = deleted

    def create_logged_model(
        self,
        experiment_id: str,
        name: str | None = None,
        source_run_id: str | None = None,
        tags: list[Any] | None = None,
        params: list[Any] | None = None,
        *more: Any,
        **named: Any,
    ) -> Any:
        """Create a logged model; its run is delivered first."""
        run_id = source_run_id
        if run_id:
            self._deliver_if_open(run_id)
            run_id = self.real.run_id(run_id)
        given = (experiment_id, name, run_id, masked_tags(tags), all_masked(params), *more)
        with as_mlflow_errors():
            model = self.real.shown_model(self.real.store.create_logged_model(*given, **named))
        live = self._find(source_run_id) if source_run_id else None
        if live is not None:
            self._journal.tags(live, [RunTag(f"{MODEL_PREFIX}{model.model_id}", model.name)])
        return model

    def log_logged_model_params(self, model_id: str, params: list[Any]) -> None:
        """Log parameters of a logged model."""
        with as_mlflow_errors():
            self.real.store.log_logged_model_params(model_id, all_masked(params))

    def set_logged_model_tags(self, model_id: str, tags: list[Any]) -> None:
        """Set tags of a logged model."""
        with as_mlflow_errors():
            self.real.store.set_logged_model_tags(model_id, masked_tags(tags))

    def get_logged_model(self, model_id: str, allow_deleted: bool = False) -> Any:
        """Return a logged model; the metrics that were logged for it are delivered first."""
        self._deliver_model_metrics(model_id)
        with as_mlflow_errors():
            model = (
                self.real.store.get_logged_model(model_id, allow_deleted=True)
                if allow_deleted
                else self.real.store.get_logged_model(model_id)
            )
            return self.real.shown_model(model)

    def search_logged_models(self, *args: Any, **kwargs: Any) -> Any:
        """Return logged models; the metrics that were logged for them are delivered first."""
        self._deliver_model_metrics(None)
        with as_mlflow_errors():
            return self.real.shown(self.real.store.search_logged_models(*args, **kwargs))

    def link_traces_to_run(self, trace_ids: list[str], run_id: str) -> None:
        """Link traces to a run."""
        self._deliver_if_open(run_id)
        self.real.store.link_traces_to_run(trace_ids, self.real.run_id(run_id))

    def unlink_traces_from_run(self, trace_ids: list[str], run_id: str) -> None:
        """Unlink traces from a run."""
        self.real.store.unlink_traces_from_run(trace_ids, self.real.run_id(run_id))

    # The real store ---------------------------------------------------------------------------------------------

    def _find(self, run_id: str) -> LiveRun | None:
        with as_mlflow_errors():
            return self.runs.find(run_id)

    def _stored(self, run_id: str) -> Run:
        """A run that this process does not write."""
        self._deliver_if_open(run_id)
        return self.real.shown_run(self._call("get_run", run_id))

    def _deliver_if_open(self, run_id: str) -> None:
        """Deliver a run that has not ended in the store."""
        with as_mlflow_errors():
            known = self.real.delivered(run_id)
            if run_id in self._live or (known is not None and not known.ended):
                self.real.try_to_deliver(run_id)

    def _deliver_model_metrics(self, model_id: str | None) -> None:
        for live in list(self._live.values()):
            if live.model_metrics and (model_id is None or model_id in live.model_metrics):
                with as_mlflow_errors():
                    self.real.deliver(live.uid)
                live.model_metrics.clear()

    def _call(self, name: str, run_id: str, *args: Any) -> Any:
        """Call the real store; deliver the run only if it is missing there."""
        with as_mlflow_errors():
            try:
                return getattr(self.real.store, name)(self.real.run_id(run_id), *args)
            except MlflowException as error:
                if error.error_code != _MISSING:
                    raise
                self.real.try_to_deliver(run_id)
                return getattr(self.real.store, name)(self.real.run_id(run_id), *args)

    def _deliver_and_call(self, name: str, run_id: str, *args: Any) -> Any:
        """Deliver the run, then call the real store."""
        with as_mlflow_errors():
            if run_id in self._live:
                self.real.deliver(run_id)
        return self._call(name, run_id, *args)

    def _deliver_all_and_call(self, name: str, experiment_id: str, *args: Any) -> None:
        with as_mlflow_errors():
            self.real.deliver()
            getattr(self.real.store, name)(experiment_id, *args)
            self.real.tracking.clear_experiments()


def _after_fork_in_child() -> None:
    for store in list(_stores):
        store.real.after_fork()
        store.runs.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
