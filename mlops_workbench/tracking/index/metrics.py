"""Metrics in the read index: every point in order of steps, and the last value of each metric of a run.

There may be millions of points, so those of a batch are written together. A point refers to its series by a number,
which keeps its row short.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from mlops_workbench.core.records import Metrics
from mlops_workbench.core.wire.json_numbers import JsonNumber, real_number
from mlops_workbench.tracking.mapping.values import MAX_FLOAT, indexed_value, step_for_store
from mlops_workbench.tracking.sqlite import insert_rows


class _Last(NamedTuple):
    """Last value of a metric: that of the highest (step, time, value), as in MLflow."""

    step: int
    at_ms: int
    number: float | None
    text: str | None
    points: int
    series: int

    def before(self, step: int, at_ms: int, number: float | None) -> bool:
        return (self.step, self.at_ms, self.number or 0.0) < (step, at_ms, number or 0.0)


class MetricRows:
    """Metrics of a batch, to be written to the index.

    Attributes
    ----------
    last_ms : dict
        Time of the last metric of each run, by its uid.
    """

    def __init__(self) -> None:
        self.last_ms: dict[str, int] = {}
        self._points: dict[tuple[str, str], list[tuple[int, int, float | None, str | None]]] = {}

    def clear(self) -> None:
        """Drop what was added."""
        self.last_ms.clear()
        self._points.clear()

    def add(self, record: Metrics) -> None:
        """Add the values of a record."""
        uid, at_ms, step = record.run_uid, step_for_store(record.at_ms), step_for_store(record.step)
        if at_ms > self.last_ms.get(uid, -1):
            self.last_ms[uid] = at_ms
        for name, value in record.values.items():
            if type(value) is float and -MAX_FLOAT < value < MAX_FLOAT:
                point = (step, at_ms, value, None)
            else:
                point = (step, at_ms, *indexed_value(value))
            try:
                self._points[uid, name].append(point)
            except KeyError:
                self._points[uid, name] = [point]

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what was added, inside the caller's transaction."""
        if not self._points:
            return
        # Numbers of series and points are never reused, so that no point is overwritten.
        state = dict(connection.execute("SELECT name, value FROM state WHERE name IN ('series', 'points')"))
        series, count = state["series"], state["points"]
        rows: list[tuple[Any, ...]] = []
        lasts = []
        for (uid, name), points in self._points.items():
            found = connection.execute(
                "SELECT step, at_ms, value, text, points, series FROM metrics WHERE uid = ? AND name = ?", (uid, name)
            ).fetchone()
            if found is None or not found[-1]:
                series += 1
                last = _Last(*(points[0] if found is None else found[:4]), 0, series)
            else:
                last = _Last(*found)
            known, number = last.points, last.series
            for step, at_ms, value, text in points:
                if last.before(step, at_ms, value):
                    last = _Last(step, at_ms, value, text, known, number)
                count += 1
                rows.append((number, step, at_ms, count, value, text))
            lasts.append((uid, name, *last[:4], known + len(points), number))
        insert_rows(connection, "INSERT INTO points VALUES ", rows)
        connection.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?, ?)", lasts)
        connection.executemany("UPDATE state SET value = ? WHERE name = ?", [(series, "series"), (count, "points")])
        self._points.clear()


def put_last_values(
    connection: sqlite3.Connection, uid: str, values: Iterable[tuple[str, int, int, JsonNumber | None]]
) -> None:
    """Write last values, as ``(name, step, ms, value)``, of a run whose points are not in the index."""
    connection.executemany(
        "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?, ?, ?, 0, 0)",
        [
            (uid, name, step, at_ms, *indexed_value(math.nan if value is None else real_number(value)))
            for name, step, at_ms, value in values
        ],
    )
