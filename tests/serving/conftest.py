"""Models to serve, and served ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from model_folders import Case, Endpoint, build

from mlops_workbench.core.settings import ServingSettings


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Cases by name, each built once, in a folder with a space and a non-ASCII letter."""
    root = tmp_path_factory.mktemp("modèle folders")
    built: dict[str, Case] = {}

    def case(name: str) -> Case:
        if name not in built:
            built[name] = build(name, root / name)
        return built[name]

    return case


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Endpoint]]:
    """Serve a model folder as version 1 of the endpoint ``eta`` on a free loopback port."""
    import socket

    import uvicorn

    from mlops_workbench.serving.app import create_app
    from mlops_workbench.serving.log.feedback import FeedbackLog
    from mlops_workbench.serving.log.predictions import PredictionLog
    from mlops_workbench.serving.routing.router import Router
    from mlops_workbench.serving.service import InferenceService
    from mlops_workbench.serving.workers.connection import Connection

    running: list[tuple[Any, threading.Thread, httpx.Client]] = []

    def start(folder: Path | None, *, version: int = 1, settings: ServingSettings | None = None) -> Endpoint:
        settings = settings or ServingSettings(log_seconds=0.2)
        root = tmp_path_factory.mktemp("endpoint")
        router = Router(settings)
        service = InferenceService(
            "eta",
            router,
            PredictionLog(root / "predictions", seconds=settings.log_seconds, rows=settings.log_rows),
            FeedbackLog(root / "feedback"),
        )
        if folder is not None:
            router.switch("flight-delays", version, folder)
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        app = create_app(service, settings, "0")
        server = uvicorn.Server(
            uvicorn.Config(app, http=Connection, proxy_headers=False, ws="none", log_config=None, lifespan="on")
        )
        thread = threading.Thread(target=lambda: asyncio.run(server._serve([listener])), daemon=True)
        thread.start()
        client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        running.append((server, thread, client))
        return Endpoint(client, url, service, root)

    yield start
    for server, _, client in running:
        client.close()
        server.should_exit = True
    for _, thread, _ in running:
        thread.join(30)


@pytest.fixture
def many() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor
