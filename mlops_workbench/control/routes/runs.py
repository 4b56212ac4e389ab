"""Runs and experiments."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import FileResponse

from mlops_workbench.control.routes.plane import READS_RUNS, Plane
from mlops_workbench.core.runs import Experiment, MetricPoint, Run, RunDetail, RunStatus
from mlops_workbench.core.wire.patterns import Documented
from mlops_workbench.tracking.index.filter import ORDER

router = APIRouter(tags=["runs"], dependencies=[READS_RUNS])


@router.get("/experiments")
def list_experiments(plane: Plane) -> list[Experiment]:
    """Experiments; the one with the newest run comes first."""
    return plane.runs.experiments()


@router.get("/runs")
def list_runs(
    plane: Plane,
    experiment: str | None = None,
    name: str | None = None,
    filter: Annotated[str, Query(max_length=10_000)] = "",
    status: RunStatus | None = None,
    kind: str | None = None,
    order_by: Annotated[str, Documented(ORDER)] = "start",
    descending: bool = True,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    nested: bool = True,
) -> list[Run]:
    """Runs; `order_by` is ``start``, ``name``, ``duration``, ``metrics.<name>``, ``params.<name>`` or ``tags.<name>``.

    `name` must match exactly. `filter` is in MLflow's filter language: ``metrics.auc > 0.8 and params.depth = 6``.
    With `nested` false, parts of other runs, such as the candidates of a search, are left out.
    """
    return plane.runs.runs(
        experiment,
        name=name,
        filter=filter or None,
        status=status,
        kind=kind,
        order_by=order_by,
        descending=descending,
        limit=limit,
        offset=offset,
        nested=nested,
    )


@router.get("/runs/{ref}")
def get_run(plane: Plane, ref: str, experiment: str | None = None) -> RunDetail:
    """A run by uid, start of a uid, MLflow id, or the newest run with this name."""
    return plane.runs.detail(ref, experiment)


@router.get("/runs/{ref}/metrics/{name:path}")
def get_history(
    plane: Plane, ref: str, name: str, max_points: Annotated[int | None, Query(ge=2, le=10_000_000)] = None
) -> list[MetricPoint]:
    """Points of a metric in order of steps: all, or about `max_points` evenly spread."""
    return plane.runs.history(ref, name, max_points)


@router.get("/runs/{ref}/artifacts/{path:path}", response_class=FileResponse)
def get_artifact(plane: Plane, ref: str, path: str) -> FileResponse:
    """A file of a run."""
    artifact, file = plane.runs.artifact(ref, path)
    # Artifacts are untrusted output of cells: a browser must neither guess their type nor run them.
    safe = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
    return FileResponse(file, media_type=artifact.media_type, headers=safe)
