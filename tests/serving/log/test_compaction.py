"""Compaction makes few files of many, and at every moment each row is seen once, whoever is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import days, rows_of, seen, visible
from test_answers_survive import answered, expected, left

from mlops_workbench.serving.desired import JOURNAL
from mlops_workbench.serving.log import compaction
from mlops_workbench.serving.log.asked import AskedRows
from mlops_workbench.serving.log.catalog import CATALOG, COMPACTED, IDS, reading
from mlops_workbench.serving.log.compaction import Compactor
from mlops_workbench.serving.log.kinds import PredictionFiles
from mlops_workbench.serving.log.predictions import PredictionLog, recover
from mlops_workbench.serving.log.request_index import UNKNOWN, RequestIndex


def compactor(folder: Path, *, closed: bool = True) -> Compactor:
    """One that takes past days for finished at once, or never."""
    return Compactor(folder, PredictionFiles(), closed_seconds=-1 if closed else 1e9)


def written(folder: Path, answers: list[tuple[str, list[float]]], rows: int = 4, **kind: Any) -> None:
    """Segments of some rows each."""
    log = PredictionLog(folder, seconds=3600, rows=10**6)
    for name, values in answers:
        log.append(answered(name, values, **kind))
    log.close()
    left_to_convert = [path for path in folder.glob("date=*/*.parquet") if not path.name.startswith("compact-")]
    for path in left_to_convert:
        table = pq.ParquetFile(path).read()
        if table.num_rows > rows:
            for start in range(0, table.num_rows, rows):
                pq.write_table(table.slice(start, rows), path.with_name(f"{path.stem}{start:04d}.parquet"))
            path.unlink()


def numbered(count: int, rows: int = 1, start: int = 0) -> list[tuple[str, list[float]]]:
    return [(f"r{number}", [float(number)] * rows) for number in range(start, start + count)]


@settings(max_examples=10, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 3), st.integers(0, 2), st.sampled_from(["d1", "d2"])),
        min_size=1,
        max_size=5,
    ),
    closed=st.lists(st.booleans(), min_size=1, max_size=3),
)
def test_every_row_is_kept_and_can_be_looked_up(parts: list[tuple[int, int, int, str]], closed: list[bool]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, answers = Path(name), []
        steps = iter([*closed, *[True] * len(parts)])
        for count, rows, day, digest in parts:
            new = numbered(count, rows, start=len(answers))
            answers += new
            written(folder, new, day=day, digest=digest)
            compactor(folder, closed=next(steps)).step()
            assert seen(folder) == expected(answers)
        compactor(folder).step()
        assert seen(folder) == expected(answers)
        assert len(visible(folder)) == len({day for _, _, day, _ in parts}), "one file for each day"
        for path in visible(folder):
            times = pq.ParquetFile(path).read(columns=["event_time"])["event_time"].to_pylist()
            assert times == sorted(times)
        asked = AskedRows(folder)
        ids = [request for request, values in answers for _ in values]
        rows_asked = [row for _, values in answers for row in range(len(values))]
        assert (asked.find(ids, rows_asked) != UNKNOWN).all()
        behind = asked.find([request for request, _ in answers], [len(values) for _, values in answers])
        assert (behind == UNKNOWN).all(), "a row behind the last one of a request was not asked"


def test_files_become_few_and_a_finished_day_is_one(tmp_path: Path) -> None:
    answers = numbered(80)
    written(tmp_path, answers, rows=1)
    assert len(visible(tmp_path)) == 80
    growing = compactor(tmp_path, closed=False)
    while growing.step():
        pass
    assert len(visible(tmp_path)) < 8
    finished = compactor(tmp_path)
    finished.step()
    (path,) = visible(tmp_path)
    assert sorted(one.name for one in path.parent.iterdir()) == [CATALOG, path.with_suffix(IDS).name, path.name]
    assert seen(tmp_path) == expected(answers)
    assert finished.step() == 0
    assert pq.read_metadata(path).row_group(0).column(3).statistics.has_min_max


def test_a_file_is_as_old_as_its_last_rows(tmp_path: Path) -> None:
    written(tmp_path, numbered(20), rows=2)
    for place, path in enumerate(visible(tmp_path)):
        os.utime(path, (1_000_000 + place, 1_000_000 + place))
    compactor(tmp_path).step()
    (path,) = visible(tmp_path)
    assert path.stat().st_mtime == 1_000_009


class _Stopped(BaseException):
    """The process is gone."""


_STEPS: list[tuple[Any, str]] = [
    (RequestIndex, "write"),
    (os, "replace"),
    (os, "utime"),
    (compaction, "_delete"),
    (compaction, "write_catalog"),
]


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "call"), _STEPS, ids=[name for _, name in _STEPS])
@pytest.mark.parametrize("times", [1, 2])
def test_a_compaction_that_is_cut_short_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, call: str, times: int, done: bool
) -> None:
    answers = numbered(9)
    written(tmp_path, answers[:3], rows=1, day=0)
    compactor(tmp_path).step()
    # Of the first day a compacted file, of which the next one is made with others.
    written(tmp_path, answers[3:6], rows=1, day=0)
    written(tmp_path, answers[6:], rows=1, day=1)
    original, calls = getattr(owner, call), []

    def stop(*args: Any, **options: Any) -> Any:
        calls.append(args)
        result = original(*args, **options) if len(calls) < times or done else None
        if len(calls) >= times:
            raise _Stopped
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, stop)
        with pytest.raises(_Stopped):
            while compactor(tmp_path).step():
                pass
            raise _Stopped
    assert seen(tmp_path) == expected(answers)
    compactor(tmp_path).step()
    assert seen(tmp_path) == expected(answers)
    compactor(tmp_path).step()
    assert len(visible(tmp_path)) == 2
    for day in days(tmp_path):
        assert len(list(day.folder.iterdir())) == 3, "nothing is left"


def test_what_a_killed_process_left_is_deleted_when_nobody_can_be_writing_it(tmp_path: Path) -> None:
    written(tmp_path, numbered(3))
    (folder,) = tmp_path.glob("date=*")
    names = [".x.tmp", f".{COMPACTED}a{IDS}.x", f".{CATALOG}.x"]
    for name in names:
        (folder / name).touch()
    compactor(tmp_path).step()
    assert all((folder / name).exists() for name in names), "somebody may be writing them"
    for name in names:
        os.utime(folder / name, (1e6, 1e6))
    (folder / f"{COMPACTED}orphan{IDS}").touch()
    compactor(tmp_path).step()
    assert len(list(folder.iterdir())) == 3


def test_half_of_what_is_replaced_may_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = numbered(12)
    written(tmp_path, answers, rows=1)

    def half(folder: Path, names: list[str]) -> None:
        for name in names[::2]:
            (folder / name).unlink()
        raise _Stopped

    with monkeypatch.context() as patch:
        patch.setattr(compaction, "_delete", half)
        with pytest.raises(_Stopped):
            compactor(tmp_path).step()
    assert seen(tmp_path) == expected(answers)
    written(tmp_path, [("new", [1.0])])
    compactor(tmp_path).step()
    assert seen(tmp_path) == expected([*answers, ("new", [1.0])])


def test_a_session_that_is_not_fully_converted_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = numbered(9, rows=4)
    left(tmp_path, answers)

    def stop(*_: Any) -> None:
        raise _Stopped

    with monkeypatch.context() as patch:
        patch.setattr("mlops_workbench.serving.log.predictions.delete_session", stop)
        with pytest.raises(_Stopped):
            recover(tmp_path, 8)
    assert compactor(tmp_path).step() == 0, "its conversion is repeated, and looks for its segments"
    assert recover(tmp_path, 8) == 0
    assert compactor(tmp_path).step() > 0
    assert seen(tmp_path) == expected(answers)
    assert list((tmp_path / JOURNAL).iterdir()) == []


@pytest.mark.parametrize("damage", ["", "{", '{"entries": [[]]}', None])
def test_a_lost_or_damaged_catalog_is_made_again(tmp_path: Path, damage: str | None) -> None:
    answers = numbered(20)
    written(tmp_path, answers, rows=2)
    compactor(tmp_path).step()
    (catalog,) = tmp_path.glob(f"date=*/{CATALOG}")
    before = days(tmp_path)[0].compacted
    if damage is None:
        catalog.unlink()
    else:
        catalog.write_text(damage)
    assert seen(tmp_path) == expected(answers)
    assert [entry.hours for entry in days(tmp_path)[0].compacted] == [entry.hours for entry in before]


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "empty"])
def test_rows_are_found_without_a_whole_index(tmp_path: Path, damage: str) -> None:
    written(tmp_path, numbered(20), rows=2)
    compactor(tmp_path).step()
    (index,) = tmp_path.glob(f"date=*/*{IDS}")
    data = bytearray(index.read_bytes())
    data[-30] ^= 0xFF
    contents = {"cut": data[:-5], "flipped": data, "empty": b""}
    if damage == "gone":
        index.unlink()
    else:
        index.write_bytes(contents[damage])
    found = AskedRows(tmp_path).find(["r3", "r19", "r20"], [0, 0, 0])
    assert (found != UNKNOWN).tolist() == [True, True, False]


def test_a_damaged_file_is_put_aside_and_stops_no_other(tmp_path: Path) -> None:
    answers = numbered(12)
    written(tmp_path, answers, rows=1)
    bad = visible(tmp_path)[0]
    (lost,) = rows_of(bad)
    bad.write_bytes(b"PAR1 and nothing else")
    compactor(tmp_path).step()
    compactor(tmp_path).step()
    assert seen(tmp_path) == [row for row in expected(answers) if row != lost]
    assert [path.read_bytes() for path in bad.parent.glob("*.damaged-*")] == [b"PAR1 and nothing else"]


def test_versions_with_other_columns_are_in_files_of_their_own(tmp_path: Path) -> None:
    written(tmp_path, numbered(10), rows=1)
    for path in visible(tmp_path)[:5]:
        table = pq.ParquetFile(path).read()
        pq.write_table(table.append_column("feature.new", pa.array([1.0] * table.num_rows)), path)
    compactor(tmp_path).step()
    few, many = sorted(len(pq.read_schema(path).names) for path in visible(tmp_path))
    assert many == few + 1
    assert seen(tmp_path) == expected(numbered(10))


def test_nothing_is_replaced_while_somebody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_PATIENCE", 0.05)
    answers = numbered(20)
    written(tmp_path, answers, rows=1)
    with reading(tmp_path):
        files = visible(tmp_path)
        assert compactor(tmp_path).step() == 0
        assert sorted(row for path in files for row in rows_of(path)) == expected(answers)
    assert not list(tmp_path.glob(f"date=*/*{IDS}"))
    assert compactor(tmp_path).step() == 20
    assert seen(tmp_path) == expected(answers)


def test_who_reads_meanwhile_sees_every_row_once(tmp_path: Path) -> None:
    answers = numbered(60)
    written(tmp_path, answers, rows=1)
    ended, problems = threading.Event(), []

    def read() -> None:
        while not ended.is_set():
            if seen(tmp_path) != expected(answers):
                problems.append("another set of rows")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    while compactor(tmp_path, closed=False).step():
        pass
    compactor(tmp_path).step()
    ended.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert len(visible(tmp_path)) == 1


def test_two_who_compact_do_the_work_once(tmp_path: Path) -> None:
    answers = numbered(20)
    written(tmp_path, answers, rows=1)
    threads = [threading.Thread(target=compactor(tmp_path).step) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    compactor(tmp_path).step()
    assert seen(tmp_path) == expected(answers)
    assert len(visible(tmp_path)) == 1


# Imports once; each line of its input is a process to fork, whose id it answers.
FORKS = """
import os, signal, sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from test_answers_survive import answered
from test_compaction import compactor
from mlops_workbench.serving.log.predictions import PredictionLog

folder = Path(sys.argv[1])

def write(name):
    log = PredictionLog(folder / "log", seconds=0.2, rows=100)
    file = os.open(folder / name, os.O_WRONLY | os.O_CREAT)
    number = 0
    while not (folder / "end").exists():
        log.append(answered(f"{{name}}-{{number}}", [float(number)] * (1 + number % 3), day=number // 100 % 2))
        # The answer is sent here.
        os.write(file, b"%d\\n" % number)
        number += 1
        time.sleep(0.003)
    log.close()
    os.write(file, b"end\\n")

def compact():
    while True:
        compactor(folder / "log", closed=False).step()
        compactor(folder / "log").step()

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    child = os.fork()
    if not child:
        compact() if line.strip() == "compact" else write(line.strip())
        os._exit(0)
    print(child, flush=True)
"""


class Forks:
    """Processes that write to a log and compact it."""

    def __init__(self, folder: Path) -> None:
        code = FORKS.format(path=[str(Path(__file__).parent)])
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._folder = folder
        self._pids: list[int] = []

    def start(self, what: str) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(what, file=self._process.stdin, flush=True)
        self._pids.append(int(self._process.stdout.readline()))
        return self._pids[-1]

    def sent(self, name: str) -> list[int]:
        """Numbers of the answers that a writer has sent."""
        path = self._folder / name
        return [int(line) for line in path.read_text().split() if line != "end"] if path.exists() else []

    def has_ended(self, name: str) -> bool:
        return (self._folder / name).read_text().endswith("end\n")

    def end(self) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.communicate()


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    found = Forks(tmp_path)
    yield found
    found.end()


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.process
def test_no_row_is_lost_when_one_of_four_writers_and_the_compaction_are_killed(tmp_path: Path, forks: Forks) -> None:
    names, folder = ["w0", "w1", "w2", "w3"], tmp_path / "log"
    writers = {name: forks.start(name) for name in names}
    until(lambda: all(map(forks.sent, names)), "all write")
    for kill in range(5):
        process = forks.start("compact")
        had = len(forks.sent("w1"))
        until(lambda had=had, kill=kill: len(forks.sent("w1")) > had + 60 + 13 * kill, "answers meanwhile")
        os.kill(process, signal.SIGKILL)
        if kill == 2:
            os.kill(writers["w0"], signal.SIGKILL)
        found = seen(folder)
        assert len(found) == len(set(found)), "no row twice"
    (tmp_path / "end").touch()
    until(lambda: all(map(forks.has_ended, names[1:])), "the end of all others")
    recover(folder, 20)
    compactor(folder).step()
    found = seen(folder)
    want = [(f"{name}-{n}", [float(n)] * (1 + n % 3)) for name in names for n in forks.sent(name)]
    # The last one of the killed writer may be in the log though its number was not written any more.
    n = len(forks.sent("w0"))
    assert found in (expected(want), expected([*want, (f"w0-{n}", [float(n)] * (1 + n % 3))]))
    assert len(visible(folder)) == 2
