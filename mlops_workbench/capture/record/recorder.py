"""Interface of the recorder of runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mlops_workbench.core.records import Record
from mlops_workbench.core.workspace import Workspace


class Recorder(Protocol):
    """Records runs; implemented by the session of the process."""

    @property
    def workspace(self) -> Workspace:
        """The workspace that records go to."""

    @property
    def experiment(self) -> str:
        """Experiment of new runs."""

    def write(self, record: Record, sync: bool = False) -> None:
        """Write a record; disk errors are not raised."""

    def sync_soon(self) -> None:
        """Request a sync of the journal in the background."""

    def store(self, run_uid: str, data: bytes | Path, *, again: bool = False, wait: bool = True) -> str | None:
        """Put bytes or a file into the blob store and return the digest, or None when that failed."""

    def after_reply(self, what: str, work: Callable[[], object]) -> bool:
        """Do `work` after the reply to the running cell; return False when no cell is awaited, and do nothing."""

    def complete(self, run_uid: str) -> bool:
        """Whether no record of a run was dropped so far."""
