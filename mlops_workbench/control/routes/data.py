"""Versions of data: those of a run, the runs of a version, and snapshots."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import FileResponse

from mlops_workbench.control.routes.plane import READS_RUNS, Plane
from mlops_workbench.core.datasets import DatasetVersion

router = APIRouter(tags=["data"], dependencies=[READS_RUNS])


@router.get("/runs/{ref}/datasets")
def list_run_datasets(plane: Plane, ref: str) -> list[DatasetVersion]:
    """Data that a run used, with profiles; training data comes first."""
    return plane.runs.datasets(ref)


@router.get("/datasets/{digest}")
def list_dataset_uses(plane: Plane, digest: str) -> list[DatasetVersion]:
    """Runs that used a version of data, newest first; `digest` may be abbreviated."""
    return plane.runs.dataset_uses(digest)


@router.get("/datasets/{digest}/snapshot", response_class=FileResponse)
def get_dataset_snapshot(plane: Plane, digest: str) -> FileResponse:
    """The data as Parquet."""
    safe = {"X-Content-Type-Options": "nosniff"}
    return FileResponse(plane.runs.snapshot(digest), media_type="application/vnd.apache.parquet", headers=safe)


@router.get("/datasets/{digest}/schema", response_class=FileResponse)
def get_dataset_schema(plane: Plane, digest: str) -> FileResponse:
    """The pandera schema that was inferred from the data, in pandera's JSON format."""
    return FileResponse(plane.runs.schema(digest), media_type="application/json")
