"""Checkpoints: which entry was the last one at a time, written down outside the database."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mlops_workbench.control.audit.chain import time_ms
from mlops_workbench.core.audit import Checkpoint
from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import write_atomic


class CheckpointFile:
    """The file with the last checkpoint.

    Who can change the database can change this file. It shows that a database was replaced by an older copy; against
    a forger, keep copies of it where that person cannot write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Checkpoint | None:
        """The last checkpoint, None if there is none yet; raises StorageError for a file that is damaged."""
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=Checkpoint)
            time_ms(found.at)
            return found
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, ValueError) as error:
            raise StorageError(
                f"the checkpoint of the audit trail cannot be read: {error}",
                where=str(self.path),
                hint="move the file away when you know what happened to it",
            ) from error

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint; raises StorageError if the file cannot be written."""
        write_atomic(self.path, msgspec.json.format(msgspec.json.encode(checkpoint)) + b"\n", mode=0o600)


def parse_anchor(text: str) -> Checkpoint:
    """The checkpoint that a request names as ``NUMBER:SHA-256``."""
    seq, _, found = text.partition(":")
    return Checkpoint(int(seq), found)


def absence(known: Checkpoint, found: str | None, last: int) -> str:
    """Why a checkpoint is not in a chain; empty if it is.

    Parameters
    ----------
    known : Checkpoint
        The checkpoint.
    found : str or None
        SHA-256 of the entry of its number; None without one.
    last : int
        Number of the last entry.
    """
    of = f"entry {known.seq}" + (f", written {known.at}" if known.at else "")
    if found == known.hash:
        return ""
    if found is not None:
        return f"{of}, has another hash: the trail was written anew, or went on from an older copy of the database"
    if known.seq > last:
        return f"it is {of}, and the last entry is {last}: the database is an older copy, or entries were removed"
    return f"{of}, is missing"
