"""A data set of the workspace as a Parquet file: the snapshot that a run kept."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import NotFound, did_you_mean
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.tracking.index.read import ReadIndex

#: Longest number of a version; longer ones are the beginning of its digest.
_NUMBER = 5


def find_dataset(workspace: Workspace, reference: str) -> DatasetVersion:
    """The version of a data set.

    Parameters
    ----------
    workspace : Workspace
        Workspace whose runs used it.
    reference : str
        ``NAME``: the version that a run used last; ``NAME@3``: the third one that runs used; ``NAME@1f3a9c``: the one
        whose id begins so, with at least 6 digits.

    Raises
    ------
    NotFound
        There is no such data set, or no such version of it.
    """
    name, _, version = reference.partition("@")
    index = ReadIndex(workspace.index)
    try:
        uses = index.dataset_uses(name)
        if not uses:
            raise NotFound(f"no run has recorded a data set '{name}'", hint=did_you_mean(name, index.dataset_names()))
    finally:
        index.close()
    if not version:
        return uses[0]
    oldest_first = list({use.digest: use for use in reversed(uses)}.values())
    if version.isdigit() and len(version) <= _NUMBER:
        found = oldest_first[int(version) - 1 : int(version)] if int(version) else []
    else:
        found = [use for use in oldest_first if use.digest.startswith(version)]
    if len(found) != 1:
        what = "several versions whose ids begin with" if found else "no version"
        raise NotFound(f"data set '{name}' has {what} '{version}'", hint=f"it has versions 1 to {len(oldest_first)}")
    return found[0]


def write_dataset(workspace: Workspace, reference: str, path: Path) -> None:
    """Write a data set as Parquet, atomically.

    Raises
    ------
    NotFound
        It does not exist, or no run kept its rows.
    """
    version = find_dataset(workspace, reference)
    if not version.snapshot:
        raise NotFound(
            f"no run kept the rows of data set '{reference}' (version {version.digest[:12]})",
            hint=f"record it with log_dataset(table, '{version.name}', snapshot=True)",
        )
    blob = workspace.blobs.get(version.snapshot)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        shutil.copyfile(blob, temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
