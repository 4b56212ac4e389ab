"""A monitor reads what is new, whatever was logged before, and compaction changes nothing that it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_traffic import START, Traffic, noise, spread

from mlops_workbench.core.monitors import MonitorSpec, Window
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.monitoring import windows as windows_module
from mlops_workbench.monitoring.log_summaries import LogSummaries
from mlops_workbench.monitoring.monitor import evaluate
from mlops_workbench.monitoring.outlines import outlines
from mlops_workbench.monitoring.windows import PredictionReader
from mlops_workbench.serving.log.asked import AskedRows
from mlops_workbench.serving.log.compaction import Compactor
from mlops_workbench.serving.log.kinds import FeedbackFiles, PredictionFiles
from mlops_workbench.serving.log.summaries import HOUR_US, Hour

SETTINGS = MonitoringSettings(permutations=99)


def run(traffic: Traffic, window: str, previous: list[Window], summaries: LogSummaries | None) -> list[Window]:
    return evaluate(
        MonitorSpec(traffic.endpoint, window=window), SETTINGS, model="m", predictions=traffic.predictions,
        feedback=traffic.feedback, reference=lambda _: None, previous=previous, summaries=summaries,
    )  # fmt: skip


def compact(traffic: Traffic) -> None:
    answers, outcomes = (root / f"endpoint={traffic.endpoint}" for root in (traffic.predictions, traffic.feedback))
    Compactor(answers, PredictionFiles(), closed_seconds=-1).step()
    Compactor(outcomes, FeedbackFiles(AskedRows(answers)), closed_seconds=-1).step()


def day(traffic: Traffic, number: int, rows: int = 300) -> None:
    x = noise(number, rows)
    path = traffic.answer(f"d{number}", spread(START + timedelta(days=number), 23, rows), list(x), {"x": list(x)})
    # Into the folder of its own day, as an endpoint does.
    folder = path.parent.with_name(f"date=2013-04-{number + 1:02d}")
    folder.mkdir(exist_ok=True)
    path.rename(folder / path.name)
    traffic.feed_back(f"d{number}", list(x + 1))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read, in the order of reading."""
    found: list[str] = []
    parquet = windows_module.parquet_source

    def noting(files: list[str]) -> str:
        found.extend(files)
        return parquet(files)

    monkeypatch.setattr(windows_module, "parquet_source", noting)
    for kind in (PredictionFiles, FeedbackFiles):
        summary: Callable[..., object] = kind.summary

        def summarise(self: object, path: Path, summary: Callable[..., object] = summary) -> object:
            found.append(str(path))
            return summary(self, path)

        monkeypatch.setattr(kind, "summary", summarise)
    return found


@pytest.mark.parametrize("window", ["day", "hour", "300"])
def test_a_round_without_news_opens_no_file_and_one_with_news_only_what_changed(
    traffic: Traffic, opened: list[str], window: str
) -> None:
    for number in range(6):
        day(traffic, number)
    compact(traffic)
    summaries = LogSummaries(traffic.predictions, traffic.feedback, traffic.endpoint)
    first = run(traffic, window, [], summaries)
    opened.clear()
    assert run(traffic, window, first, summaries) == first
    assert opened == []
    day(traffic, 6)
    second = run(traffic, window, first, summaries)
    assert opened and len(second) > len(first)
    touched = {Path(name).parent.name for name in opened if "predictions" in name}
    # The last full window by count ends in the hours of the sixth day.
    assert touched <= {"date=2013-04-07", "date=2013-04-06"}
    opened.clear()
    traffic.feed_back("d2", [9.0], rows=[5], received=99)
    third = run(traffic, window, second, summaries)
    assert {Path(name).parent.name for name in opened if "predictions" in name} <= {"date=2013-04-03"}
    assert sum(before != after for before, after in zip(second, third, strict=True)) >= 1
    # Another process, which knows nothing but the windows, finds the same and reads no window again.
    opened.clear()
    assert run(traffic, window, third, None) == third
    assert not any("compact-" in name for name in opened)


@pytest.mark.parametrize("window", ["day", "month", "250"])
def test_compaction_does_not_change_what_a_monitor_finds(traffic: Traffic, window: str) -> None:
    for number in range(3):
        day(traffic, number)
    before = run(traffic, window, [], None)
    compact(traffic)
    assert run(traffic, window, [], None) == before
    day(traffic, 1, rows=40)
    compact(traffic)
    again = run(traffic, window, before, None)
    assert sum(one.rows for one in again) == 940


def test_a_window_of_a_long_log_is_read_from_its_own_row_groups(traffic: Traffic) -> None:
    for number in range(4):
        day(traffic, number)
    compact(traffic)
    reader = PredictionReader(traffic.predictions, traffic.feedback, traffic.endpoint, "m", "day")
    (piece,) = reader.slices(reader.outlines()[2:3])
    assert (piece.label, piece.rows, piece.labelled) == ("2013-04-03", 300, 300)
    table = reader.load_window(piece)
    assert sorted(table["x"].to_pylist()) == sorted(noise(2, 300).tolist())
    reader.close()


def test_a_hashed_or_missing_input_is_said_and_not_compared(traffic: Traffic) -> None:
    rows = 600
    x = noise(1, rows)
    path = traffic.answer("r", spread(START, 23, rows), list(x), {"x": list(x)})
    table = pq.ParquetFile(path).read()
    pq.write_table(table.append_column("hashed.age", pa.array(["0" * 32] * rows)), path)
    reference = traffic.reference(
        {"age": noise(2, 900), "x": noise(3, 900), "gone": noise(4, 900), "__prediction__": noise(3, 900)}
    )
    (window,) = evaluate(
        MonitorSpec(traffic.endpoint, window="day"), SETTINGS, model="m", predictions=traffic.predictions,
        feedback=traffic.feedback, reference=lambda _: reference,
    )  # fmt: skip
    assert [feature.name for feature in window.features] == ["prediction", "x"]
    assert not window.drifted
    assert "hashed in the log, so not compared: age; not in the log, so not compared: gone" in window.note


@settings(max_examples=60)
@given(
    hours=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 2), st.integers(1, 9)), min_size=1, max_size=12),
    size=st.integers(1, 30),
)
def test_windows_by_count_have_all_rows_and_the_hours_that_hold_them(
    hours: list[tuple[int, int, int]], size: int
) -> None:
    summaries = [Hour(hour * HOUR_US, version, rows, 0, 0, rows) for hour, version, rows in hours]
    found = outlines(summaries, [], str(size))
    total = sum(rows for _, _, rows in hours)
    assert [one.rows for one in found] == [min(size, total - start) for start in range(0, total, size)]
    places = sorted(hour * HOUR_US for hour, _, rows in hours for _ in range(rows))
    for number, one in enumerate(found):
        mine = places[number * size : (number + 1) * size]
        assert (one.from_us, one.until_us) == (mine[0], mine[-1] + HOUR_US)
        assert one.before == sum(place < one.from_us for place in places)


def test_a_key_changes_with_rows_and_with_truth_and_not_with_their_files() -> None:
    part = Hour(0, 1, 5, 0, 9, 77)
    halves = [changed(part, rows=2, digest=70), changed(part, rows=3, digest=7)]
    (whole,), (split,) = outlines([part], [], "day"), outlines(halves, [], "day")
    assert whole.key == split.key
    (other,) = outlines([changed(part, digest=78)], [], "day")
    (labelled,) = outlines([part], [Hour(0, 0, 1, 0, 0, 3)], "day")
    (elsewhere,) = outlines([part], [Hour(HOUR_US, 0, 1, 0, 0, 3)], "day")
    assert len({whole.key, other.key, labelled.key}) == 3
    assert elsewhere.key == whole.key


def changed(hour: Hour, **changes: int) -> Hour:
    return msgspec.structs.replace(hour, **changes)


def test_specs_are_not_mixed_up(traffic: Traffic) -> None:
    day(traffic, 0)
    first = run(traffic, "day", [], None)
    spec = dataclasses.replace(MonitorSpec(traffic.endpoint, window="day"), max_degradation=0.9)
    (other,) = evaluate(
        spec, SETTINGS, model="m", predictions=traffic.predictions, feedback=traffic.feedback,
        reference=lambda _: None, previous=first,
    )  # fmt: skip
    assert other.fingerprint != first[0].fingerprint
