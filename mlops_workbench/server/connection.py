"""The control plane of a Jupyter server's folder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from mlops_workbench.client.launch import ensure_running, find_running
from mlops_workbench.core.workspace import Workspace


class PlaneLink(NamedTuple):
    """URL and token of a control plane."""

    url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """Headers that authorize a request."""
        return {"Authorization": f"Bearer {self.token}"}


class PlaneConnection:
    """Finds and starts the control plane of the workspace that `folder` belongs to.

    Parameters
    ----------
    folder : Path
        A folder in the workspace, usually the server's root folder.

    Notes
    -----
    The workspace is searched again for each connection, because a user may run ``mlops init`` or edit
    ``workbench.toml`` while the server runs. Blocking calls run in a thread, never on the event loop.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._link: PlaneLink | None = None
        self._opening: asyncio.Task[PlaneLink] | None = None

    async def workspace(self) -> Workspace:
        """The workspace of the folder; raises SettingsError if ``workbench.toml`` is invalid."""
        return await asyncio.to_thread(Workspace.find, self._folder)

    async def open(self, stale: PlaneLink | None = None) -> PlaneLink:
        """The control plane, started if it does not run; concurrent callers share one start.

        Parameters
        ----------
        stale : PlaneLink, optional
            A link that does not work.

        Raises
        ------
        WorkbenchError
            The workspace's settings are invalid, or its control plane does not start.
        """
        if self._link is not None and self._link != stale:
            return self._link
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
        # Shielded: cancelling one caller must not cancel the start that the others wait for.
        return await asyncio.shield(self._opening)

    async def running(self) -> PlaneLink | None:
        """The control plane if it runs; raises SettingsError if ``workbench.toml`` is invalid."""
        found = await asyncio.to_thread(lambda: find_running(Workspace.find(self._folder)))
        self._link = PlaneLink(*found) if found else None
        return self._link

    async def _open(self) -> PlaneLink:
        found = await asyncio.to_thread(lambda: ensure_running(Workspace.find(self._folder)))
        self._link = PlaneLink(*found)
        return self._link
