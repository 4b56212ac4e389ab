"""Pipelines and their runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from mlops_workbench.client.bodies import PipelineRunRequest
from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.pipelines import Pipeline, PipelineRun
from mlops_workbench.pipelines.definition.schema import json_schema

router = APIRouter(tags=["pipelines"])


@router.get("/pipelines")
def list_pipelines(plane: Plane) -> list[Pipeline]:
    """Pipelines of the workspace."""
    return plane.pipelines.pipelines()


@router.get("/pipeline-schema")
def get_pipeline_schema() -> dict[str, Any]:
    """JSON Schema of the format of pipeline specs, for editors."""
    return json_schema()


@router.post("/pipelines/{name}/runs", status_code=202)
def start_pipeline(plane: Plane, name: str, request: PipelineRunRequest) -> PipelineRun:
    """Start a pipeline; its definition, parameters and files are checked first."""
    return plane.pipelines.start(name, request.params)


@router.get("/pipeline-runs")
def list_pipeline_runs(plane: Plane, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[PipelineRun]:
    """Pipeline runs, newest first."""
    return plane.pipelines.runs(limit)


@router.get("/pipeline-runs/{run_id}")
def get_pipeline_run(plane: Plane, run_id: str) -> PipelineRun:
    """One pipeline run."""
    return plane.pipelines.run(run_id)


@router.post("/pipeline-runs/{run_id}/cancel")
def cancel_pipeline_run(plane: Plane, run_id: str) -> PipelineRun:
    """Cancel a pipeline run."""
    return plane.pipelines.cancel(run_id)
