"""Deletion of old journals that are in the read index and in MLflow."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops_workbench.core.errors import StorageError
from mlops_workbench.tracking.journals.files import Cursor, JournalFile
from mlops_workbench.tracking.journals.references import keep_references

_log = logging.getLogger(__name__)

_DAY = 86_400.0


def expire_journals(
    files: Sequence[JournalFile],
    read: Mapping[str, Cursor],
    delivered: Mapping[str, Cursor],
    keep_days: float,
    references: Path,
) -> list[JournalFile]:
    """Delete closed files that were read and delivered completely, `keep_days` after their last change.

    Parameters
    ----------
    files : sequence of JournalFile
        All journal files.
    read, delivered : mapping
        How far they are in the read index and in MLflow.
    keep_days : float
        Days that a file is kept after its last change; 0 keeps all.
    references : Path
        Folder that keeps which files of the store they refer to.

    Returns
    -------
    list of JournalFile
        Those that were deleted.
    """
    if not keep_days:
        return []
    deleted = []
    for file in files:
        indexed, sent = read.get(file.name, Cursor()), delivered.get(file.name, Cursor())
        if not (indexed.done and sent.done and sent.offset >= indexed.offset):
            continue
        try:
            if time.time() - file.path.stat().st_mtime > keep_days * _DAY:
                keep_references(file.path, references)
                file.path.unlink()
                deleted.append(file)
        except (OSError, StorageError) as error:
            _log.warning("cannot delete the journal %s: %s", file.name, error)
    return deleted
