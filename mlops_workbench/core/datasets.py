"""Versions of data sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class DatasetVersion:
    """A version of a data set, as one run used it.

    Attributes
    ----------
    run_uid, run, experiment : str
        The run.
    name, context : str
        Name of the data in the run, and its use: ``training``, ``test`` and so on.
    digest : str
        Digest of the data, which identifies the version; runs and names do not affect it.
    rows, columns : int
        Number of rows and columns.
    covers : str
        Input of the digest: ``content``, ``sampled`` or ``shape``.
    snapshot : str
        Blob digest of the data as Parquet, empty when no run kept a copy.
    schema : str
        Blob digest of the pandera schema, empty when none was inferred.
    start_ms, first_ms : int
        Start of this run and of the first run with this version, in milliseconds since the epoch.
    first_run : str
        Name of the first run with this version.
    profile : dict
        By column: type, missing values, minimum, maximum, quantiles and frequent values.
    """

    run_uid: str
    run: str
    experiment: str
    name: str
    context: str
    digest: str
    rows: int
    columns: int
    covers: str = "content"
    snapshot: str = ""
    schema: str = ""
    start_ms: int = 0
    first_ms: int = 0
    first_run: str = ""
    profile: dict[str, Any] = field(default_factory=dict)
