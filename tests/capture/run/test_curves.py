"""The curve on a card is drawn from the points that were recorded."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_workbench.capture.run import curves as module
from mlops_workbench.capture.run.curves import MetricCurves


def test_plateaus_and_peaks_between_two_looks_are_points() -> None:
    curves = MetricCurves()
    for value in (1.0, 1.0, 9.0, 1.0, 1.0):
        curves.add({"loss": value})
    assert curves.points() == {"loss": [1.0, 1.0, 9.0, 1.0, 1.0]}


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=3000), st.integers(1, 9))
def test_a_long_curve_keeps_evenly_spaced_points_and_its_last(values: list[float], folds: int) -> None:
    curves = MetricCurves()
    for position, value in enumerate(values):
        curves.add({"a": value, **({"rare": value} if position % 100 == 0 else {})})
        if position % folds == 0:
            curves.fold()
    points = curves.points()
    stride = next(
        s for s in (1, 2, 4, 8, 16) if values[::s] == points["a"] or [*values[::s], values[-1]] == points["a"]
    )
    assert len(points["a"]) <= module._MOST + 1 and len(values) / stride <= module._MOST + 1
    # A metric that is logged seldom is thinned by its own points.
    assert points["rare"] == values[::100]


def test_points_of_threads_are_neither_lost_nor_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING", 50)
    monkeypatch.setattr(module, "_MOST", 10**9)
    curves = MetricCurves()

    def log(name: str) -> None:
        for value in range(5000):
            curves.add({name: float(value)})

    threads = [threading.Thread(target=log, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        curves.fold()
    assert curves.points() == {name: [float(value) for value in range(5000)] for name in "abc"}
