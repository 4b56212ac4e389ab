"""Conversion of tables to pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def as_frame(data: Any) -> pd.DataFrame | None:
    """Return any kind of table as a DataFrame with text as column names; None for data without columns."""
    import pandas as pd

    from mlops_workbench.data.tables.columns import column_names
    from mlops_workbench.data.tables.kinds import kind_of

    frame: pd.DataFrame | None = None
    kind = kind_of(data)
    if kind == "frame":
        frame = data.copy(deep=False)
        frame.columns = pd.Index(column_names(data))
    elif kind == "series":
        frame = data.to_frame(name=column_names(data)[0])
    elif kind == "array" and data.ndim <= 2:
        frame = pd.DataFrame(data if data.ndim == 2 else data.reshape(-1, 1), columns=column_names(data))
    elif kind == "arrow":
        frame = data.to_pandas()
    elif kind == "polars":
        frame = (data if hasattr(data, "get_columns") else data.to_frame()).to_arrow().to_pandas()
    elif kind == "records":
        frame = pd.DataFrame(list(data))
        frame.columns = pd.Index([name if isinstance(name, str) else f"x{name}" for name in frame.columns])
    return frame
