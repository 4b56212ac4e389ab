"""Feedback is taken as JSON, CSV and Parquet, for rows that were asked and no others."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import visible
from model_folders import Case, Endpoint
from test_answers_survive import answered
from test_compaction import compactor, numbered, written

from mlops_workbench.control.services.old_files import remove_log_file
from mlops_workbench.serving.errors import InvalidRequest, UnknownRows
from mlops_workbench.serving.log.asked import AskedRows
from mlops_workbench.serving.log.compaction import Compactor
from mlops_workbench.serving.log.feedback import Outcomes, feedback_table, parse_feedback
from mlops_workbench.serving.log.feedback_bodies import parse_body, with_events
from mlops_workbench.serving.log.kinds import FeedbackFiles, PredictionFiles
from mlops_workbench.serving.log.predictions import PredictionLog
from mlops_workbench.serving.log.request_index import UNKNOWN
from mlops_workbench.serving.protocols.body import parse_object

CSV, PARQUET = "text/csv; charset=utf-8", "application/vnd.apache.parquet"


def parsed(body: bytes, kind: str, labels_are: Any = "number", most: int = 1 << 20) -> Outcomes:
    return parse_body(body, kind, labels_are=labels_are, parse_json=parse_object, most=most)


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


LABELS = {
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "text": st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    "boolean": st.booleans(),
}


@settings(max_examples=15, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(LABELS)))
def test_a_table_says_the_same_as_json(data: st.DataObject, kind: Any) -> None:
    size = data.draw(st.integers(1, 5))
    draw = lambda values: data.draw(st.lists(values, min_size=size, max_size=size))  # noqa: E731
    texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9)
    times = [datetime(2024, 5, 1, 12, number % 60) for number in range(size)]
    frame = pd.DataFrame(
        {"request_id": draw(texts), "row": draw(st.integers(0, 99)), "label": draw(LABELS[kind]), "observed_at": times}
    )
    body = {name: frame[name].tolist() for name in ("request_id", "row", "label")}
    want = parse_feedback(body | {"observed_at": [time.isoformat() for time in times]}, labels_are=kind)
    assert parsed(frame.to_csv(index=False).encode("utf-8-sig"), CSV, kind) == want
    assert parsed(frame.to_parquet(), PARQUET, kind) == want
    zoned = frame.assign(observed_at=frame["observed_at"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    assert parsed(zoned.astype({"request_id": "category"}).to_parquet(), PARQUET, kind) == want


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"request_id,label\na,1\nb", CSV, "row 1: 1 values, but the first line has 2 names"),
        (b"request_id,lable\na,1", CSV, "unknown column 'lable'; did you mean 'label'?"),
        (b"request_id,row\na,1", CSV, "column 'label' is missing"),
        (b"request_id,label\na,late", CSV, "label, position 0: expected a number, got 'late'"),
        (b"request_id,row,label\na,-1,2", CSV, "row, position 0: expected a row number, got '-1'"),
        (b"request_id,label,label\na,1,2", CSV, "a name twice"),
        (b"request_id,label\n", CSV, "the table has no rows"),
        (b"", CSV, "the body is empty"),
        (b"\xff\xfe", CSV, "not CSV in UTF-8"),
        (b"PAR1", PARQUET, "not a Parquet file"),
        (parquet(request_id=["a"], label=[1.0], extra=[1]), PARQUET, "unknown column 'extra'"),
        (parquet(request_id=["a"], label=["late"]), PARQUET, "label, position 0: expected a number, got 'late'"),
        (parquet(request_id=["a", None], label=[1.0, 2.0]), PARQUET, "request_id, position 1: expected a text"),
        (parquet(request_id=["a"], label=pa.array([None], pa.float64())), PARQUET, "label, position 0"),
        (parquet(request_id=["a"], label=[1.0], row=[1.5]), PARQUET, "row, position 0: expected a row number"),
        (parquet(request_id=pa.array([], pa.string()), label=pa.array([], pa.float64())), PARQUET, "has no rows"),
    ],
)
def test_a_wrong_table_is_refused_with_what_is_wrong(body: bytes, kind: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parsed(body, kind)
    assert message in str(refused.value)


def test_a_table_that_is_small_only_on_the_wire_is_refused() -> None:
    body = parquet(request_id=pa.array(["a" * 100]).take(pa.array([0] * 500_000)), label=np.arange(500_000.0))
    with pytest.raises(InvalidRequest, match="too large in memory"):
        parsed(body, PARQUET, most=100_000)


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=60) | st.binary(max_size=40).map(lambda data: b"request_id,label\n" + data))
def test_no_bytes_make_the_parser_fail(body: bytes) -> None:
    for kind in (CSV, PARQUET):
        try:
            parsed(body, kind)
        except InvalidRequest:
            continue


def test_rows_are_found_wherever_they_are_and_others_are_named(tmp_path: Path) -> None:
    written(tmp_path, numbered(10, rows=2))
    compactor(tmp_path).step()
    written(tmp_path, [("segment", [1.0] * 3)])
    log = PredictionLog(tmp_path, seconds=3600, rows=1000)
    asked = AskedRows(tmp_path)
    log.append(answered("first", [1.0]))
    good = Outcomes(["r3", "segment", "first"], [1, 2, 0], [1.0] * 3, [datetime(2024, 1, 1)] * 3)
    assert len(with_events(good, asked).events or []) == 3
    # The same journal file again, which has grown.
    log.append(answered("second", [1.0, 2.0]))
    assert (asked.find(["second", "second", "first"], [1, 2, 0]) != UNKNOWN).tolist() == [True, False, True]
    bad = Outcomes([f"x{number}" for number in range(8)] + ["r3"], [0] * 9, [1.0] * 9, [datetime(2024, 1, 1)] * 9)
    with pytest.raises(UnknownRows) as refused:
        with_events(bad, asked)
    assert "8 of 9 rows are not in the prediction log of this endpoint, so nothing is stored: 'x0' row 0" in str(
        refused.value
    )
    assert "and 3 more" in str(refused.value)
    log.close()
    assert (asked.find(["first", "second"], [0, 1]) != UNKNOWN).all(), "after their way into a segment"


def test_rows_with_the_same_id_are_all_known(tmp_path: Path) -> None:
    written(tmp_path, [("same", [1.0]), ("same", [2.0] * 3), ("same", [3.0] * 2)], rows=1)
    for folder_is in ("segments", "compacted"):
        found = AskedRows(tmp_path).find(["same"] * 4, [0, 1, 2, 3]) != UNKNOWN
        assert found.tolist() == [True, True, True, False], folder_is
        compactor(tmp_path).step()


def test_the_error_says_when_the_rule_of_retention_has_removed_the_rows(tmp_path: Path) -> None:
    folder = tmp_path / "endpoint=e"
    written(folder, numbered(3))
    written(folder, [("young", [1.0])], day=1)
    compactor(folder).step()
    old = visible(folder)[0]
    assert remove_log_file(tmp_path, str(old.relative_to(tmp_path)))
    assert not old.parent.exists()
    asked = AskedRows(folder)
    assert (asked.find(["young"], [0]) != UNKNOWN).all()
    outcomes = Outcomes(["r1"], [0], [1.0], [datetime(2024, 1, 1)])
    with pytest.raises(UnknownRows, match=r"answers of 2023-11-14 and before were removed \(\[retention\]"):
        with_events(outcomes, asked)


def test_feedback_of_an_earlier_version_gets_the_times_of_its_rows(tmp_path: Path) -> None:
    answers, feedback = tmp_path / "answers", tmp_path / "feedback"
    written(answers, numbered(20), rows=5)
    compactor(answers).step()
    feedback.mkdir()
    now = datetime(2024, 5, 1, tzinfo=UTC)
    for number in range(20):
        table = feedback_table([Outcomes([f"r{number}", "?"], [0, 0], [1.0, 2.0], [datetime(2024, 5, 1)] * 2)], now)
        pq.write_table(table.drop_columns(["event_time"]), feedback / f"{number:02d}.parquet")
    kind = FeedbackFiles(AskedRows(answers))
    Compactor(feedback, kind, closed_seconds=-1).step()
    (path,) = feedback.glob("*.parquet")
    table = pq.ParquetFile(path).read()
    assert table.num_rows == 40
    known = dict(zip(table["request_id"].to_pylist(), table["event_time"].to_pylist(), strict=True))
    assert known.pop("?") is None
    assert set(known.values()) == {datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)}
    assert [hour.rows for hour in kind.summary(path).hours] == [20]


ANSWERS = """
import os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_answers_survive import answered
from mlops_workbench.serving.log.predictions import PredictionLog
log = PredictionLog(Path(sys.argv[1]), seconds=3600, rows=10**6)
log.append(answered("elsewhere", [1.0, 2.0]))
os.write(1, b"answered\\n")
sys.stdin.read()
os._exit(0)
"""


@pytest.mark.process
def test_what_another_process_answered_a_moment_ago_is_known(
    cases: Callable[[str], Case], serve: Callable[..., Endpoint]
) -> None:
    endpoint = serve(cases("linear").folder)
    code = ANSWERS.format(path=[str(Path(__file__).parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(endpoint.folder / "predictions")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"answered\n"
    send = lambda body, kind: endpoint.client.post(  # noqa: E731
        "/v2/models/eta/feedback", content=body, headers={"Content-Type": kind}
    )
    assert send(b"request_id,row,label\nelsewhere,0,1.5\nelsewhere,1,2.5", CSV).json() == {"stored": 2}
    process.communicate()
    # Killed: its journal is converted by the endpoint.
    body = parquet(request_id=["elsewhere", "nobody"], label=[3.0, 4.0])
    refused = send(body, PARQUET)
    assert refused.status_code == 422
    assert "1 of 2 rows are not in the prediction log" in refused.json()["error"]
    assert "'nobody' row 0" in refused.json()["error"]
    assert send(parquet(request_id=["elsewhere"], label=[3.0]), PARQUET).json() == {"stored": 1}
    assert send(b"<label/>", "text/xml").status_code == 415
    stored = pq.read_table(endpoint.folder / "feedback").to_pylist()
    assert sorted(row["label"] for row in stored) == [1.5, 2.5, 3.0], "nothing of what was refused is stored"
    moment = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert {row["event_time"] for row in stored} == {moment}
    assert datetime.now(UTC) - stored[0]["received_at"] < timedelta(days=1)


def test_a_summary_tells_models_apart(tmp_path: Path) -> None:
    written(tmp_path, numbered(2), rows=1)
    assert {PredictionFiles().summary(path).model for path in visible(tmp_path)} == {"m"}
