"""The curves of a run's metrics, from the points that were recorded."""

from __future__ import annotations

import threading
from collections.abc import Mapping

#: Points that are kept of a curve, and points that wait until they are sorted into curves.
_MOST, _WAITING = 480, 65_536


class _Curve:
    """Evenly spaced points of one metric."""

    __slots__ = ("_count", "_last", "_stride", "_values")

    def __init__(self) -> None:
        self._values: list[float] = []
        self._last = 0.0
        self._count = 0
        self._stride = 1

    def add(self, value: float) -> None:
        if self._count % self._stride == 0:
            self._values.append(value)
            if len(self._values) > _MOST:
                del self._values[1::2]
                self._stride *= 2
        self._count += 1
        self._last = value

    def points(self) -> list[float]:
        at_end = (self._count - 1) % self._stride == 0
        return [*self._values] if at_end else [*self._values, self._last]


class MetricCurves:
    """Collects the points of a run's metrics; of long curves it keeps every second, fourth and so on."""

    def __init__(self) -> None:
        self._waiting: list[Mapping[str, float]] = []
        self._curves: dict[str, _Curve] = {}
        self._lock = threading.Lock()

    def add(self, metrics: Mapping[str, float]) -> None:
        """Add the points of one record, which must not be changed later."""
        # Called in every step of the user's loops: sorting into curves waits.
        self._waiting.append(metrics)
        if len(self._waiting) > _WAITING:
            self.fold()

    def fold(self) -> None:
        """Sort the waiting points into the curves."""
        with self._lock:
            part = self._waiting[:]
            del self._waiting[: len(part)]
            for metrics in part:
                for name, value in metrics.items():
                    curve = self._curves.get(name)
                    if curve is None:
                        curve = self._curves[name] = _Curve()
                    curve.add(value)

    def points(self) -> dict[str, list[float]]:
        """Points of each metric in the order of recording, the last one included."""
        self.fold()
        with self._lock:
            return {name: curve.points() for name, curve in self._curves.items()}
