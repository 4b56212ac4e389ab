"""The version of an input: for the key of a result, and for the lineage of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.errors import NotFound
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cache.digests import files_digest
from mlops_workbench.pipelines.inputs.dataset import find_dataset
from mlops_workbench.pipelines.inputs.url import version_of_url
from mlops_workbench.pipelines.runs.requests import InputRequest


def describe_input(workspace: Workspace, entry: InputRequest, digest: Callable[[str], str]) -> str:
    """What identifies the content of an input.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the run.
    entry : InputRequest
        The input, after it was made.
    digest : callable
        Returns the digest of a file or folder, as `FileDigests.of` does.

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
    digests = {}
    for number, file in enumerate(entry.files):
        try:
            digests[f"{number} {Path(file).name}"] = digest(file)
        except OSError as error:
            raise NotFound(f"{file} cannot be read: {error.strerror or error}") from error
    return f"sha256:{next(iter(digests.values())) if len(digests) == 1 else files_digest(digests)}"
