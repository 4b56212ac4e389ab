"""Histories of metrics, read from the index: all points, or as many as a chart can show."""

from __future__ import annotations

from typing import Any

from mlops_workbench.core.runs import MetricPoint
from mlops_workbench.tracking.sqlite import Query

_SERIES = "SELECT step, at_ms, value, text FROM points WHERE series = ?"
_ORDER = " ORDER BY step, at_ms, ordinal"
#: A sample with fewer than this fraction of the requested points means that the steps are spread very unevenly.
_SPARSE = 4


def points_of(query: Query, uid: str) -> dict[str, int]:
    """Number of points of each metric of a run that has any."""
    return dict(query("SELECT name, points FROM metrics WHERE uid = ? AND points > 0 ORDER BY name", (uid,)))


def history(query: Query, uid: str, name: str, max_points: int | None = None) -> list[MetricPoint]:
    """Points of a metric in order of step and time.

    Parameters
    ----------
    query : callable
        Runs a statement on the index.
    uid, name : str
        Run and metric.
    max_points : int, optional
        Return about this many, evenly spread over the steps (over time, if there is only one step), the first and
        the last included.
    """
    found = query("SELECT series, points FROM metrics WHERE uid = ? AND name = ?", (uid, name))
    if not found or not found[0][1]:
        return []
    series, count = found[0]
    if max_points is None or count <= max_points:
        return [_point(row) for row in query(_SERIES + _ORDER, (series,))]
    return [_point(row) for row in _sample(query, series, count, max(max_points, 2))]


def thinned(points: list[MetricPoint], max_points: int | None) -> list[MetricPoint]:
    """About `max_points` of the points, every n-th and the last."""
    if max_points is None or len(points) <= max_points:
        return points
    step = -(-len(points) // max(max_points - 1, 1))
    kept = points[::step]
    return kept if kept[-1] is points[-1] else [*kept, points[-1]]


def _sample(query: Query, series: int, count: int, wanted: int) -> list[tuple[Any, ...]]:
    # A lookup by step costs the same for a thousand points and for a hundred million.
    first = query(f"{_SERIES}{_ORDER} LIMIT 1", (series,))[0]
    last = query(f"{_SERIES} ORDER BY step DESC, at_ms DESC, ordinal DESC LIMIT 1", (series,))[0]
    column, axis = ("step", 0) if first[0] != last[0] else ("at_ms", 1)
    begin, end = first[axis], last[axis]
    sample = [first]
    where = f"{_SERIES} AND step >= ?" if axis == 0 else f"{_SERIES} AND step = {int(first[0])} AND at_ms >= ?"
    for number in range(1, wanted - 1):
        bound = begin + (end - begin) * number // (wanted - 1)
        if bound > sample[-1][axis]:
            sample += query(f"{where}{_ORDER} LIMIT 1", (series, bound))
    if len(sample) < wanted // _SPARSE:
        # A few far steps among many near ones, or many points of one millisecond: every n-th point, by counting.
        return query(
            f"SELECT step, at_ms, value, text FROM (SELECT *, row_number() OVER ({_ORDER.strip()}) AS place FROM points"
            " WHERE series = ?) WHERE place % ? = 1 OR place = ?",
            (series, max(count // wanted, 2), count),
        )
    if last[:2] != sample[-1][:2] or column == "at_ms":
        sample.append(last)
    return sample


def _point(row: tuple[Any, ...]) -> MetricPoint:
    step, at_ms, value, text = row
    return MetricPoint(step, at_ms, value if text is None else text)
