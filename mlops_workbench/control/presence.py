"""The files by which a control plane is found, kept right for as long as it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from mlops_workbench.client.launch import Address, address_file, lock_file, token_file
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.workspace import Workspace

_OWNER_ONLY = 0o600

log = logging.getLogger("mlops_workbench.control")


class Presence:
    """Address and token of a running control plane, in its workspace.

    The process that holds the lock is the one that serves the workspace: if someone deletes or changes these
    files, nobody finds it, and nobody can start another one either. So it puts them right again.

    Parameters
    ----------
    workspace : Workspace
        The one it serves; its lock is held by this process.
    address : Address
        Where it listens.
    token : str
        What it expects of every request.
    on_lost : callable
        Called once when the lock file is gone: another process may serve the workspace from now on, if it
        still exists.
    """

    def __init__(self, workspace: Workspace, address: Address, token: str, on_lost: Callable[[], None]) -> None:
        self._lock = lock_file(workspace)
        self._address = address_file(workspace)
        self._content = {token_file(workspace): token.encode(), self._address: msgspec.json.encode(address)}
        self._held = self._lock.stat().st_ino
        self._on_lost = on_lost
        self._lost = False

    def keep(self) -> None:
        """Write what is missing or was changed.

        Raises
        ------
        StorageError
            A file cannot be written.
        """
        if self._lost:
            return
        if not self._is_held():
            self._lost = True
            log.warning("%s was deleted: this control plane ends", self._lock)
            self._on_lost()
            return
        for path, content in self._content.items():
            if not _is(path, content):
                write_atomic(path, content, mode=_OWNER_ONLY)

    def withdraw(self) -> None:
        """Stop being found."""
        if not self._lost:
            self._address.unlink(missing_ok=True)

    def _is_held(self) -> bool:
        try:
            return self._lock.stat().st_ino == self._held
        except OSError:
            return False


def _is(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes().strip() == content and not path.stat().st_mode & 0o077
    except OSError:
        return False
