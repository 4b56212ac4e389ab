"""A monitor from end to end on Parquet files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from prediction_traffic import START, Traffic, noise, spread

from mlops_workbench.commands.monitor_plots import windows_figure
from mlops_workbench.core.errors import InvalidInput, StorageError
from mlops_workbench.core.monitors import MonitorReport, MonitorSpec, Window
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.monitoring.monitor import evaluate
from mlops_workbench.monitoring.windows import PredictionReader

SETTINGS = MonitoringSettings(permutations=199)
SPEC = MonitorSpec("délais", window="day")


def run(
    traffic: Traffic, reference: Path | None, spec: MonitorSpec = SPEC, previous: Sequence[Window] = ()
) -> list[Window]:
    return evaluate(
        spec,
        SETTINGS,
        model="m",
        predictions=traffic.predictions,
        feedback=traffic.feedback,
        reference=lambda version: reference,
        previous=previous,
    )


def regression(traffic: Traffic, day: int, rows: int = 600, *, shift: float = 0.0, error: float = 1.0) -> None:
    """A day of a model that predicts x, with truth x + noise."""
    x = noise(day, rows, shift)
    traffic.answer(f"d{day}", spread(START + timedelta(days=day), 23, rows), list(x), {"x": list(x)})
    traffic.feed_back(f"d{day}", list(x + error * noise(100 + day, rows)))


@pytest.fixture
def trained(traffic: Traffic) -> Path:
    x = noise(999, 2000)
    return traffic.reference({"x": x, "__target__": x + noise(998, 2000), "__prediction__": x})


def test_nothing_logged_gives_no_windows(traffic: Traffic, trained: Path) -> None:
    assert run(traffic, trained) == []


def test_a_normal_a_drifted_and_a_degraded_day_are_distinguished(traffic: Traffic, trained: Path) -> None:
    regression(traffic, 0)
    regression(traffic, 1, shift=0.5)
    regression(traffic, 2, error=1.5)
    quiet, drifted, worse = run(traffic, trained)
    assert (quiet.drifted, quiet.degraded) == (False, False)
    assert (drifted.drifted, drifted.degraded) == (True, False)
    assert (worse.drifted, worse.degraded) == (False, True)
    assert [feature.name for feature in drifted.features] == ["prediction", "x"]
    assert worse.reference_quality == pytest.approx(0.8, abs=0.05)
    assert worse.quality == pytest.approx(1.2, abs=0.12)
    assert [window.label for window in (quiet, drifted, worse)] == ["2013-04-01", "2013-04-02", "2013-04-03"]


def test_windows_of_too_few_rows_are_not_evaluated_and_have_a_note(traffic: Traffic, trained: Path) -> None:
    regression(traffic, 0, rows=150, shift=3, error=9)
    (window,) = run(traffic, trained)
    assert (window.drifted, window.degraded, window.features, window.rows) == (False, False, [], 150)
    assert "too few" in window.note


def test_without_a_reference_sample_quality_is_shown_and_nothing_is_claimed(traffic: Traffic) -> None:
    regression(traffic, 0)
    (window,) = run(traffic, None)
    assert window.quality == pytest.approx(0.8, abs=0.1)
    assert (window.reference_quality, window.degraded, window.drifted) == (None, False, False)
    assert "no reference sample" in window.note


def test_truth_that_comes_late_completes_the_window(traffic: Traffic, trained: Path) -> None:
    x = noise(1, 600)
    traffic.answer("late", spread(START, 23, 600), list(x), {"x": list(x)})
    before = run(traffic, trained)
    assert (before[0].quality, before[0].coverage) == (None, 0.0)
    assert before[0].reference_quality is not None
    traffic.feed_back("late", list(x[:300] + 3))
    (half,) = run(traffic, trained, previous=before)
    assert half.coverage == 0.5
    assert half.quality == pytest.approx(3.0)
    assert half.degraded


def test_windows_that_did_not_change_are_taken_from_before_and_others_are_not(
    traffic: Traffic, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    regression(traffic, 0)
    regression(traffic, 1)
    first = run(traffic, trained)
    # What comes back from the database as JSON is as good as what was computed.
    stored = msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(first))), list[Window])
    loaded: list[str] = []
    load = PredictionReader.load_window

    def counting(self: PredictionReader, window, **options):  # type: ignore[no-untyped-def]
        loaded.append(window.label)
        return load(self, window, **options)

    monkeypatch.setattr(PredictionReader, "load_window", counting)
    assert run(traffic, trained, previous=stored) == first
    assert loaded == []
    regression(traffic, 2)
    traffic.feed_back("d1", [99.0], rows=[0], received=5)
    again = run(traffic, trained, previous=stored)
    assert loaded == ["2013-04-02", "2013-04-03"]
    assert again == run(traffic, trained)
    loaded.clear()
    run(traffic, trained, dataclasses.replace(SPEC, max_degradation=0.5), previous=again)
    assert len(loaded) == 3


def test_a_window_of_two_versions_is_judged_by_the_one_with_most_rows(traffic: Traffic, trained: Path) -> None:
    regression(traffic, 0)
    x = noise(5, 300, 9.0)
    traffic.answer("new", spread(START, 23, 300), list(x), {"x": list(x)}, version=2)
    (window,) = run(traffic, trained)
    assert (window.versions, window.rows, window.drifted) == ([1, 2], 900, False)
    assert "version 1, which answered 67 %" in window.note


def test_a_classifier_with_text_labels_is_watched_by_accuracy(traffic: Traffic) -> None:
    rng = np.random.default_rng(4)
    names = ["günstig", "teuer"]
    truth = rng.choice(names, 2000)
    reference = traffic.reference(
        {"farbe": rng.choice(["rot", "blau"], 2000), "__target__": truth, "__prediction__": truth}
    )
    traffic.answer("c", spread(START, 20, 800), ["teuer"] * 800, {"farbe": list(rng.choice(["rot", "blau"], 800))})
    traffic.feed_back("c", list(rng.choice(names, 800)))
    (window,) = run(traffic, reference)
    assert (window.metric, window.reference_quality, window.degraded) == ("accuracy", 1.0, True)
    assert window.quality == pytest.approx(0.5, abs=0.06)
    assert [(f.name, f.kind, f.drifted) for f in window.features] == [
        ("prediction", "categorical", True),
        ("farbe", "categorical", False),
    ]


def test_labels_that_are_numbers_drift_as_labels(traffic: Traffic) -> None:
    reference = traffic.reference({"x": [1.0] * 900, "__target__": [0, 1, 2] * 300, "__prediction__": [0, 1, 2] * 300})
    traffic.answer("n", spread(START, 20, 600), [0, 2] * 300, {"x": [1.0] * 600})
    (window,) = run(traffic, reference, dataclasses.replace(SPEC, metric="f1"))
    assert window.features[0].kind == "categorical"
    assert window.features[0].effect == pytest.approx(1 / 3)


def test_windows_by_count_and_growing_windows_say_so(traffic: Traffic, trained: Path) -> None:
    regression(traffic, 0, rows=700)
    full, growing = run(traffic, trained, dataclasses.replace(SPEC, window="500"))
    assert (full.rows, growing.rows) == (500, 200)
    assert "still growing" not in full.note
    assert "still growing" in growing.note
    assert growing.features


def test_a_window_that_cannot_raise_an_alert_says_so(traffic: Traffic, trained: Path) -> None:
    regression(traffic, 0, rows=300)
    [small] = run(traffic, trained)
    assert small.note == "300 rows are too few for an alert (minimum 500)"


def test_a_wrong_metric_and_a_broken_reference_are_named(traffic: Traffic, tmp_path: Path) -> None:
    regression(traffic, 0)
    with pytest.raises(InvalidInput, match="'mse' is not a metric"):
        run(traffic, None, dataclasses.replace(SPEC, metric="mse"))
    broken = tmp_path / "reference.parquet"
    broken.write_bytes(b"not parquet")
    with pytest.raises(StorageError, match="reference sample of version 1"):
        run(traffic, broken)


def test_a_report_can_be_drawn(traffic: Traffic, trained: Path) -> None:
    regression(traffic, 0)
    regression(traffic, 1, shift=0.5, error=2.0)
    regression(traffic, 2, rows=60)
    report = MonitorReport(SPEC, run(traffic, trained))
    figure = windows_figure(report).to_plotly_json()
    heat = next(trace for trace in figure["data"] if trace["type"] == "heatmap")
    assert list(heat["y"]) == ["prediction", "x"]
    assert [cell != "" for cell in heat["text"][1]] == [False, True, False]
    assert heat["z"][0][2] is None
    assert windows_figure(MonitorReport(SPEC)).to_plotly_json()["data"]
