"""Version and features of this server, which the lab extension compares with its own."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from tornado import web

from mlops_workbench.core.version import __version__
from mlops_workbench.server.answers import WorkbenchHandler
from mlops_workbench.server.connection import PlaneConnection
from mlops_workbench.server.paths import NOUNS


class HandshakeHandler(WorkbenchHandler):
    """``GET mlops-workbench/handshake``: version, workspace and features; does not start the control plane."""

    def initialize(self, connection: PlaneConnection) -> None:
        """Keep the connection."""
        self._connection = connection

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer ``{version, workspace, configured, features}``."""
        workspace = await self._connection.workspace()
        self.answer(
            {
                "version": __version__,
                "workspace": str(workspace.root),
                "configured": (workspace.root / "workbench.toml").is_file(),
                "features": [*sorted(NOUNS), "events"],
            }
        )
