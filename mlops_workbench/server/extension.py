"""The Jupyter server extension."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import httpx
from jupyter_server.extension.application import ExtensionApp
from traitlets import Float, Unicode

from mlops_workbench.core.events import Event
from mlops_workbench.server.connection import PlaneConnection
from mlops_workbench.server.follower import EventFollower
from mlops_workbench.server.handshake import HandshakeHandler
from mlops_workbench.server.proxy import ProxyHandler

SCHEMA_ID = "https://events.jupyter.org/mlops_workbench/invalidation/v1"
SCHEMA_FILE = Path(__file__).parent / "events" / "invalidation.yaml"


class WorkbenchExtension(ExtensionApp):
    """Proxy to the workspace's control plane, and its change events."""

    name = "mlops_workbench"
    extension_url = "/lab"
    load_other_extensions = True

    folder = Unicode(
        "",
        config=True,
        help="Folder of the workspace to show; by default the server's root folder.",
    )
    timeout = Float(
        120.0,
        config=True,
        help="Seconds to wait for an answer of the control plane.",
    )

    def initialize_settings(self) -> None:
        """Register the event schema and create the objects that the handlers share."""
        assert self.serverapp is not None and self.serverapp.event_logger is not None
        self.serverapp.event_logger.register_event_schema(SCHEMA_FILE)
        self._connection = PlaneConnection(Path(self.folder or self.serverapp.root_dir))
        # Without the proxies of the environment: the control plane is on loopback or named by MLOPS_URL.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=16)
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(self.timeout, connect=5), limits=limits, trust_env=False)
        self._follower = EventFollower(self._connection, self._client, self._emit, self.log)

    def initialize_handlers(self) -> None:
        """Add the routes."""
        shared = {"connection": self._connection}
        self.handlers.extend(
            [
                (r"mlops-workbench/handshake", HandshakeHandler, shared),
                (
                    r"mlops-workbench/api/(.*)",
                    ProxyHandler,
                    {**shared, "follower": self._follower, "client": self._client},
                ),
            ]
        )

    async def stop_extension(self) -> None:
        """Stop following events; the control plane keeps running for kernels, the command line and endpoints."""
        await self._follower.stop()
        await self._client.aclose()

    def _emit(self, event: Event) -> None:
        assert self.serverapp is not None and self.serverapp.event_logger is not None
        self.serverapp.event_logger.emit(schema_id=SCHEMA_ID, data=asdict(event))
