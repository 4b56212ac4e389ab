"""Where runs are recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from mlops_workbench.core.records import Record
from mlops_workbench.core.workspace import Workspace


class Recorder(Protocol):
    """Takes what runs record; the session of the process is one."""

    @property
    def workspace(self) -> Workspace:
        """The workspace that records go to."""

    @property
    def experiment(self) -> str:
        """Experiment of new runs."""

    def write(self, record: Record, sync: bool = False) -> None:
        """Record something; never raises on disk trouble."""

    def sync_soon(self) -> None:
        """Have what was written brought to the disk at once, in the background."""

    def store(self, run_uid: str, data: bytes | Path, *, again: bool = False, wait: bool = True) -> str | None:
        """Put bytes or a file into the blob store and return the digest, None when that failed."""

    def complete(self, run_uid: str) -> bool:
        """Whether nothing of a run had to be dropped so far."""
