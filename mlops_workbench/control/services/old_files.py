"""Files of the workspace that the rule of retention may remove, and their removal."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlops_workbench.core.retention import Aged
from mlops_workbench.core.workspace import Workspace

#: Seconds to wait for a monitor that reads the log.
_PATIENCE = 5.0


def log_files(folder: Path, held: Mapping[str, str]) -> list[Aged]:
    """Parquet files below ``endpoint=<name>`` by the time they were written; `held` says why an endpoint's stay.

    The time of a compacted file is that of the last of the files that it stands for.
    """
    found = []
    for path, state in _regular(folder):
        name = path.relative_to(folder)
        endpoint = name.parts[0].removeprefix("endpoint=")
        if path.suffix == ".parquet" and name.parts[0].startswith("endpoint="):
            written = int(state.st_mtime * 1000)
            found.append(Aged(str(name), endpoint, state.st_size, written, held=held.get(endpoint, "")))
    return found


def remove_log_file(folder: Path, name: str) -> bool:
    """Delete a file of a log, and its folder of a day if that is empty now; False if somebody reads the log for long.

    Raises
    ------
    OSError
        It cannot be deleted.
    """
    # Imported here, since Arrow takes long to import and the rule is applied once an hour.
    from mlops_workbench.serving.log.catalog import CATALOG, IDS, changing, note_removal

    path = folder / name
    log = folder / Path(name).parts[0]
    day = path.parent.name.removeprefix("date=") if path.parent.name.startswith("date=") else ""
    with changing(log, seconds=_PATIENCE) as alone:
        if not alone:
            return False
        if day:
            note_removal(log, day)
        path.unlink(missing_ok=True)
        path.with_suffix(IDS).unlink(missing_ok=True)
        if day and not any(path.parent.glob("*.parquet")):
            (path.parent / CATALOG).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()
    return True


def folder_size(folder: Path, suffix: str) -> tuple[int, int]:
    """Number and bytes of the files with this suffix."""
    sizes = [state.st_size for path, state in _regular(folder) if path.suffix == suffix]
    return len(sizes), sum(sizes)


def drop_snapshot_names(workspace: Workspace) -> None:
    """Forget which files held versions of data, of files that were removed."""
    for path, _ in _regular(workspace.state / "snapshots"):
        with contextlib.suppress(OSError):
            if not workspace.blobs.path(path.read_text().strip()).exists():
                path.unlink()


def _regular(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Regular files below a folder; links are not followed."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            with contextlib.suppress(FileNotFoundError):
                state = path.stat(follow_symlinks=False)
                if stat.S_ISREG(state.st_mode):
                    yield path, state
