"""Reads for pages about runs: from the index, or from MLflow for histories that only MLflow has."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from mlops_workbench.core.errors import Unavailable
from mlops_workbench.core.runs import MetricPoint, RunDetail
from mlops_workbench.tracking.index.history import thinned
from mlops_workbench.tracking.index.read import PAGE_POINTS, ReadIndex
from mlops_workbench.tracking.mlflow.store import TrackingStore

#: Histories that are fetched from MLflow for one page.
_FETCHED_METRICS = 20


def run_history(
    index: ReadIndex, store: TrackingStore, uid: str, name: str, max_points: int | None
) -> list[MetricPoint]:
    """Points of a metric of any run: see :meth:`ReadIndex.history`."""
    run = index.find(uid)
    points = index.history(run.uid, name, max_points)
    return points or thinned(store.metric_history(run.run_id, name), max_points)


def run_detail(index: ReadIndex, store: TrackingStore, uid: str) -> RunDetail:
    """Everything about a run; histories that MLflow cannot return now are left out."""
    detail = index.detail(uid)
    history, points = dict(detail.history), dict(detail.points)
    with contextlib.suppress(Unavailable):
        for name in [name for name in detail.run.metrics if name not in points][:_FETCHED_METRICS]:
            whole = store.metric_history(detail.run.run_id, name)
            history[name], points[name] = thinned(whole, PAGE_POINTS), len(whole)
    return replace(detail, history=history, points=points)
