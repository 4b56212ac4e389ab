"""Keeps the files through which clients find a running control plane."""

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
    """Files with the address and the token of a running control plane.

    They are restored when they are deleted or changed: clients could not find this process, and could not start
    another one either while it holds the lock.

    Parameters
    ----------
    workspace : Workspace
        Its workspace, whose lock this process holds.
    address : Address
        Address of this process.
    token : str
        Token that requests must have.
    on_lost : callable
        Called once if the lock file was deleted: another process may serve the workspace from then on.
    """

    def __init__(self, workspace: Workspace, address: Address, token: str, on_lost: Callable[[], None]) -> None:
        self._lock = lock_file(workspace)
        self._address = address_file(workspace)
        self._content = {token_file(workspace): token.encode(), self._address: msgspec.json.encode(address)}
        self._held = self._lock.stat().st_ino
        self._on_lost = on_lost
        self._lost = False

    def keep(self) -> None:
        """Restore files that are missing or changed; raises StorageError if that fails."""
        if self._lost:
            return
        if not self._is_held():
            self._lost = True
            log.warning("%s was deleted: this control plane stops", self._lock)
            self._on_lost()
            return
        for path, content in self._content.items():
            if not _is(path, content):
                write_atomic(path, content, mode=_OWNER_ONLY)

    def withdraw(self) -> None:
        """Delete the address file."""
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
