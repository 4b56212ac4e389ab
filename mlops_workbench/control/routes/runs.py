"""Runs and experiments, read from the index."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import FileResponse

from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.runs import Experiment, MetricPoint, Run, RunDetail, RunStatus

router = APIRouter(tags=["runs"])


@router.get("/experiments")
def list_experiments(plane: Plane) -> list[Experiment]:
    """Experiments, the one with the newest run first."""
    plane.ingest.catch_up()
    return plane.index.experiments()


@router.get("/runs")
def list_runs(
    plane: Plane,
    experiment: str | None = None,
    name: str | None = None,
    filter: Annotated[str, Query(max_length=10_000)] = "",
    status: RunStatus | None = None,
    kind: str | None = None,
    order_by: str = "start",
    descending: bool = True,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
    nested: bool = True,
) -> list[Run]:
    """Runs; `order_by` is ``start``, ``name``, ``duration``, ``metrics.<name>``, ``params.<name>`` or ``tags.<name>``.

    `name` is exact. `filter` is in MLflow's language: ``metrics.auc > 0.8 and params.depth = 6``. Without `nested`,
    runs that are a part of another run, such as the candidates of a search, are left out.
    """
    plane.ingest.catch_up()
    return plane.index.runs(
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
    """A run by uid, start of a uid, MLflow id, or the newest with this name."""
    plane.ingest.catch_up()
    return plane.ingest.detail(plane.index.find(ref, experiment).uid)


@router.get("/runs/{ref}/metrics/{name:path}")
def get_history(
    plane: Plane, ref: str, name: str, max_points: Annotated[int | None, Query(ge=2, le=10_000_000)] = None
) -> list[MetricPoint]:
    """Points of a metric in order of steps: all of them, or about `max_points` evenly spread."""
    plane.ingest.catch_up()
    return plane.ingest.history(plane.index.find(ref).uid, name, max_points)


@router.get("/runs/{ref}/artifacts/{path:path}", response_class=FileResponse)
def get_artifact(plane: Plane, ref: str, path: str) -> FileResponse:
    """A file of a run."""
    artifact = plane.index.artifact(plane.index.find(ref).uid, path)
    # Artifacts are whatever a cell wrote: a browser must neither guess their type nor run them.
    safe = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
    return FileResponse(plane.workspace.blobs.get(artifact.digest), media_type=artifact.media_type, headers=safe)
