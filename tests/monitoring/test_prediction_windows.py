"""Windows: every answered row is in exactly one, and has the truth that came last."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_traffic import START, Traffic, spread

from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.monitoring.windows import PredictionReader


def log_of(traffic: Traffic, window: str) -> PredictionReader:
    return PredictionReader(traffic.predictions, traffic.feedback, traffic.endpoint, "m", window)


def test_without_files_there_are_no_windows(traffic: Traffic) -> None:
    assert log_of(traffic, "day").slices() == []
    traffic.predictions.mkdir(parents=True)
    assert log_of(traffic, "500").slices() == []


@pytest.mark.parametrize("window", ["week", "0", "-5", "5.5", "", "day; drop table x"])
def test_an_unknown_window_is_refused(traffic: Traffic, window: str) -> None:
    with pytest.raises(InvalidInput, match="not a window"):
        log_of(traffic, window)


@pytest.mark.parametrize(
    ("window", "labels"),
    [("month", ["2013-04", "2013-05"]), ("day", ["2013-04-30", "2013-05-01"]),
     ("hour", ["2013-04-30 23:00", "2013-05-01 00:00"])],
)  # fmt: skip
def test_a_calendar_window_goes_by_the_event_time_in_utc(traffic: Traffic, window: str, labels: list[str]) -> None:
    midnight = datetime(2013, 5, 1, tzinfo=UTC)
    times = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(minutes=1)]
    traffic.answer("r", times, [1.0, 2.0, 3.0], {"x": [1.0, 2.0, 3.0]})
    first, second = log_of(traffic, window).slices()
    assert [first.label, second.label] == labels
    assert (first.rows, second.rows) == (1, 2)
    assert first.end_ms == second.start_ms == int(midnight.timestamp() * 1000)


def test_failed_answers_and_shadow_versions_are_left_out(traffic: Traffic) -> None:
    times = spread(START, 1, 4)
    traffic.answer("good", times, [1.0] * 4, {"x": [1.0] * 4})
    traffic.answer("failed", times, [None] * 4, {"x": [1.0] * 4}, status=500)
    traffic.answer("shadow", times, [1.0] * 4, {"x": [1.0] * 4}, arm="shadow", version=2)
    (only,) = log_of(traffic, "day").slices()
    assert (only.rows, only.versions) == (4, [1])


def test_a_segment_that_is_being_written_is_not_seen(traffic: Traffic) -> None:
    path = traffic.answer("r", spread(START, 1, 3), [1.0] * 3, {"x": [1.0] * 3})
    (path.parent / ".half.parquet").write_bytes(b"PAR1")
    (path.parent / ".half.tmp").write_bytes(b"PAR1")
    assert [piece.rows for piece in log_of(traffic, "day").slices()] == [3]


def test_the_label_received_last_is_the_truth_whatever_the_order_of_files(traffic: Traffic) -> None:
    traffic.answer("r", spread(START, 1, 3), [1.0, 2.0, 3.0], {"x": [1.0] * 3})
    traffic.feed_back("r", [30.0], rows=[2], received=50)
    traffic.feed_back("r", [10.0, 20.0, 29.0], received=10)
    traffic.feed_back("unknown", [5.0], received=99)
    log = log_of(traffic, "day")
    (piece,) = log.slices()
    assert (piece.rows, piece.labelled) == (3, 3)
    table = log.load_window(piece)
    assert dict(zip(table["__prediction__"].to_pylist(), table["__truth__"].to_pylist(), strict=True)) == {
        1.0: 10.0, 2.0: 20.0, 3.0: 30.0,
    }  # fmt: skip


def test_a_corrected_label_changes_the_digest_and_nothing_else_does(traffic: Traffic) -> None:
    traffic.answer("r", spread(START, 1, 3), [1.0, 2.0, 3.0], {"x": [1.0] * 3})
    traffic.feed_back("r", [1.0, 2.0, 3.0], received=1)
    (before,) = log_of(traffic, "day").slices()
    assert log_of(traffic, "day").slices() == [before]
    traffic.feed_back("r", [9.0], rows=[1], received=2)
    (after,) = log_of(traffic, "day").slices()
    assert (after.rows, after.labelled) == (before.rows, before.labelled)
    assert after.digest != before.digest


def test_column_names_with_quotes_dots_and_accents_come_back_as_they_were(traffic: Traffic) -> None:
    names = ['a "b"', "c.d", "größe [m²]", "feature.x", "row", "label", "bucket"]
    traffic.answer("r", spread(START, 1, 2), ["ja", "nein"], {name: [1.5, 2.5] for name in names})
    log = log_of(traffic, "day")
    table = log.load_window(log.slices()[0])
    assert table.column_names == [*names, "__prediction__", "__truth__"]
    assert sorted(table['a "b"'].to_pylist()) == [1.5, 2.5]


def test_versions_with_other_inputs_are_read_apart(traffic: Traffic) -> None:
    traffic.answer("a", spread(START, 1, 3), [1.0] * 3, {"old": ["x"] * 3, "both": [1.0] * 3}, version=1)
    traffic.answer("b", spread(START, 1, 5), [1.0] * 5, {"new": [2.0] * 5, "both": [1.0] * 5}, version=2)
    log = log_of(traffic, "day")
    (piece,) = log.slices()
    assert (piece.versions, piece.rows, piece.version_rows) == ([2, 1], 8, 5)
    table = log.load_window(piece)
    # The order is that of the files, whose names are random.
    assert table.num_rows == 5
    assert sorted(table.column_names) == ["__prediction__", "__truth__", "both", "new"]


def test_answers_of_a_model_that_the_endpoint_served_before_are_left_out(traffic: Traffic) -> None:
    traffic.answer("a", spread(START, 1, 3), [1.0] * 3, {"x": [1.0] * 3})
    traffic.answer("b", spread(START, 1, 5), ["setosa"] * 5, {"x": ["long"] * 5}, model="other")
    (piece,) = log_of(traffic, "day").slices()
    assert (piece.rows, piece.version_rows) == (3, 3)
    table = log_of(traffic, "day").load_window(piece)
    assert (table["__prediction__"].to_pylist(), table["x"].to_pylist()) == ([1.0] * 3, [1.0] * 3)


def test_a_sample_is_the_same_each_time_and_outcomes_are_all_that_have_truth(traffic: Traffic) -> None:
    size = 400
    traffic.answer("r", spread(START, 20, size), [float(i) for i in range(size)], {"x": list(range(size))})
    traffic.feed_back("r", [0.5] * 100)
    log = log_of(traffic, "day")
    (piece,) = log.slices()
    samples = [sorted(log.load_window(piece, rows=50)["x"].to_pylist()) for _ in range(2)]
    assert samples[0] == samples[1]
    assert len(set(samples[0])) == 50
    assert log.load_outcomes(piece)["__prediction__"].to_pylist() == [float(i) for i in range(100)]


@settings(max_examples=25)
@given(
    requests=st.lists(st.lists(st.integers(0, 90 * 24 * 60), min_size=1, max_size=6), min_size=1, max_size=5),
    labels=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(-9, 9)), max_size=12),
    window=st.sampled_from(["hour", "day", "month", "1", "4", "1000"]),
)
def test_every_row_is_in_one_window_with_its_last_label(
    requests: list[list[int]], labels: list[tuple[int, int, int]], window: str
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        traffic = Traffic(folder)
        expected: dict[tuple[int, int], float | None] = {}
        times = {}
        for number, minutes in enumerate(requests):
            moments = [START + timedelta(minutes=minute) for minute in minutes]
            ids = [number * 100 + row for row in range(len(minutes))]
            traffic.answer(f"r{number}", moments, [float(i) for i in ids], {"id": ids})
            expected |= dict.fromkeys(((number, row) for row in range(len(minutes))), None)
            times |= {(number, row): moment for row, moment in enumerate(moments)}
        for received, (number, row, label) in enumerate(labels):
            traffic.feed_back(f"r{number}", [float(label)], rows=[row], received=received)
            if (number, row) in expected:
                expected[number, row] = float(label)
        log = log_of(traffic, window)
        pieces = log.slices()
        seen = {}
        for piece in pieces:
            table = log.load_window(piece)
            assert piece.rows == table.num_rows == piece.version_rows
            assert piece.labelled == table.num_rows - table["__truth__"].null_count
            for name, truth in zip(table["id"].to_pylist(), table["__truth__"].to_pylist(), strict=True):
                key = divmod(name, 100)
                assert key not in seen
                seen[key] = truth
                moment = times[key].timestamp() * 1000
                assert piece.start_ms <= moment < piece.end_ms
        assert seen == expected
        if window.isdecimal():
            sizes = [piece.rows for piece in pieces]
            assert all(size == int(window) for size in sizes[:-1])
            assert sizes[-1] <= int(window)
        else:
            form = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}[window]
            counted = Counter(moment.strftime(form) for moment in times.values())
            assert {piece.label: piece.rows for piece in pieces} == counted
        log.close()
    finally:
        shutil.rmtree(folder)
