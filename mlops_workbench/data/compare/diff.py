"""Difference of two versions of data: schema, rows, distributions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.core.shown.formats import number
from mlops_workbench.core.shown.formats import share as percent
from mlops_workbench.data.compare.source import DataSource
from mlops_workbench.data.tables.arrow_columns import arrow_array, texts_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ColumnChange:
    """A column of both sides.

    Attributes
    ----------
    name : str
        Name of the column.
    change : str
        ``same``, ``changed`` or ``retyped``; empty when it is unknown whether a value changed.
    types : tuple of str
        Type in A and in B.
    effect : float or None
        Size of the change of distribution: for numbers the Wasserstein distance in standard deviations of A, for
        everything else the total variation distance; None when there is nothing to compare.
    p_value : float or None
        P-value of a permutation test, when the rows of both sides are available.
    drifted : bool
        Whether the change is significant and as large as the monitors' threshold.
    missing : tuple of float
        Share of missing values in A and in B.
    values : tuple of str
        Mean and standard deviation, or the most frequent values, in A and in B.
    """

    name: str
    change: str
    types: tuple[str, str]
    effect: float | None
    p_value: float | None
    drifted: bool
    missing: tuple[float, float]
    values: tuple[str, str]


@dataclass(frozen=True)
class DataDiff:
    """Difference of two versions of data.

    Attributes
    ----------
    same : bool
        Whether the versions are the same.
    rows : tuple of int
        Number of rows of A and B.
    rows_added, rows_removed : int or None
        Rows of B that are not in A, and vice versa, by the values of the shared columns; None when
        the rows of a side are not available.
    reordered : bool
        Whether B has the rows of A in another order.
    added, removed : list of (name, type)
        Columns of one side only.
    columns : list of ColumnChange
        Columns of both sides, the largest change first.
    exact : bool
        Whether distributions were compared by the rows of both sides, not by their profiles.
    """

    same: bool
    rows: tuple[int, int]
    rows_added: int | None
    rows_removed: int | None
    reordered: bool
    added: list[tuple[str, str]] = field(default_factory=list)
    removed: list[tuple[str, str]] = field(default_factory=list)
    columns: list[ColumnChange] = field(default_factory=list)
    exact: bool = False


def diff_data(a: DataSource, b: DataSource, settings: MonitoringSettings) -> DataDiff:
    """Compare two versions of data."""
    left, right = _columns(a), _columns(b)
    shared = [name for name in left if name in right]
    frames = (a.frame, b.frame) if a.frame is not None and b.frame is not None else None
    drift = _drift(*frames, settings) if frames is not None else {}
    rows_added, rows_removed = _rows(*frames, shared) if frames is not None else (None, None)
    same = a.digest == b.digest and a.covers == b.covers
    columns = [_change(name, a, b, left[name], right[name], drift.get(name), settings) for name in shared]
    columns.sort(key=lambda c: (not c.drifted, c.change != "retyped", -(c.effect or 0.0), c.change == "same"))
    added = [(name, right[name]["dtype"]) for name in right if name not in left]
    removed = [(name, left[name]["dtype"]) for name in left if name not in right]
    return DataDiff(
        same=same,
        rows=(a.rows, b.rows),
        rows_added=rows_added,
        rows_removed=rows_removed,
        reordered=not same and (rows_added, rows_removed) == (0, 0) and not added and not removed,
        added=added,
        removed=removed,
        columns=columns,
        exact=frames is not None,
    )


def _columns(source: DataSource) -> dict[str, dict[str, Any]]:
    return {column["name"]: column for column in source.profile.get("columns", [])}


def _change(
    name: str,
    a: DataSource,
    b: DataSource,
    left: dict[str, Any],
    right: dict[str, Any],
    drift: Any,
    settings: MonitoringSettings,
) -> ColumnChange:
    if drift is not None:
        effect, p_value, drifted = drift.effect, drift.p_value, drift.drifted
    else:
        effect = profile_effect(left, right)
        floor = settings.numeric_effect if _is_numeric(left) else settings.categorical_effect
        # Without rows there is no test, only the size of the change.
        p_value, drifted = None, effect is not None and effect >= floor
    if a.covers == b.covers == "content" and a.digest == b.digest:
        change = "same"
    elif left["dtype"] != right["dtype"]:
        change = "retyped"
    elif left.get("digest") and right.get("digest"):
        change = "same" if left["digest"] == right["digest"] else "changed"
    else:
        change = "changed" if effect else ""
    return ColumnChange(
        name, change, (left["dtype"], right["dtype"]), effect, p_value, drifted,
        (_missing(left, a), _missing(right, b)), (_summary(left, a), _summary(right, b)),
    )  # fmt: skip


def profile_effect(left: dict[str, Any], right: dict[str, Any]) -> float | None:
    """Return the size of the change between the profiles of two columns, or None when they have no values.

    For numbers and dates it is the area between the quantile functions in standard deviations of the left one, for
    everything else the total variation distance over the most frequent values of both sides and the rest.
    """
    if _is_numeric(left) and _is_numeric(right):
        first, second = left.get("quantiles") or [], right.get("quantiles") or []
        if not first or len(first) != len(second):
            return None
        gaps = [abs(x - y) for x, y in zip(first, second, strict=True)]
        # Trapezoidal rule: the extremes count half.
        distance = (sum(gaps) - (gaps[0] + gaps[-1]) / 2) / (len(gaps) - 1)
        scale = left.get("std") or right.get("std") or 0.0
        return distance / scale if scale else float(distance > 0)
    shares = [_shares(left), _shares(right)]
    if not all(shares):
        return None
    values = shares[0].keys() | shares[1].keys()
    rest = abs(sum(shares[0].values()) - sum(shares[1].values()))
    return 0.5 * (sum(abs(shares[0].get(v, 0.0) - shares[1].get(v, 0.0)) for v in values) + rest)


def _shares(column: dict[str, Any]) -> dict[str, float]:
    top = column.get("top") or []
    total = column.get("counted") or sum(count for _, count in top)
    return {str(value): count / total for value, count in top} if total else {}


def _is_numeric(column: dict[str, Any]) -> bool:
    return column["kind"] in ("numeric", "datetime")


def _missing(column: dict[str, Any], source: DataSource) -> float:
    return float(column["missing"] / max(1, source.profile.get("examined") or source.rows))


def _summary(column: dict[str, Any], source: DataSource) -> str:
    if column["kind"] == "datetime":
        import datetime

        ends = [column.get("min"), column.get("max")]
        if None in ends:
            return "–"
        return " to ".join(
            datetime.datetime.fromtimestamp(end, datetime.UTC).isoformat()[:10] for end in ends if end is not None
        )
    if column["kind"] == "numeric":
        mean, std = column.get("mean"), column.get("std")
        return "–" if mean is None or std is None else f"{number(mean)} ± {number(std)}"
    shares = sorted(_shares(column).items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{value[:20]} {percent(share)}" for value, share in shares) or "–"


def _drift(a: pd.DataFrame, b: pd.DataFrame, settings: MonitoringSettings) -> dict[str, Any]:
    # Monitors use the same statistics, so that the same change has the same number in both places.
    from mlops_workbench.data.compare.drift import find_drift

    unique = [name for name in dict.fromkeys(a.columns) if list(a.columns).count(name) == 1]
    return {found.name: found for found in find_drift(_arrow(a[unique]), _arrow(b), settings)}


def _arrow(frame: pd.DataFrame) -> Any:
    import pyarrow as pa

    return pa.table({str(name): arrow_array(frame.iloc[:, i]) for i, name in enumerate(frame.columns)})


def _rows(a: pd.DataFrame, b: pd.DataFrame, shared: list[str]) -> tuple[int | None, int | None]:
    import pandas as pd

    names = [name for name in shared if list(a.columns).count(name) == list(b.columns).count(name) == 1]
    if not names:
        return None, None
    left, right = a[names].reset_index(drop=True), b[names].reset_index(drop=True)
    types = pd.api.types
    for name in names:
        kinds = [part[name].dtype for part in (left, right)]
        if kinds[0] == kinds[1] and _is_hashed_by_value(kinds[0]):
            continue
        # Convert both to one type: 1 and 1.0 are the same value, and so are text and its categories.
        if all(map(types.is_any_real_numeric_dtype, kinds)) and not all(map(types.is_integer_dtype, kinds)):
            left[name], right[name] = (part[name].astype("Float64") for part in (left, right))
        else:
            # Integers too: a float does not tell large ones apart.
            left[name], right[name] = (pd.Series(texts_of(part[name]), dtype=object) for part in (left, right))
    counts = [pd.util.hash_pandas_object(part, index=False).value_counts() for part in (left, right)]
    change = counts[1].sub(counts[0], fill_value=0)
    return int(change[change > 0].sum()), int(-change[change < 0].sum())


def _is_hashed_by_value(kind: Any) -> bool:
    """Whether pandas has a hash for every value of a type, the same one wherever the value is."""
    import pandas as pd

    if isinstance(kind, pd.StringDtype | pd.CategoricalDtype):
        return True
    # Objects may be lists. Arrow's integers are hashed as floats beside a missing value, and as integers without one.
    return kind.kind not in "Oc" and str(kind) not in ("float96", "float128") and not isinstance(kind, pd.ArrowDtype)
