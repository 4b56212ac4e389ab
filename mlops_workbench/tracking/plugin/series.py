"""All values of one metric of one run, in memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator

from mlops_workbench.tracking.mapping.values import finite


class Series:
    """Values with their time and step, 24 bytes each.

    Attributes
    ----------
    latest : tuple of (int, int, float, float)
        Step, time, value for comparison and value to show of MLflow's latest value: that of the highest
        (step, time, value), where NaN is compared as 0.
    """

    __slots__ = ("_steps", "_times", "_values", "latest")

    def __init__(self) -> None:
        self._values = array("d")
        self._times = array("q")
        self._steps = array("q")
        self.latest: tuple[int, int, float, float] | None = None

    def add(self, value: float, at_ms: int, step: int) -> None:
        """Add a value."""
        shown = finite(value)
        self._values.append(shown)
        self._times.append(at_ms)
        self._steps.append(step)
        compared = 0.0 if shown != shown else shown
        if self.latest is None or (step, at_ms, compared) > self.latest[:3]:
            self.latest = (step, at_ms, compared, shown)

    def points(self) -> Iterator[tuple[int, int, float]]:
        """Time, step and value of each point in the order of MLflow's SQL store, without duplicates."""
        last = None
        for at_ms, step, compared, missing in sorted(
            (at_ms, step, 0.0 if value != value else value, value != value)
            for at_ms, step, value in zip(self._times, self._steps, self._values, strict=True)
        ):
            if (at_ms, step, compared, missing) != last:
                last = (at_ms, step, compared, missing)
                yield at_ms, step, math.nan if missing else compared
