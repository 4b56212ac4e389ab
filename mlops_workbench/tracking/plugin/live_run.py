"""A run of this process as MLflow code sees it, answered from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from mlops_workbench.tracking.mapping.values import as_text, finite
from mlops_workbench.tracking.plugin.series import Series


class LiveInfo(RunInfo):
    """Facts about a run whose place for artifacts may have to be asked for."""

    def __init__(self, place: Callable[[], str], **facts: Any) -> None:
        super().__init__(**facts)
        self._place = place

    @classmethod
    def _properties(cls) -> list[str]:
        # MLflow looks at a class's own properties only.
        return RunInfo._properties()

    @property
    def artifact_uri(self) -> str:
        """Root of the run's artifacts; a server is asked only when somebody wants to know."""
        if self._artifact_uri is None:
            self._artifact_uri = self._place()
        return self._artifact_uri


class LiveRun:
    """The state of a run that this process writes.

    Parameters
    ----------
    run : ActiveRun
        The run in the session: holds parameters, tags, and where it stands.
    experiment_id, user_id : str
        As MLflow knows them.
    start_ms : int
        When it began.
    place : str or callable
        The root of its artifacts, or what gives it.
    joined : bool
        Somebody else (a tracked cell, a pipeline) began the run and ends it.
    whole : bool
        All that was logged to it was logged here, so that nobody else needs to be asked.
    """

    def __init__(
        self,
        run: ActiveRun,
        experiment_id: str,
        user_id: str,
        start_ms: int,
        place: str | Callable[[], str],
        *,
        joined: bool = False,
        whole: bool = True,
    ) -> None:
        self.run = run
        self.uid = run.uid
        self.experiment_id = experiment_id
        self.user_id = user_id
        self.start_ms = start_ms
        self.place = place
        self.joined = joined
        self.whole = whole
        self.name = run.name
        self.deleted = False
        self.scheduled = False
        #: Something was logged after the end, so the end in the store does not mean that all is there.
        self.after_end = False
        self.end_ms: int | None = None
        self.series: dict[str, Series] = {}
        self.dataset_inputs: list[DatasetInput] = []
        self.model_inputs: list[LoggedModelInput] = []
        self.model_outputs: list[LoggedModelOutput] = []
        #: Metrics it had before it was carried on here.
        self.earlier: dict[str, Metric] = {}
        #: Models that metrics were logged for which may not be in the store yet.
        self.model_metrics: set[str] = set()

    @property
    def ended(self) -> bool:
        """Whether it ended."""
        return self.run.ended

    @property
    def status(self) -> str:
        """Status in MLflow's words."""
        return "SCHEDULED" if self.scheduled else self.run.status

    def check_active(self) -> None:
        """Raise as MLflow does when the run is deleted."""
        if self.deleted:
            raise MlflowException(
                f"The run {self.uid} must be in the 'active' state. Current state is {LifecycleStage.DELETED}.",
                INVALID_PARAMETER_VALUE,
            )

    def add(self, key: str, value: float, at_ms: int, step: int) -> None:
        """Remember a metric."""
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series()
        series.add(value, at_ms, step)
        # Autologging hands its batches to threads, and an earlier step may come after a later one.
        latest = series.latest
        self.run.metrics[key] = value if latest is None or latest[0] == step else latest[3]

    def changed_params(self, params: Iterable[Param]) -> list[tuple[str, str, str]]:
        """Those that have another value already, as ``(key, old, new)``; secrets of `params` must be masked."""
        known = self.run.params
        return [
            (param.key, old, param.value)
            for param in params
            if param.key in known and (old := as_text(known[param.key])) != as_text(param.value)
        ]

    def entity(self) -> Run:
        """The run as MLflow's own store would give it."""
        tags = {name: as_text(value) for name, value in self.run.tags.items()}
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
        """Facts about the run."""
        kind: Callable[..., RunInfo] = partial(LiveInfo, self.place)
        if isinstance(self.place, str):
            kind = partial(RunInfo, artifact_uri=self.place)
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
        """All values of a metric; None when not all of them were logged here."""
        series = self.series.get(key)
        if not self.whole or (series is None and key in self.run.metrics):
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
                # Logged by track's own log(): its last value is all that is known without asking the store.
                found[key] = Metric(key, finite(as_float(value)), self.start_ms, 0)
        return list(found.values())
