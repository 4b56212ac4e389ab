"""Time to read the same window from a long prediction log and from a short one."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlops_workbench.core.monitors import MonitorSpec
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.monitoring.log_summaries import LogSummaries
from mlops_workbench.monitoring.monitor import evaluate
from mlops_workbench.monitoring.windows import PredictionReader
from mlops_workbench.serving.log.answers import Context, Output, Record
from mlops_workbench.serving.log.asked import AskedRows
from mlops_workbench.serving.log.compaction import Compactor
from mlops_workbench.serving.log.kinds import PredictionFiles
from mlops_workbench.serving.log.segments import segment, write_parquet

#: Rows of a day, of a request and of a segment.
DAY_ROWS, REQUEST_ROWS, SEGMENT_ROWS = 100_000, 10, 5_000
COLUMNS = 10
_LAST_DAY_US = 1_700_006_400_000_000
_DAY_US = 86_400_000_000
_CONTEXT = Context(
    "m", 1, "d1", "champion", "v2", 200, tuple((f"c{i}", "double") for i in range(COLUMNS)), ("<f8",), True,
    (Output("predict", "<f8", 0),),
)  # fmt: skip


def log_read(rows: int = 10_000_000, short_rows: int = DAY_ROWS, *, rounds: int = 7) -> dict[str, float]:
    """Write two logs whose last day is the same, compact them, and read that day's window from both in turn.

    Parameters
    ----------
    rows, short_rows : int
        Rows of the long log and of the short one, full days each.
    rounds : int
        Number of readings; medians are compared.

    Returns
    -------
    dict
        ``log_read_ratio``: long against short, each by a reader that knows nothing of the log; in milliseconds
        ``long_ms`` and ``short_ms``; ``round_new_ms``, ``round_idle_ms`` and their ratios: a round of a monitor when a
        segment has come, and when nothing has; ``lookup_ms``: to find 1,000 rows of old requests in the long log;
        ``files`` of the long log, and seconds to write and compact it.
    """
    with tempfile.TemporaryDirectory() as folder:
        long, short = Path(folder) / "long", Path(folder) / "short"
        write_s, compact_s = _write(long, rows)
        _write(short, short_rows)
        readings: dict[Path, list[float]] = {long: [], short: []}
        for _ in range(rounds):
            for root, found in readings.items():
                found.append(_milliseconds(lambda root=root: _read(root)))
        monitors = {root: _Monitor(root) for root in readings}
        idle: dict[Path, list[float]] = {long: [], short: []}
        new: dict[Path, list[float]] = {long: [], short: []}
        for number in range(rounds):
            for root, monitor in monitors.items():
                idle[root].append(_milliseconds(monitor.round))
                _segment(root, 0, 10**6 + number, 1000)
                new[root].append(_milliseconds(monitor.round))
        asked = AskedRows(_log(long))
        day = -(rows // DAY_ROWS) + 1
        names = [f"{day}-{number}" for number in range(1000)]
        asked.find(["none"], [0])
        lookup = _milliseconds(lambda: asked.find(names, [0] * len(names)))
        medians = {root: statistics.median(found) for root, found in readings.items()}
        idle_ms = {root: statistics.median(found) for root, found in idle.items()}
        new_ms = {root: statistics.median(found) for root, found in new.items()}
        return {
            "log_read_ratio": medians[long] / medians[short],
            "long_ms": medians[long],
            "short_ms": medians[short],
            "round_new_ms": new_ms[long],
            "round_new_ratio": new_ms[long] / new_ms[short],
            "round_idle_ms": idle_ms[long],
            "round_idle_ratio": idle_ms[long] / idle_ms[short],
            "lookup_ms": lookup,
            "files": float(len(list(long.rglob("*.parquet")))),
            "write_s": write_s,
            "compact_s": compact_s,
        }


class _Monitor:
    """A monitor of a control plane that has evaluated everything once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._summaries = LogSummaries(root, root / "feedback", "e")
        self._windows = []
        self.round()

    def round(self) -> None:
        self._windows = evaluate(
            MonitorSpec("e", window="day"), MonitoringSettings(), model="m", predictions=self._root,
            feedback=self._root / "feedback", reference=lambda _: None, previous=self._windows,
            summaries=self._summaries,
        )  # fmt: skip


def _read(root: Path) -> None:
    reader = PredictionReader(root, root / "feedback", "e", "m", "day")
    try:
        (piece,) = reader.slices(reader.outlines()[-1:])
        assert piece.rows >= DAY_ROWS
        assert reader.load_window(piece, rows=5000).num_rows == 5000
    finally:
        reader.close()


def _log(root: Path) -> Path:
    return root / "endpoint=e"


def _write(root: Path, rows: int) -> tuple[float, float]:
    begun = time.perf_counter()
    for day in range(-(rows // DAY_ROWS) + 1, 1):
        for number in range(DAY_ROWS // SEGMENT_ROWS):
            _segment(root, day, number, SEGMENT_ROWS)
    written = time.perf_counter()
    Compactor(_log(root), PredictionFiles(), closed_seconds=-1).step()
    return written - begun, time.perf_counter() - written


def _segment(root: Path, day: int, number: int, rows: int) -> None:
    requests = rows // REQUEST_ROWS
    random = np.random.default_rng([day + 10**6, number])
    start = _LAST_DAY_US + day * _DAY_US + (number % 20) * (_DAY_US // 20)
    moments = (start + np.arange(requests) * (_DAY_US // 20 // requests)).tolist()
    answers = []
    for place, moment in enumerate(moments):
        values = random.normal(size=(REQUEST_ROWS, COLUMNS))
        name = f"{day}-{number * requests + place}"
        record = Record(0, name, moment, moment, 900, 100, REQUEST_ROWS, [values.tobytes()], [values[:, 0].tobytes()])
        answers.append((_CONTEXT, record))
    folder = time.strftime("date=%Y-%m-%d", time.gmtime(start / 1e6))
    write_parquet(_log(root) / folder / f"{number:08d}.1-0-{requests}.parquet", segment(answers))


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    print(json.dumps({name: round(value, 3) for name, value in log_read(*map(int, sys.argv[1:2])).items()}))
