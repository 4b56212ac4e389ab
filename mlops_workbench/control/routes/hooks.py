"""Webhooks: routes with secrets of their own instead of the control plane's token."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from mlops_workbench.control.routes.plane import Plane
from mlops_workbench.core.schedules import Occasion
from mlops_workbench.pipelines.triggers.webhook import LARGEST_BODY

router = APIRouter(tags=["hooks"])

_BODY = {
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"params": {"type": "object", "description": "Values for parameters."}},
            }
        }
    }
}


@router.post("/hooks/{pipeline}", status_code=202, openapi_extra={"requestBody": _BODY})
async def call_hook(plane: Plane, pipeline: str, request: Request) -> Occasion:
    """Start a pipeline by its webhook.

    The secret, or the HMAC of the body, is in the headers. The answer says whether it starts, and what it waits for.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:  # more than a caller without the secret may make this process keep
            break
    return await run_in_threadpool(plane.schedules.hook, pipeline, dict(request.headers), bytes(body))
