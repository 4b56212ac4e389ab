"""Versions of data as they are read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class DatasetVersion:
    """Data as one run used it.

    Attributes
    ----------
    run_uid, run, experiment : str
        The run.
    name, context : str
        What the run called it, and used it for.
    digest : str
        The version: the same for the same data, whatever run used it under whatever name.
    rows, columns : int
        Shape.
    covers : str
        What the digest was made of: ``content``, ``sampled`` or ``shape``.
    snapshot : str
        Blob digest of the data as Parquet, empty when no run kept this version.
    schema : str
        Blob digest of the pandera schema, empty when none was inferred.
    start_ms, first_ms : int
        When this run began, and when the first run did that used this version; milliseconds since the epoch.
    first_run : str
        Name of that first run.
    profile : dict
        Types, missing values, extremes, quantiles and frequent values by column.
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
