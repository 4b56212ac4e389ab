"""One side of a comparison of data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class DataSource:
    """Data to compare: its description, and the rows if they are available.

    Attributes
    ----------
    label : str
        Text that describes it.
    name : str
        Name of the data set.
    digest, covers : str
        Version.
    rows : int
        Number of rows.
    profile : dict
        See :func:`mlops_workbench.data.profile.profile_table`.
    frame : DataFrame or None
        The rows: those of a table or file, or of a snapshot that was fetched.
    kept : bool
        Whether there is a snapshot.
    """

    label: str
    name: str
    digest: str
    covers: str
    rows: int
    profile: dict[str, Any] = field(repr=False)
    frame: pd.DataFrame | None = field(default=None, repr=False)
    kept: bool = False
