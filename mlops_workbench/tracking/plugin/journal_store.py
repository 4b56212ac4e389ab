"""MLflow's tracking store for the scheme ``mlops``, which logs to the journal."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from mlflow.entities import (
    DatasetInput,
    LifecycleStage,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunInfo,
    RunStatus,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking.abstract_store import AbstractStore
from mlflow.utils.async_logging.run_operations import RunOperations
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_MODELS, MLFLOW_PARENT_RUN_ID
from mlflow.utils.search_utils import SearchUtils
from mlflow.utils.validation import (
    _validate_batch_log_data,
    _validate_batch_log_limits,
    _validate_dataset_inputs,
    _validate_metric,
    _validate_param,
    _validate_param_keys_unique,
    _validate_run_id,
    _validate_tag,
)

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.tags import RESERVED
from mlops_workbench.tracking.plugin import joining
from mlops_workbench.tracking.plugin.delegation import delegate
from mlops_workbench.tracking.plugin.forwarding_store import ForwardingStore
from mlops_workbench.tracking.plugin.masked import all_masked, masked, masked_inputs, masked_tags
from mlops_workbench.tracking.plugin.real_store import as_mlflow_errors

_log = logging.getLogger(__name__)


class JournalStore(ForwardingStore):
    """Logs runs of this process to the journal and reads them from memory; forwards all other calls.

    Errors are those of MLflow's SQL store, raised by MLflow's own validation. Passwords and keys are masked, also in
    calls that are forwarded.
    """

    # Logging ----------------------------------------------------------------------------------------------------

    def log_metric(self, run_id: str, metric: Metric) -> None:
        """Log a metric."""
        _validate_metric(metric.key, metric.value, metric.timestamp, metric.step)
        live = self._live.get(run_id) or self._find(run_id)
        if live is None:
            self._call("log_metric", run_id, metric)
            return
        live.check_active()
        self._journal.metrics(live, (metric,))

    def log_param(self, run_id: str, param: Param) -> None:
        """Log a parameter."""
        param = masked(_validate_param(param.key, param.value))
        live = self._find(run_id)
        if live is None:
            self._call("log_param", run_id, param)
            return
        live.check_active()
        for key, old, new in live.changed_params([param]):
            raise MlflowException(
                f"Changing param values is not allowed. Param with key='{key}' was already"
                f" logged with value='{old}' for run ID='{run_id}'. Attempted logging new value"
                f" '{new}'.",
                INVALID_PARAMETER_VALUE,
            )
        self._journal.params(live, [param])

    def set_tag(self, run_id: str, tag: RunTag) -> None:
        """Set a tag; the tag of the name renames the run."""
        (tag,) = masked_tags([_validate_tag(tag.key, tag.value)])
        live = self._find(run_id)
        if live is None:
            self._call("set_tag", run_id, tag)
            return
        live.check_active()
        self._journal.tags(live, [tag])

    def delete_tag(self, run_id: str, key: str) -> None:
        """Delete a tag."""
        live = self._find(run_id)
        if live is not None:
            live.check_active()
        if key.startswith(RESERVED) or (live is not None and key not in live.run.tags):
            raise MlflowException(
                f"No tag with name: {key} in run with id {run_id}", error_code=RESOURCE_DOES_NOT_EXIST
            )
        self._deliver_and_call("delete_tag", run_id, key)
        if live is not None:
            del live.run.tags[key]

    def log_batch(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
    ) -> None:
        """Log metrics, parameters and tags."""
        _validate_run_id(run_id)
        metrics, params, tags = _validate_batch_log_data(metrics, params, tags)
        _validate_batch_log_limits(metrics, params, tags)
        _validate_param_keys_unique(params)
        params, tags = all_masked(params), masked_tags(tags)
        live = self._find(run_id)
        if live is None:
            self._call("log_batch", run_id, metrics, params, tags)
            return
        live.check_active()
        if changed := live.changed_params(params):
            logged = [{"key": key, "old_value": old, "new_value": new} for key, old, new in changed]
            raise MlflowException(
                f"Changing param values is not allowed. Params were already logged='{logged}' for run ID='{run_id}'.",
                INVALID_PARAMETER_VALUE,
            )
        self._journal.params(live, params)
        self._journal.metrics(live, metrics)
        self._journal.tags(live, tags)

    def log_batch_async(
        self, run_id: str, metrics: Sequence[Metric], params: Sequence[Param], tags: Sequence[RunTag]
    ) -> RunOperations:
        """Log synchronously: the journal is faster than a queue, and survives the death of the process."""
        future: Future[None] = Future()
        try:
            future.set_result(self.log_batch(run_id, metrics, params, tags))
        except MlflowException as error:
            future.set_exception(error)
        return RunOperations([future])

    def log_inputs(
        self, run_id: str, datasets: list[DatasetInput] | None = None, models: list[LoggedModelInput] | None = None
    ) -> None:
        """Log data and models that the run used."""
        _validate_run_id(run_id)
        if datasets is not None:
            if not isinstance(datasets, list):
                raise TypeError(f"Argument 'datasets' should be a list, got '{type(datasets)}'")
            _validate_dataset_inputs(datasets)
            datasets = masked_inputs(datasets)
        live = self._find(run_id)
        if live is None:
            self._call("log_inputs", run_id, datasets, models)
            return
        live.check_active()
        self._journal.datasets(live, datasets or [])
        if models:
            self._deliver_and_call("log_inputs", run_id, None, models)
            live.model_inputs += models

    def log_outputs(self, run_id: str, models: list[LoggedModelOutput]) -> None:
        """Log models that the run produced."""
        live = self._find(run_id)
        if live is not None:
            live.check_active()
        self._deliver_and_call("log_outputs", run_id, models)
        if live is not None:
            live.model_outputs += models

    def record_logged_model(self, run_id: str, mlflow_model: Any) -> None:
        """Add a model to the tag that old versions of MLflow read."""
        from mlflow.models import Model

        if not isinstance(mlflow_model, Model):
            raise TypeError(f"Argument 'mlflow_model' should be mlflow.models.Model, got '{type(mlflow_model)}'")
        live = self._find(run_id)
        if live is None:
            self._call("record_logged_model", run_id, mlflow_model)
            return
        live.check_active()
        known = json.loads(live.run.tags.get(MLFLOW_LOGGED_MODELS, "[]"))
        value = json.dumps([*known, mlflow_model.get_tags_dict()])
        self._journal.tags(live, [_validate_tag(MLFLOW_LOGGED_MODELS, value)])

    # Runs -------------------------------------------------------------------------------------------------------

    def create_run(
        self, experiment_id: str, user_id: str, start_time: int, tags: list[RunTag] | None, run_name: str | None
    ) -> Run:
        """Start a run, or join the run of a tracked cell if MLflow itself starts one in it."""
        given = masked_tags(tags)
        with as_mlflow_errors():
            if (tracked := self.runs.joinable(given)) is not None:
                live = self.runs.join(tracked)
                self._journal.tags(live, [tag for tag in given if not tag.key.startswith(joining.ORIGIN)])
                return live.entity()
            experiment = self.get_experiment(experiment_id)
            if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
                raise MlflowException(
                    f"The experiment {experiment.experiment_id} must be in the 'active' state. "
                    f"Current state is {experiment.lifecycle_stage}.",
                    INVALID_PARAMETER_VALUE,
                )
            parent = self.runs.parent_of_explicit_run()
            if parent and all(tag.key != MLFLOW_PARENT_RUN_ID for tag in given):
                given.append(RunTag(MLFLOW_PARENT_RUN_ID, parent))
            return self.runs.begin(experiment, user_id, start_time, given, run_name).entity()

    def get_run(self, run_id: str) -> Run:
        """Return a run."""
        live = self._find(run_id)
        return live.entity() if live is not None else self._stored(run_id)

    def update_run_info(
        self, run_id: str, run_status: int | None, end_time: int | None, run_name: str | None
    ) -> RunInfo:
        """End, reopen or rename a run."""
        live = self._find(run_id)
        with as_mlflow_errors():
            if live is None and run_status == RunStatus.RUNNING:
                live = self.runs.resume(self._stored(run_id))
            if live is None:
                return self._call("update_run_info", run_id, run_status, end_time, run_name)  # type: ignore[no-any-return]
            live.check_active()
            if run_name:
                self._journal.rename(live, run_name)
            if run_status is not None:
                self.runs.set_status(live, RunStatus.to_string(run_status), end_time)
        return live.info()

    def delete_run(self, run_id: str) -> None:
        """Delete a run; it can be restored."""
        live = self._find(run_id)
        self._deliver_and_call("delete_run", run_id)
        if live is not None:
            live.deleted = True

    def restore_run(self, run_id: str) -> None:
        """Restore a deleted run."""
        live = self._find(run_id)
        self._call("restore_run", run_id)
        with as_mlflow_errors():
            self.real.note_restored(uid=run_id)
        if live is not None:
            live.deleted = False

    def get_metric_history(
        self, run_id: str, metric_key: str, max_results: int | None = None, page_token: str | None = None
    ) -> PagedList[Metric]:
        """All values of a metric."""
        live = self._find(run_id)
        points = live.history(metric_key) if live is not None else None
        if points is None:
            self._deliver_if_open(run_id)
            with as_mlflow_errors():
                run = self.real.run_id(run_id)
                return self.real.store.get_metric_history(run, metric_key, max_results, page_token)
        start = SearchUtils.parse_start_offset_from_page_token(page_token)
        end = len(points) if max_results is None else start + max_results
        token = SearchUtils.create_page_token(end) if end < len(points) else None
        return PagedList(points[start:end], token)

    def _search_runs(
        self,
        experiment_ids: list[str],
        filter_string: str | None,
        run_view_type: int,
        max_results: int,
        order_by: list[str] | None,
        page_token: str | None,
    ) -> tuple[list[Run], str | None]:
        store_filter = self.real.with_store_ids(filter_string)
        query = (experiment_ids, store_filter, run_view_type, max_results, order_by, page_token)
        try:
            self.real.deliver()
            with as_mlflow_errors():
                found, token = self.real.store._search_runs(*query)
            return self.real.shown(found), token
        except Unavailable as error:
            _log.warning("only runs of this process are searched completely, since not all are delivered: %s", error)
        try:
            found, _ = self.real.store._search_runs(*query)
        except Exception as error:  # noqa: BLE001 - runs of this process are returned whatever failed in the store
            _log.warning("runs of other processes are missing: %s", error)
            found = []
        own = self._own_runs([str(number) for number in experiment_ids], run_view_type)
        ids = {run.info.run_id for run in own}
        merged = SearchUtils.filter(own, filter_string) + [
            shown for run in found if (shown := self.real.shown_run(run)).info.run_id not in ids
        ]
        return SearchUtils.sort(merged, order_by)[:max_results], None

    def _own_runs(self, experiment_ids: list[str], view: int) -> list[Run]:
        stages = set(LifecycleStage.view_type_to_stages(view))
        runs = [live.entity() for live in list(self._live.values()) if live.experiment_id in experiment_ids]
        return [run for run in runs if run.info.lifecycle_stage in stages]


delegate(
    JournalStore,
    AbstractStore,
    lambda store: store.real.store,
    lambda store, found: store.real.shown(found),
    keep=(
        "search_runs",
        "log_metric_async",
        "log_param_async",
        "set_tag_async",
        "end_async_logging",
        "flush_async_logging",
        "shut_down_async_logging",
    ),
)
