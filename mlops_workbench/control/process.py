"""The process of the control plane."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from mlops_workbench.client.launch import ALREADY_RUNNING, Address, lock_file, token_file
from mlops_workbench.control.app import create_app
from mlops_workbench.control.auth import TokenAuth, read_or_make_token
from mlops_workbench.control.calm import CountedRequests
from mlops_workbench.control.plane import ControlPlane
from mlops_workbench.control.presence import Presence
from mlops_workbench.control.worker import Worker
from mlops_workbench.core.errors import Conflict, WorkbenchError
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.processes import ProcessIdentity, keep_environment
from mlops_workbench.core.shown.log_lines import log_to_stderr
from mlops_workbench.core.version import __version__
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.http_protocol import HttpProtocol

_STOP_SECONDS = 3.0
#: New objects after which the collector looks through them. MLflow, imported when it is needed, makes many that stay.
_COLLECTED = 20_000


def main() -> int:
    """Run until stopped; the exit code is ALREADY_RUNNING if another process serves the workspace."""
    parser = argparse.ArgumentParser(prog="mlops_workbench.control")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    gc.freeze()
    gc.set_threshold(_COLLECTED)
    gc.enable()
    log_to_stderr()
    keep_environment()
    try:
        settings = {"control.host": arguments.host, "control.port": arguments.port}
        workspace = Workspace.open(arguments.workspace, arguments=settings)
        workspace.prepare()
        with file_lock(lock_file(workspace), wait=False) as held:
            if not held:
                return ALREADY_RUNNING
            _serve(workspace)
    except WorkbenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _serve(workspace: Workspace) -> None:
    settings = workspace.settings.control
    token = read_or_make_token(token_file(workspace))
    listener = _bind(settings.host, settings.port)
    url = f"http://{_reachable_host(settings.host)}:{listener.getsockname()[1]}"
    # Created before the server, so that a database error fails the start instead of a request.
    plane = ControlPlane(workspace, on_shutdown=lambda: setattr(server, "should_exit", True))
    plane.url = url
    app = create_app()
    app.state.plane = plane

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        plane.start()
        identity = ProcessIdentity.of()
        assert identity is not None
        address = Address(url, identity.pid, identity.started, __version__, str(workspace.root))
        presence = Presence(workspace, address, token, on_lost=lambda: plane.shut_down(keep_endpoints=False))
        presence.keep()
        keeper = Worker("presence", presence.keep, 1.0)
        keeper.start()
        try:
            yield
        finally:
            keeper.stop()
            keeper.join(_STOP_SECONDS)
            presence.withdraw()
            plane.stop()

    app.router.lifespan_context = lifespan
    config = uvicorn.Config(
        CountedRequests(TokenAuth(app, token), plane.calm),
        http=HttpProtocol,
        log_config=None,
        access_log=False,
        # Event streams never end on their own.
        timeout_graceful_shutdown=3,
        lifespan="on",
    )
    server = _Server(config, plane)
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends event streams when the server is stopped, so that the shutdown does not wait for them."""

    def __init__(self, config: uvicorn.Config, plane: ControlPlane) -> None:
        super().__init__(config)
        self._plane = plane

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._plane.hub.close()
        await super().shutdown(sockets)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise Conflict(
            f"the control plane cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}",
            hint="set control.port in workbench.toml to a free port, or to 0 for any",
        ) from error
    listener.listen(512)
    return listener


def _reachable_host(host: str) -> str:
    # Clients on this machine use this address; a wildcard address is not reachable.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{reachable}]" if ":" in reachable else reachable
