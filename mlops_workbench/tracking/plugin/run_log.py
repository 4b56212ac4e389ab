"""Journal records of what MLflow code logs to a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlflow.entities import DatasetInput, Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_RUN_NAME

from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.records import Column, Dataset, Metrics, ModelMetrics
from mlops_workbench.core.secrets import mask

if TYPE_CHECKING:
    from mlops_workbench.tracking.plugin.live_run import LiveRun


class RunLog:
    """Writes to the journal, then to the run in memory."""

    def __init__(self, session: Session) -> None:
        self._write = session.write

    def metrics(self, live: LiveRun, metrics: Iterable[Metric]) -> None:
        """Log metrics; those of one time and step go into one record."""
        for at_ms, step, together in _by_time(metrics):
            self._write(Metrics(live.uid, at_ms, step, {metric.key: float(metric.value) for metric in together}))
            for metric in together:
                value = float(metric.value)
                if metric.model_id is not None:
                    self._model_metric(live, metric, value)
                live.add(metric.key, value, at_ms, step)
            live.after_end = live.ended or live.after_end

    def params(self, live: LiveRun, params: Iterable[Param]) -> None:
        """Log parameters that are new."""
        new = {param.key: param.value for param in params}
        if new:
            live.run.log_params(new)
            live.after_end = live.ended or live.after_end

    def tags(self, live: LiveRun, tags: Iterable[RunTag]) -> None:
        """Set tags; the tag of the name renames the run."""
        new = {tag.key: tag.value for tag in tags}
        if new:
            live.run.tag(new)
            live.name = live.run.name = new.get(MLFLOW_RUN_NAME, live.name)
            live.after_end = live.ended or live.after_end

    def rename(self, live: LiveRun, name: str) -> None:
        """Rename the run."""
        self.tags(live, [RunTag(MLFLOW_RUN_NAME, name)])

    def datasets(self, live: LiveRun, inputs: Iterable[DatasetInput]) -> None:
        """Log data that the run used, with its secrets masked; a repetition changes nothing."""
        known = {(item.dataset.name, item.dataset.digest) for item in live.dataset_inputs}
        for item in inputs:
            if (item.dataset.name, item.dataset.digest) not in known:
                known.add((item.dataset.name, item.dataset.digest))
                self._write(_record(live.uid, item))
                live.dataset_inputs.append(item)
                live.after_end = live.ended or live.after_end

    def _model_metric(self, live: LiveRun, metric: Metric, value: float) -> None:
        self._write(
            ModelMetrics(
                live.uid,
                int(metric.timestamp),
                int(metric.step),
                {metric.key: value},
                metric.model_id,
                mask(metric.dataset_name or ""),
                metric.dataset_digest or "",
            )
        )
        live.model_metrics.add(metric.model_id)


def _by_time(metrics: Iterable[Metric]) -> Iterator[tuple[int, int, list[Metric]]]:
    """Groups of successive metrics of one time and step with distinct names, as ``(time, step, metrics)``."""
    together: dict[str, Metric] = {}
    before: tuple[int, int] | None = None
    for metric in metrics:
        here = int(metric.timestamp), int(metric.step)
        if before is not None and (here != before or metric.key in together):
            yield *before, list(together.values())
            together = {}
        before = here
        together[metric.key] = metric
    if before is not None:
        yield *before, list(together.values())


def _record(uid: str, item: DatasetInput) -> Dataset:
    data, tags = item.dataset, {tag.key: tag.value for tag in item.tags or []}
    profile, schema = _json(data.profile), _json(data.schema)
    columns = schema.get("mlflow_colspec")
    source = _json(data.source)
    return Dataset(
        run_uid=uid,
        name=data.name,
        context=tags.get(MLFLOW_DATASET_CONTEXT, ""),
        digest=data.digest,
        rows=_count(profile.get("num_rows", profile.get("features_shape"))),
        columns=[_column(column) for column in columns if isinstance(column, Mapping)]
        if isinstance(columns, list)
        else [],
        source=str(source.get("uri") or source.get("url") or source.get("path") or ""),
        covers="sampled",
        entity={
            "source_type": data.source_type or "",
            "source": data.source or "",
            **({"schema": data.schema} if data.schema is not None else {}),
            **({"profile": data.profile} if data.profile is not None else {}),
            "tags": json.dumps(tags),
        },
    )


def _column(column: Mapping[str, Any]) -> Column:
    return Column(str(column.get("name", "")), str(column.get("type", "")), bool(column.get("required", True)))


def _count(value: Any) -> int:
    """Number of rows in MLflow's profile: a number, the shape of an array, or a shape for each of several arrays."""
    if isinstance(value, Mapping):
        value = next(iter(value.values()), 0)
    if isinstance(value, list):
        value = value[0] if value else 0
    return value if isinstance(value, int) else 0


def _json(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
