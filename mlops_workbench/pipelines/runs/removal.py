"""Removal of the notebooks, outputs and logs of a pipeline run; its request and events, the history, stay."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mlops_workbench.pipelines.runs.folder import EVENTS, RunFolder

_RUN = RunFolder(Path())
_HISTORY = frozenset({_RUN.request.name, _RUN.spec.name, _RUN.events.name})


def removable_size(folder: Path) -> int:
    """Bytes that :func:`remove_files` would free."""
    return sum(size for _, _, size in _files(folder))


def remove_files(folder: Path) -> int:
    """Delete all files of a run but its request, spec and events; return the freed bytes.

    Links are deleted and never followed. An end of the process leaves less to delete for the next call.

    Raises
    ------
    OSError
        A file cannot be deleted.
    """
    freed = 0
    for descriptor, name, size in _files(folder):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=descriptor)
            freed += size
    for _, folders, _, descriptor in os.fwalk(folder, topdown=False):
        for name in folders:
            # It is not empty if it has events.
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=descriptor)
    return freed


def _files(folder: Path) -> Iterator[tuple[int, str, int]]:
    for root, folders, files, descriptor in os.fwalk(folder):
        within = Path(root).relative_to(folder).parts
        for name in [*files, *folders]:
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if not stat.S_ISDIR(found.st_mode) and not _is_history((*within, name)):
                    yield descriptor, name, found.st_size


def _is_history(parts: tuple[str, ...]) -> bool:
    if len(parts) == 1:
        return parts[0] in _HISTORY
    return len(parts) == 4 and parts[0] == _RUN.stage("").name and parts[3] == EVENTS
