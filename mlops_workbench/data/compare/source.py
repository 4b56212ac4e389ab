"""One side of a comparison of data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class DataSource:
    """Data to compare: what is known of it, and the rows if they are at hand.

    Attributes
    ----------
    label : str
        What it is, in words.
    name : str
        Name of the data set.
    digest, covers : str
        Its version.
    rows : int
        Number of rows.
    profile : dict
        See :func:`mlops_workbench.data.profile.profile_table`.
    frame : DataFrame or None
        The rows: those of a table or file, or of a snapshot once it was fetched.
    kept : bool
        A snapshot was kept.
    """

    label: str
    name: str
    digest: str
    covers: str
    rows: int
    profile: dict[str, Any] = field(repr=False)
    frame: pd.DataFrame | None = field(default=None, repr=False)
    kept: bool = False
