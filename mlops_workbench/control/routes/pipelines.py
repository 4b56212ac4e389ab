"""Pipelines, notebooks and their runs."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool

from mlops_workbench.client.bodies import NotebookRunRequest, PipelineRunRequest
from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.control.services.pipelines import given_values
from mlops_workbench.core.pipelines import Pipeline, PipelineRun, PlannedRun, RunProgress, StageResult
from mlops_workbench.pipelines.definition.schema import json_schema
from mlops_workbench.pipelines.execution.selection import Selection

router = APIRouter(tags=["pipelines"])

#: Seconds between two looks at the log of a run that somebody waits for.
_LOOK_SECONDS = 0.005


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
    values = given_values(request.params, request.texts)
    return plane.pipelines.start(name, values, selection=_selection(request))


@router.post("/pipelines/{name}/plan")
def plan_pipeline(plane: Plane, name: str, request: PipelineRunRequest) -> PlannedRun:
    """What a run would do and why, checked as if it were started."""
    return plane.pipelines.plan(name, given_values(request.params, request.texts), _selection(request))


@router.post("/notebook-runs", status_code=202)
def start_notebook(plane: Plane, request: NotebookRunRequest) -> PipelineRun:
    """Run a notebook, as a pipeline run of kind ``notebook``; its parameters are checked first."""
    return plane.pipelines.start_notebook(request)


@router.get("/pipeline-runs")
def list_pipeline_runs(plane: Plane, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[PipelineRun]:
    """Pipeline runs, newest first."""
    return plane.pipelines.runs(limit)


@router.get("/pipeline-runs/{run_id}")
async def get_pipeline_run(
    plane: Plane,
    response: Response,
    run_id: str,
    wait: Annotated[float, Query(ge=0, le=30, allow_inf_nan=False)] = 0.0,
    seen: Annotated[str, Query(max_length=64, description="ETag of an earlier answer")] = "",
) -> PipelineRun:
    """One pipeline run; if it is active and as it was `seen`, when something happens, at the latest after `wait` s."""
    known = plane.pipelines.version(run_id)
    response.headers["ETag"] = known
    if seen and seen != known:
        wait = 0.0
    run = await run_in_threadpool(plane.pipelines.run, run_id)
    end = time.monotonic() + wait
    while run.active and (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(_LOOK_SECONDS, left))
        if (version := plane.pipelines.version(run_id)) != known:
            response.headers["ETag"] = version
            plane.publish_soon()
            return await run_in_threadpool(plane.pipelines.run, run_id)
    return run


@router.get("/pipeline-runs/{run_id}/progress")
def get_pipeline_run_progress(plane: Plane, run_id: str, lines: Annotated[int, Query(ge=0, le=100)] = 5) -> RunProgress:
    """How far a run is: its state, an estimate from earlier runs, the last lines that its running stages printed."""
    return plane.pipelines.progress(run_id, lines)


@router.get("/pipeline-runs/{run_id}/results")
def get_pipeline_run_results(plane: Plane, run_id: str) -> list[StageResult]:
    """Executed notebooks of a run's stages, and where they failed."""
    return plane.pipelines.results(run_id)


@router.post("/pipeline-runs/{run_id}/cancel")
def cancel_pipeline_run(plane: Plane, run_id: str) -> PipelineRun:
    """Cancel a pipeline run."""
    return plane.pipelines.cancel(run_id)


@router.post("/pipeline-runs/{run_id}/resume", status_code=202)
def resume_pipeline_run(plane: Plane, run_id: str) -> PipelineRun:
    """Let a run that has failed or was cancelled go on; its stages that succeeded are kept."""
    return plane.pipelines.resume(run_id)


def _selection(request: PipelineRunRequest) -> Selection:
    return Selection(request.start, request.only, tuple(request.force))
