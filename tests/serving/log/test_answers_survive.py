"""An answer that was sent is in the log, once, whatever happens to the process or the disk afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.journal import read_frames
from mlops_workbench.serving.desired import JOURNAL
from mlops_workbench.serving.log import predictions
from mlops_workbench.serving.log.answers import Answered, AnswerEncoder, decode_context, decode_record
from mlops_workbench.serving.log.predictions import PredictionLog, recover
from mlops_workbench.serving.log.segments import segment
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import InputColumn, Signature
from mlops_workbench.serving.runtimes.estimator import Prediction

SIGNATURE = Signature(
    (
        InputColumn("x", "double", True, "x"),
        InputColumn("n", "long", True, "n"),
        InputColumn("t", "string", True, "t"),
        InputColumn("at", "datetime", True, "at"),
    ),
    "table",
)
DAY = 1_700_000_000_000_000


def answered(request_id: str, values: list[float], *, digest: str = "d1", day: int = 0, **outputs: Any) -> Answered:
    size = len(values)
    batch = Batch.of_columns(
        SIGNATURE,
        {
            "x": np.array(values),
            "n": np.arange(size),
            "t": np.array([f"t{i}" if i % 2 else None for i in range(size)], dtype=object),
            "at": np.array([0] * size, dtype="datetime64[us]"),
        },
    )
    prediction = Prediction(outputs or {"predict": np.array(values)})
    moment = DAY + day * 86_400_000_000
    return Answered(request_id, moment, moment, "m", 1, digest, "champion", "v2", 200, 2, 1, batch, prediction)


def logged(folder: Path) -> list[tuple[str, int, float]]:
    """Request, row and prediction of everything in the segments."""
    files = sorted(folder.glob("date=*/*.parquet"))
    rows = [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]
    return sorted((row["request_id"], row["row"], row["prediction"]) for row in rows)


def expected(answers: list[tuple[str, list[float]]]) -> list[tuple[str, int, float]]:
    return sorted((name, i, value) for name, values in answers for i, value in enumerate(values))


CHILD = """
import os, sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from test_answers_survive import answered
from mlops_workbench.serving.log.predictions import PredictionLog
log = PredictionLog(Path(sys.argv[1]), seconds=float(sys.argv[2]), rows=50)
for number in range(10**6):
    log.append(answered(f"r{{number}}", [float(number)] * (1 + number % 3)))
    # The answer is sent here.
    os.write(1, b"%d\\n" % number)
"""


@pytest.mark.process
@pytest.mark.parametrize("seconds", ["0.02", "3600"])
def test_every_answer_that_was_sent_before_a_kill_is_in_the_log_once(tmp_path: Path, seconds: str) -> None:
    code = CHILD.format(path=[str(Path(__file__).parent)])
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), seconds], stdout=subprocess.PIPE)
    assert process.stdout is not None
    sent = [int(process.stdout.readline()) for _ in range(3000)]
    os.kill(process.pid, signal.SIGKILL)
    sent += [int(line) for line in process.stdout.read().split(b"\n") if line]
    process.wait()
    process.stdout.close()
    log = PredictionLog(tmp_path, seconds=0.1, rows=1000)
    log.append(answered("next", [1.0]))
    log.close()
    found = logged(tmp_path)
    assert len(set(found)) == len(found), "no row twice"
    # The last one may be in the log though its number was not written any more.
    extra = [(f"r{len(sent)}", [float(len(sent))] * (1 + len(sent) % 3))]
    want = [(f"r{n}", [float(n)] * (1 + n % 3)) for n in sent] + [("next", [1.0])]
    assert found in (expected(want), expected(want + extra))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["date=2023-11-14"], "nothing is left"


class _Stopped(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", ["write_parquet", "delete_session"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_conversion_that_is_cut_short_is_finished_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, times: int, done: bool
) -> None:
    answers = [(f"r{number}", [float(number)] * 4) for number in range(9)]
    left(tmp_path, answers[:5])
    left(tmp_path, answers[5:])
    original, calls = getattr(predictions, call), []

    def stop(*args: Any) -> None:
        calls.append(args)
        if len(calls) < times or done:
            original(*args)
        if len(calls) >= times:
            raise _Stopped

    with monkeypatch.context() as patch:
        patch.setattr(predictions, call, stop)
        try:
            recover(tmp_path, 8)
        except _Stopped:
            assert len(calls) == times
    # With other sizes of segments.
    recover(tmp_path, 3)
    assert logged(tmp_path) == expected(answers)
    assert not (tmp_path / JOURNAL).exists() or list((tmp_path / JOURNAL).iterdir()) == []


def left(folder: Path, answers: list[tuple[str, list[float]]]) -> None:
    """What a process that was killed leaves: its journal, and a lock that nobody holds."""
    log = PredictionLog(folder, seconds=3600, rows=10**6)
    for name, values in answers:
        log.append(answered(name, values))
    journal = log._journal
    journal.close()
    journal.release()
    # Its thread ends with this process.
    log._journal = predictions.AnswerJournal(folder / "unused", 1.0)


def test_a_journal_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, seconds=3600, rows=10**6)
    log.append(answered("a", [1.0]))
    assert recover(tmp_path, 100) == 0
    log.append(answered("b", [2.0]))
    log.close()
    assert logged(tmp_path) == expected([("a", [1.0]), ("b", [2.0])])


def test_a_damaged_record_costs_no_other(tmp_path: Path) -> None:
    answers = [(f"r{number}", [float(number)]) for number in range(20)]
    left(tmp_path, answers)
    file = next((tmp_path / JOURNAL).glob("*.mlj"))
    frames = list(read_frames(file))
    data = bytearray(file.read_bytes())
    data[frames[10].end - 3] ^= 0xFF
    file.write_bytes(data)
    assert recover(tmp_path, 100) == 19
    assert set(logged(tmp_path)) < set(expected(answers))
    kept = tmp_path / JOURNAL / f"{file.name}.damaged"
    assert kept.read_bytes() == data, "what could not be read is not deleted"


def test_segments_are_by_day_and_version(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, seconds=3600, rows=1000)
    for number in range(6):
        log.append(answered(f"r{number}", [1.0], digest=f"d{number % 2}", day=number // 3))
    log.close()
    days = [path.parent.name for path in sorted(tmp_path.rglob("*.parquet"))]
    assert days == ["date=2023-11-14"] * 3 + ["date=2023-11-15"] * 3
    assert len(logged(tmp_path)) == 6


def test_a_full_disk_keeps_answers_in_memory_and_then_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = PredictionLog(tmp_path, seconds=0.1, rows=100)
    log.append(answered("first", [1.0]))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        patch.setattr(predictions, "write_parquet", full)
        # The space that the file has is used up, then no more can be had.
        for number in range(1000):
            log.append(answered(f"r{number}", [float(number)] * 90))
        assert log.problem
    log.close()
    assert log.problem == ""
    names = {name for name, _, _ in logged(tmp_path)}
    assert "first" in names and len(logged(tmp_path)) + log.dropped == 1000 * 90 + 1


TEXT = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
FLOATS = st.floats(allow_nan=True)
LONGS = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=60)
@given(data=st.data())
def test_what_is_read_back_is_what_was_asked_and_answered(data: st.DataObject) -> None:
    encoder, answers, contexts, rows = AnswerEncoder(), [], {}, []
    for number in range(data.draw(st.integers(1, 5))):
        size = data.draw(st.integers(1, 4))
        draw = lambda kind, size=size: data.draw(st.lists(kind, min_size=size, max_size=size))  # noqa: E731
        x, n, t, p = draw(FLOATS), draw(LONGS), draw(TEXT), draw(FLOATS)
        outputs: dict[str, Any] = {"predict": np.array(p)}
        if data.draw(st.booleans()):
            outputs["predict_proba"] = np.array([[value, 1.0] for value in p])
        batch = Batch.of_columns(
            SIGNATURE,
            {
                "x": np.array(x),
                "n": np.array(n, dtype=np.int64),
                "t": np.array(t, dtype=object),
                "at": np.array([number] * size, dtype="datetime64[us]"),
            },
        )
        context, payload = encoder.encode(
            Answered(
                f"r{number}", DAY, DAY + number, "m", 1, "d", "champion", "v2", 200, 2, 1, batch, Prediction(outputs)
            )
        )
        if context is not None:
            key, value = decode_context(context)
            contexts[key] = value
        record = decode_record(payload)
        answers.append((contexts[record.context], record))
        probabilities = outputs["predict_proba"].tolist() if "predict_proba" in outputs else [None] * size
        rows += [(f"r{number}", i, x[i], n[i], t[i], p[i], probabilities[i]) for i in range(size)]
    table = segment(answers)
    found = [
        (row["request_id"], row["row"], row["feature.x"], row["feature.n"], row["feature.t"], row["prediction"],
         row["probabilities"])
        for row in table.to_pylist()
    ]  # fmt: skip
    # A missing number is null in a feature, and NaN as a prediction.
    want = [(a, b, None if x != x else x, n, t, p, q) for a, b, x, n, t, p, q in rows]
    assert sorted(map(repr, found)) == sorted(map(repr, want))
    assert table["feature.at"].type == pa.timestamp("us", tz="UTC")
    assert table["ts"][0].as_py() == datetime.fromtimestamp(DAY / 1e6, UTC)


def test_rows_of_an_array_are_columns_in_the_log() -> None:
    signature = Signature(tuple(InputColumn(str(i), "double", True, i) for i in range(3)), "matrix")
    encoder, made, known = AnswerEncoder(), [], None
    for number in range(2):
        batch = Batch(signature, 2, None, np.arange(6.0).reshape(2, 3) + 10 * number)
        context, payload = encoder.encode(
            Answered(f"r{number}", DAY, DAY, "m", 1, "d", "champion", "v2", 200, 2, 1, batch, Prediction({
                "predict": np.array(["a", "bc"])}))
        )  # fmt: skip
        assert (context is None) == (number == 1)
        known = known if context is None else decode_context(context)[1]
        made.append((known, decode_record(payload)))
    table = segment(made)
    assert table["feature.1"].to_pylist() == [1.0, 4.0, 11.0, 14.0]
    assert table["prediction"].to_pylist() == ["a", "bc", "a", "bc"]
