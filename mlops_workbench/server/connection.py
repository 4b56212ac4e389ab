"""The control plane that belongs to a Jupyter server's folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from mlops_workbench.client.launch import ensure_running, find_running
from mlops_workbench.core.workspace import Workspace


class PlaneLink(NamedTuple):
    """Where a control plane listens, and the token it wants."""

    url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """Headers that let a request in."""
        return {"Authorization": f"Bearer {self.token}"}


class PlaneConnection:
    """Finds and starts the control plane of the workspace that `folder` belongs to.

    Parameters
    ----------
    folder : Path
        A folder in the workspace, usually the server's root folder.

    Notes
    -----
    The workspace is looked up anew for each connection: a user may run ``mlops init``, or mend
    ``workbench.toml``, while the server runs. What blocks runs in a thread, never on the event loop.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._link: PlaneLink | None = None
        self._opening: asyncio.Task[PlaneLink] | None = None

    async def workspace(self) -> Workspace:
        """The workspace of the folder.

        Raises
        ------
        SettingsError
            ``workbench.toml`` is broken.
        """
        return await asyncio.to_thread(Workspace.find, self._folder)

    async def open(self, stale: PlaneLink | None = None) -> PlaneLink:
        """The control plane, started if need be; many callers share one start.

        Parameters
        ----------
        stale : PlaneLink, optional
            A link that was found not to work.

        Raises
        ------
        WorkbenchError
            The workspace's settings are broken, or its control plane does not start.
        """
        if self._link is not None and self._link != stale:
            return self._link
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
        # Shielded: one caller that goes away does not end the start that the others wait for.
        return await asyncio.shield(self._opening)

    async def running(self) -> PlaneLink | None:
        """The control plane if one runs; none is started.

        Raises
        ------
        SettingsError
            ``workbench.toml`` is broken.
        """
        found = await asyncio.to_thread(lambda: find_running(Workspace.find(self._folder)))
        self._link = PlaneLink(*found) if found else None
        return self._link

    async def _open(self) -> PlaneLink:
        found = await asyncio.to_thread(lambda: ensure_running(Workspace.find(self._folder)))
        self._link = PlaneLink(*found)
        return self._link
