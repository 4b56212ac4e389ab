"""Versions of data: those of a run, the runs of a version, and snapshots."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import FileResponse

from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import NotFound

router = APIRouter(tags=["data"])


@router.get("/runs/{ref}/datasets")
def list_run_datasets(plane: Plane, ref: str) -> list[DatasetVersion]:
    """Data that a run used, with profiles; training data first."""
    plane.ingest.catch_up()
    return plane.index.datasets(plane.index.find(ref).uid)


@router.get("/datasets/{digest}")
def list_dataset_uses(plane: Plane, digest: str) -> list[DatasetVersion]:
    """Runs that used a version of data, newest first; `digest` may be the beginning of it."""
    plane.ingest.catch_up()
    return plane.index.dataset_versions(digest)


@router.get("/datasets/{digest}/snapshot", response_class=FileResponse)
def get_dataset_snapshot(plane: Plane, digest: str) -> FileResponse:
    """The data itself as Parquet."""
    plane.ingest.catch_up()
    kept = next((version for version in plane.index.dataset_versions(digest) if version.snapshot), None)
    if kept is None:
        raise NotFound(
            f"no snapshot was kept of the data '{digest}'",
            hint='log_dataset(..., snapshot=True), or snapshot = "training" in the [capture] section of workbench.toml',
        )
    return FileResponse(
        plane.workspace.blobs.get(kept.snapshot),
        media_type="application/vnd.apache.parquet",
        headers={"X-Content-Type-Options": "nosniff"},
    )


@router.get("/datasets/{digest}/schema", response_class=FileResponse)
def get_dataset_schema(plane: Plane, digest: str) -> FileResponse:
    """The pandera schema that was inferred from the data, in pandera's JSON form."""
    plane.ingest.catch_up()
    known = next((version for version in plane.index.dataset_versions(digest) if version.schema), None)
    if known is None:
        raise NotFound(f"no schema was inferred from the data '{digest}'", hint="only training data has one")
    return FileResponse(plane.workspace.blobs.get(known.schema), media_type="application/json")
