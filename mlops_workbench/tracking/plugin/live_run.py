"""A run of this process for MLflow code, kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from mlflow.entities import (
    DatasetInput,
    LifecycleStage,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.core.records import as_float
from mlops_workbench.core.tags import NOTE, visible_tags
from mlops_workbench.tracking.mapping.values import as_text, finite, store_name
from mlops_workbench.tracking.plugin.series import Series


class LiveInfo(RunInfo):
    """Information about a run whose artifact root is requested from the server when it is read."""

    def __init__(self, artifact_root: Callable[[], str], **fields: Any) -> None:
        super().__init__(**fields)
        self._artifact_root = artifact_root

    @classmethod
    def _properties(cls) -> list[str]:
        # MLflow reads only properties of the class itself.
        return RunInfo._properties()

    @property
    def artifact_uri(self) -> str:
        """Root of the run's artifacts."""
        if self._artifact_uri is None:
            self._artifact_uri = self._artifact_root()
        return self._artifact_uri


class LiveRun:
    """The state of a run that this process writes.

    Parameters
    ----------
    run : ActiveRun
        The run in the session, with its parameters, tags and status.
    experiment_id, user_id : str
        MLflow's id of the experiment, and the user.
    start_ms : int
        Start time.
    artifact_root : str or callable
        The root of its artifacts, or a function that returns it.
    origin : mapping
        Tags that delivery adds to a run that MLflow code did not start.
    joined : bool
        A tracked cell or a pipeline started the run and ends it.
    complete : bool
        Everything that was logged to it was logged in this process.
    """

    def __init__(
        self,
        run: ActiveRun,
        experiment_id: str,
        user_id: str,
        start_ms: int,
        artifact_root: str | Callable[[], str],
        *,
        origin: Mapping[str, str] | None = None,
        joined: bool = False,
        complete: bool = True,
    ) -> None:
        self.run = run
        self.uid = run.uid
        self.experiment_id = experiment_id
        self.user_id = user_id
        self.start_ms = start_ms
        self.artifact_root = artifact_root
        self.origin = origin or {}
        self.joined = joined
        self.complete = complete
        self.name = run.name
        self.deleted = False
        self.scheduled = False
        #: Something was logged after the end, so an end in the store does not mean that everything is delivered.
        self.after_end = False
        self.end_ms: int | None = None
        self.series: dict[str, Series] = {}
        self.dataset_inputs: list[DatasetInput] = []
        self.model_inputs: list[LoggedModelInput] = []
        self.model_outputs: list[LoggedModelOutput] = []
        #: Metrics it had before it was resumed here.
        self.earlier: dict[str, Metric] = {}
        #: Models with metrics that may not be in the store yet.
        self.model_metrics: set[str] = set()

    @property
    def ended(self) -> bool:
        """Whether it ended."""
        return self.run.ended

    @property
    def status(self) -> str:
        """MLflow's status of the run."""
        return "SCHEDULED" if self.scheduled else self.run.status

    def check_active(self) -> None:
        """Raise MLflow's error if the run is deleted."""
        if self.deleted:
            raise MlflowException(
                f"The run {self.uid} must be in the 'active' state. Current state is {LifecycleStage.DELETED}.",
                INVALID_PARAMETER_VALUE,
            )

    def add(self, key: str, value: float, at_ms: int, step: int) -> None:
        """Add a value of a metric."""
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series()
        series.add(value, at_ms, step)
        # Autologging logs in threads, so an earlier step may come after a later one.
        latest = series.latest
        self.run.metrics[key] = value if latest is None or latest[0] == step else latest[3]

    def changed_params(self, params: Iterable[Param]) -> list[tuple[str, str, str]]:
        """Parameters that already have another value, as ``(key, old, new)``; secrets in `params` must be masked."""
        known = self.run.params
        return [
            (param.key, old, param.value)
            for param in params
            if param.key in known and (old := as_text(known[param.key])) != as_text(param.value)
        ]

    def entity(self) -> Run:
        """The run as MLflow's entity."""
        given = self.run.tags
        if self.joined:
            given = {**self.origin, **{store_name(name): value for name, value in given.items()}}
            if "note" in given:
                given[NOTE] = given["note"]
        tags = visible_tags({name: as_text(value) for name, value in given.items()})
        tags.setdefault(MLFLOW_RUN_NAME, self.name)
        if self.run.start.parent_uid:
            tags.setdefault(MLFLOW_PARENT_RUN_ID, self.run.start.parent_uid)
        return Run(
            self.info(),
            RunData(
                metrics=self._latest(),
                params=[Param(name, as_text(value)) for name, value in self.run.params.items()],
                tags=[RunTag(name, value) for name, value in tags.items()],
            ),
            RunInputs(dataset_inputs=list(self.dataset_inputs), model_inputs=list(self.model_inputs)),
            RunOutputs(list(self.model_outputs)),
        )

    def info(self) -> RunInfo:
        """Information about the run."""
        kind: Callable[..., RunInfo] = partial(LiveInfo, self.artifact_root)
        if isinstance(self.artifact_root, str):
            kind = partial(RunInfo, artifact_uri=self.artifact_root)
        return kind(
            run_id=self.uid,
            run_name=self.name,
            experiment_id=self.experiment_id,
            user_id=self.user_id,
            status=self.status,
            start_time=self.start_ms,
            end_time=self.end_ms if self.end_ms is not None else (self.run.end_ms or None),
            lifecycle_stage=LifecycleStage.DELETED if self.deleted else LifecycleStage.ACTIVE,
        )

    def history(self, key: str) -> list[Metric] | None:
        """All values of a metric; None if some were logged in another process."""
        series = self.series.get(key)
        if not self.complete or (series is None and key in self.run.metrics):
            return None
        return [] if series is None else [Metric(key, value, at_ms, step) for at_ms, step, value in series.points()]

    def _latest(self) -> list[Metric]:
        found = dict(self.earlier)
        for key, series in list(self.series.items()):
            if series.latest is not None:
                step, at_ms, compared, shown = series.latest
                before = found.get(key)
                if before is None or (before.step, before.timestamp, before.value) < (step, at_ms, compared):
                    found[key] = Metric(key, shown, at_ms, step)
        for key, value in list(self.run.metrics.items()):
            if key not in found:
                # Logged by track's own log(), which keeps only the last value in memory.
                found[key] = Metric(key, finite(as_float(value)), self.start_ms, 0)
        return list(found.values())
