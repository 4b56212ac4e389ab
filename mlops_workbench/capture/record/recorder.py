"""What a run needs of the session that it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlops_workbench.capture.run.fits import Fits
from mlops_workbench.core.records import Record
from mlops_workbench.core.workspace import Workspace

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun


class Recorder(Protocol):
    """Takes what runs record; `Session` is one."""

    fits: Fits

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

    def store(self, run_uid: str, data: bytes | Path, *, wait: bool = True) -> str | None:
        """Put bytes or a file into the blob store and return the digest, None when that failed."""

    def complete(self, run_uid: str) -> bool:
        """Whether nothing of a run had to be dropped so far."""

    def ended(self, run: ActiveRun) -> None:
        """Take a run off the active ones."""
