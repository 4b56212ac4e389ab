"""Data of runs by reference: which version is meant, and the data itself from its snapshot."""

from __future__ import annotations

from typing import Any

from mlops_workbench.client.client import Client
from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import NotFound, did_you_mean
from mlops_workbench.data.snapshot import read_snapshot


def find_versions(client: Client, reference: str) -> list[DatasetVersion]:
    """Data that is meant by a run's name or id, or by a version.

    Parameters
    ----------
    client : Client
        Of the control plane.
    reference : str
        A run: its data, training data first. Else a version of data or its beginning: the newest use of it.

    Raises
    ------
    NotFound
        It is neither, or the run used no data that was seen.
    """
    try:
        uid = client.run(reference).run.uid
    except NotFound as no_run:
        try:
            return client.dataset_versions(reference)[:1]
        except NotFound:
            raise no_run from None
    found = client.datasets(uid)
    if not found:
        raise NotFound(
            f"no data was seen to go into run '{reference}'", hint="log_dataset(table, 'name') in its cell records it"
        )
    return found


def choose_version(versions: list[DatasetVersion], name: str = "") -> DatasetVersion:
    """The data set of that name, else the widest training data.

    Raises
    ------
    NotFound
        There is none of that name.
    """
    chosen = [version for version in versions if not name or version.name == name]
    if not chosen:
        raise NotFound(f"no data set '{name}'", hint=did_you_mean(name, {version.name for version in versions}))
    return chosen[0]


def load_dataset(reference: str, name: str = "") -> Any:
    """Data that a run used, from the snapshot that was kept of it.

    Parameters
    ----------
    reference : str
        A run's name or id, or a version of data (at least 6 digits of it).
    name : str, optional
        Which of the run's data sets; by default the widest training data.

    Returns
    -------
    DataFrame, Series, ndarray or sparse matrix
        What was recorded.

    Raises
    ------
    NotFound
        There is no such run or data, or no snapshot was kept.
    """
    with Client.connect() as client:
        version = choose_version(find_versions(client, reference), name)
        return read_snapshot(client.dataset_file(version.digest, "snapshot"))
