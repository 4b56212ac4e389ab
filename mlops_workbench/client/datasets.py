"""Finds versions of data by reference, and loads their snapshots."""

from __future__ import annotations

from typing import Any

from mlops_workbench.client.client import Client
from mlops_workbench.core.datasets import DatasetVersion
from mlops_workbench.core.errors import NotFound, did_you_mean
from mlops_workbench.data.snapshot import read_snapshot


def find_versions(client: Client, reference: str) -> list[DatasetVersion]:
    """Data of a run, training data first; or the newest use of a version of data.

    Parameters
    ----------
    client : Client
        Connection to the control plane.
    reference : str
        Name or id of a run, else the (abbreviated) id of a version of data.

    Raises
    ------
    NotFound
        It is neither, or no data of the run was recorded.
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
            f"run '{reference}' has no recorded data", hint="call log_dataset(table, 'name') in its cell to record it"
        )
    return found


def choose_version(versions: list[DatasetVersion], name: str = "") -> DatasetVersion:
    """The data set called `name`, by default the widest training data; raises NotFound if no data set has the name."""
    chosen = [version for version in versions if not name or version.name == name]
    if not chosen:
        raise NotFound(f"no data set '{name}'", hint=did_you_mean(name, {version.name for version in versions}))
    return chosen[0]


def load_dataset(reference: str, name: str = "") -> Any:
    """Data that a run used, from its snapshot.

    Parameters
    ----------
    reference : str
        Name or id of a run, or a version of data (at least 6 digits of its id).
    name : str, optional
        Name of one of the run's data sets; by default the widest training data.

    Returns
    -------
    DataFrame, Series, ndarray or sparse matrix
        In the type that was recorded.

    Raises
    ------
    NotFound
        The run or the data does not exist, or has no snapshot.
    """
    with Client.connect() as client:
        version = choose_version(find_versions(client, reference), name)
        return read_snapshot(client.dataset_file(version.digest, "snapshot"))
