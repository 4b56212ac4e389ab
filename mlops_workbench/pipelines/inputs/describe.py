"""The version of an input, for the lineage of a run."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from mlops_workbench.core.errors import NotFound
from mlops_workbench.core.store import digest_file
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.inputs.dataset import find_dataset
from mlops_workbench.pipelines.inputs.url import version_of_url
from mlops_workbench.pipelines.runs.requests import InputRequest


def describe_input(workspace: Workspace, entry: InputRequest) -> str:
    """What identifies the content of an input.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the run.
    entry : InputRequest
        The input, after it was made.

    Returns
    -------
    str
        ``sha256:...`` for files, for folders and for the result of a query; ``dataset:...`` with the version of a data
        set; ``version:...`` for what the storage of a URL says about it, empty if it says nothing.

    Raises
    ------
    NotFound
        It does not exist.
    InvalidInput
        A URL cannot be reached.
    """
    if entry.kind == "dataset":
        return f"dataset:{find_dataset(workspace, entry.source).digest}"
    if entry.kind == "url":
        versions = [version_of_url(url) for url in entry.files]
        return f"version:{' '.join(versions)}" if all(versions) else ""
    return f"sha256:{_digest_of([Path(file) for file in entry.files])}"


def _digest_of(paths: list[Path]) -> str:
    """SHA-256 of a file; of several files or a folder, that of their names and digests."""
    if len(paths) == 1 and paths[0].is_file():
        return _digest(paths[0])
    state = hashlib.sha256()
    for top in paths:
        inside = sorted(one for one in top.rglob("*") if one.is_file()) if top.is_dir() else [top]
        for file in inside:
            state.update(
                f"{file.relative_to(top.parent).as_posix()}\0{_digest(file)}\n".encode("utf-8", "surrogateescape")
            )
    return state.hexdigest()


def _digest(path: Path) -> str:
    try:
        found = path.stat()
        return _cached(path, found.st_size, found.st_mtime_ns, found.st_ino)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror or error}") from error


@lru_cache(maxsize=4096)
def _cached(path: Path, size: int, mtime_ns: int, inode: int) -> str:
    """The digest of a file, computed anew after its size, its time or the file itself changed."""
    return digest_file(path)
