"""Events of the workspace reach the subscribers of the Jupyter server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from stopping import stop

from mlops_workbench.client.launch import ensure_running, find_running
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.server.extension import SCHEMA_ID

pytestmark = pytest.mark.process

API = ("mlops-workbench", "api")
DEADLINE = 120.0


async def until(socket: Any, wanted: Any) -> dict[str, Any]:
    """The next event of ours for which `wanted` holds."""

    async def look() -> dict[str, Any]:
        while True:
            event = json.loads(await socket.read_message())
            if event.get("schema_id") == SCHEMA_ID and wanted(event):
                return event

    return await asyncio.wait_for(look(), DEADLINE)


async def test_events_contain_names_only(
    jp_fetch: Any, jp_ws_fetch: Any, root: Workspace, control: tuple[str, str]
) -> None:
    socket = await jp_ws_fetch("api", "events", "subscribe")
    await jp_fetch(*API, "status", request_timeout=DEADLINE)
    await until(socket, lambda event: (event["topic"], event["id"]) == ("status", "*"))
    code = "from mlops_workbench import log, track\nwith track('told', experiment='events'):\n    log(secret=0.123)\n"
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], cwd=root.root, check=True, timeout=DEADLINE)
    event = await until(socket, lambda event: event["topic"] == "runs")
    envelope = {
        "schema_id",
        "schema_version",
        "__timestamp__",
        "__metadata_version__",
        "__schema__",
        "__schema_version__",
    }
    assert set(event) - envelope == {"topic", "id", "revision"}
    socket.close()


async def test_a_control_plane_that_was_started_again_is_followed_again(
    jp_fetch: Any, jp_ws_fetch: Any, root: Workspace, control: tuple[str, str]
) -> None:
    socket = await jp_ws_fetch("api", "events", "subscribe")
    await jp_fetch(*API, "status", request_timeout=DEADLINE)
    await until(socket, lambda event: (event["topic"], event["id"]) == ("status", "*"))
    await asyncio.to_thread(stop, root)
    # Nobody asks for anything: the follower must neither start one nor give up.
    await asyncio.sleep(1.5)
    assert find_running(root) is None
    await asyncio.to_thread(ensure_running, root)
    await until(socket, lambda event: (event["topic"], event["id"]) == ("status", "*"))
    socket.close()
