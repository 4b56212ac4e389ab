"""The logs have what was answered, and a failing disk does not affect answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from model_folders import Case, Endpoint, save_folder, tensors
from sklearn.tree import DecisionTreeClassifier

from mlops_workbench.serving.log.answers import Answered
from mlops_workbench.serving.log.feedback import FeedbackLog, Outcomes
from mlops_workbench.serving.log.predictions import PredictionLog
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.rows.signature import InputColumn, Signature
from mlops_workbench.serving.runtimes.estimator import Prediction

pytestmark = pytest.mark.process

Cases = Callable[[str], Case]
Serve = Callable[..., Endpoint]


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def logged(endpoint: Endpoint, rows: int) -> pa.Table:
    """The log once it holds so many rows."""
    folder = endpoint.folder / "predictions"
    until(lambda: endpoint.service.predictions.written >= rows, f"{rows} rows are logged")
    return pa.concat_tables(pq.read_table(file, partitioning=None) for file in sorted(folder.rglob("*.parquet")))


def test_several_texts_of_a_row_are_in_the_log_as_json(serve: Serve, tmp_path: Path) -> None:
    X = np.arange(40.0).reshape(20, 2)
    model = DecisionTreeClassifier().fit(X, np.array([["a", "ü"], ["b", "y"]] * 10))
    endpoint = serve(save_folder(tmp_path / "m", model, X))
    answer = endpoint.invoke({"inputs": X[:3].tolist()})
    assert answer.json()["predictions"] == [["a", "ü"], ["b", "y"], ["a", "ü"]]
    assert logged(endpoint, 3)["prediction"].to_pylist() == ['["a", "ü"]', '["b", "y"]', '["a", "ü"]']


def test_the_log_holds_what_was_asked_and_answered(cases: Cases, serve: Serve) -> None:
    case = cases("mixed")
    endpoint = serve(case.folder, version=7)
    begun = datetime.now(UTC)
    rows = case.rows[:20]
    body = {"id": "first", "inputs": tensors(rows), "parameters": {"event_time": "2013-04-01T06:00:00-04:00"}}
    answer = endpoint.v2(body).json()
    records = [
        {key: (value.isoformat() if hasattr(value, "isoformat") else value) for key, value in record.items()}
        for record in rows.drop(columns="dep delay")[:2].to_dict(orient="records")
    ]
    endpoint.invoke({"dataframe_records": records}, headers={"X-Request-Id": "second"})
    log = logged(endpoint, 22)
    assert log.schema.names == [
        *("request_id", "row", "ts", "event_time", "model", "version", "digest", "arm", "protocol"),
        *("status", "total_us"),
        *("predict_us", "feature.dep delay", "feature.distance", "feature.träger", "feature.night", "feature.day"),
        *("prediction", "probabilities"),
    ]
    types = dict(zip(log.schema.names, map(str, log.schema.types), strict=True))
    assert types == types | {
        "row": "int32",
        "ts": "timestamp[us, tz=UTC]",
        "event_time": "timestamp[us, tz=UTC]",
        "version": "int32",
        "status": "int16",
        "total_us": "int64",
        "feature.dep delay": "double",
        "feature.distance": "int64",
        "feature.träger": "string",
        "feature.night": "bool",
        "feature.day": "timestamp[us, tz=UTC]",
        "prediction": "double",
        "probabilities": "list<element: double>",
    }
    first = log.filter(pa.compute.equal(log["request_id"], "first"))
    assert first["prediction"].to_pylist() == answer["outputs"][0]["data"]
    assert first["row"].to_pylist() == list(range(20))
    assert set(first["event_time"].to_pylist()) == {datetime(2013, 4, 1, 10, tzinfo=UTC)}
    assert {begun <= moment <= datetime.now(UTC) for moment in first["ts"].to_pylist()} == {True}
    assert set(first["version"].to_pylist()) == {7}
    assert (first["model"][0].as_py(), first["arm"][0].as_py()) == ("flight-delays", "champion")
    assert (first["protocol"][0].as_py(), first["status"][0].as_py()) == ("v2", 200)
    assert 0 < first["predict_us"][0].as_py() <= first["total_us"][0].as_py()
    delays = [None if np.isnan(value) else value for value in rows["dep delay"]]
    assert first["feature.dep delay"].to_pylist() == delays
    assert first["feature.träger"].to_pylist() == [None if value != value else value for value in rows["träger"]]
    second = log.filter(pa.compute.equal(log["request_id"], "second")).to_pylist()
    assert [row["feature.dep delay"] for row in second] == [None, None]
    assert [row["event_time"] == row["ts"] for row in second] == [True, True]
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    assert any(f"date={day}" in str(file) for file in (endpoint.folder / "predictions").rglob("*.parquet"))


@pytest.mark.parametrize(("name", "kind"), [("text labels", "string"), ("int labels", "int64")])
def test_labels_and_probabilities_are_logged(cases: Cases, serve: Serve, name: str, kind: str) -> None:
    case = cases(name)
    endpoint = serve(case.folder)
    matrix = np.asarray(case.rows, dtype=float)
    inputs = [{"name": "X", "datatype": "FP64", "shape": list(matrix.shape), "data": matrix.ravel().tolist()}]
    endpoint.v2({"id": "both", "inputs": inputs})
    endpoint.v2({"id": "labels", "inputs": inputs, "outputs": [{"name": "predict"}]})
    log = logged(endpoint, 120)
    assert str(log.schema.field("prediction").type) == kind
    both = log.filter(pa.compute.equal(log["request_id"], "both"))
    assert both["prediction"].to_pylist() == case.estimator.predict(case.rows).tolist()
    np.testing.assert_allclose(both["probabilities"].to_pylist(), case.estimator.predict_proba(case.rows))
    only = log.filter(pa.compute.equal(log["request_id"], "labels"))
    assert only["probabilities"].null_count == 60


def test_no_row_is_lost_or_doubled_under_load_and_duckdb_reads_it(
    cases: Cases, serve: Serve, many: ThreadPoolExecutor
) -> None:
    case = cases("linear")
    endpoint = serve(case.folder)
    inputs = tensors(case.rows[:5])
    answers = list(many.map(lambda i: endpoint.v2({"id": f"r{i}", "inputs": inputs}).status_code, range(100)))
    assert set(answers) == {200}
    until(lambda: endpoint.service.predictions.written >= 500, "all rows are logged")
    pattern = str(endpoint.folder / "predictions" / "date=*" / "*.parquet")
    query = "select count(*), count(distinct (request_id, row)) from read_parquet(?, hive_partitioning=true)"
    assert duckdb.execute(query, [pattern]).fetchone() == (500, 500)


def test_a_folder_that_cannot_be_written_drops_log_rows_and_fails_no_request(
    cases: Cases, serve: Serve, tmp_path: Path
) -> None:
    endpoint = serve(cases("linear").folder)
    service = endpoint.service
    service.predictions.close()
    blocked = tmp_path / "predictions"
    blocked.write_text("a file where the folder should be")
    service.predictions = log = PredictionLog(blocked, seconds=0.1, rows=10, capacity=25)
    inputs = tensors(cases("linear").rows[:10])
    assert {endpoint.v2({"inputs": inputs}).status_code for _ in range(5)} == {200}
    until(lambda: log.problem, "the problem is noticed")
    assert (log.written, log.dropped) == (0, 30)
    assert 'mlwb_log_dropped_rows_total{model="eta"} 30' in endpoint.client.get("/metrics").text
    # When the folder can be written again, what waited is written.
    blocked.unlink()
    until(lambda: log.written == 20, "what waited is written")
    assert log.problem == ""


def answered(rows: int, request_id: str = "a") -> Answered:
    signature = Signature((InputColumn("x", "double", True, "x"),), "table")
    values = np.arange(rows, dtype=float)
    batch = Batch.of_columns(signature, {"x": values})
    fixed: dict[str, Any] = {
        "model": "m",
        "version": 1,
        "digest": "1f",
        "arm": "champion",
        "protocol": "v2",
        "status": 200,
    }
    times = {"answered_us": 1_000_000, "event_us": -1_000_000, "total_us": 2, "predict_us": 1}
    return Answered(request_id=request_id, batch=batch, prediction=Prediction({"predict": values}), **fixed, **times)


def test_closing_writes_what_waits_and_counts_what_it_cannot(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "good", seconds=3600, rows=1000)
    log.append(answered(3))
    log.close()
    table = pq.read_table(tmp_path / "good")
    assert table["prediction"].to_pylist() == [0.0, 1.0, 2.0]
    assert table["event_time"][0].as_py().year == 1969
    assert [file.name for file in (tmp_path / "good").iterdir()] == ["date=1970-01-01"]
    (tmp_path / "bad").write_text("")
    log = PredictionLog(tmp_path / "bad", seconds=3600, rows=1000)
    log.append(answered(3))
    log.close()
    assert (log.written, log.dropped) == (0, 3)
    log.append(answered(2))
    assert log.dropped == 5


def test_a_full_segment_is_written_without_waiting_for_the_clock(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, seconds=3600, rows=10)
    for number in range(4):
        log.append(answered(5, str(number)))
    until(lambda: log.written >= 10, "a segment of ten rows")
    log.close()
    assert log.written == 20


def feedback(endpoint: Endpoint) -> list[dict[str, Any]]:
    return pq.read_table(endpoint.folder / "feedback").to_pylist()


def test_rows_that_no_table_can_hold_are_the_only_ones_dropped(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, seconds=0.1, rows=1000)
    too_large = Prediction({"predict": np.array([2**64 - 1, 1], dtype=np.uint64)})
    log.append(msgspec.structs.replace(answered(2, "odd"), prediction=too_large, version=2, digest="2f"))
    log.append(answered(3, "fine"))
    log.close()
    assert (log.written, log.dropped) == (3, 2)
    assert set(pq.read_table(tmp_path)["request_id"].to_pylist()) == {"fine"}


def test_an_odd_answer_costs_no_other_of_its_version(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, seconds=3600, rows=1000)
    too_large = Prediction({"predict": np.array([2**64 - 1, 1], dtype=np.uint64)})
    for number in range(9):
        log.append(answered(3, f"fine {number}"))
        if number in (0, 4, 5):
            log.append(msgspec.structs.replace(answered(2, f"odd {number}"), prediction=too_large))
    log.close()
    assert (log.written, log.dropped) == (27, 6)
    found = pq.read_table(tmp_path)["request_id"].to_pylist()
    assert sorted(found) == sorted(f"fine {number}" for number in range(9) for _ in range(3))


def test_feedback_of_a_cancelled_request_blocks_no_other(tmp_path: Path) -> None:
    log = FeedbackLog(tmp_path)
    outcomes = Outcomes(["r"], [0], [1.0], [datetime(2024, 5, 1)])
    given_up = [log.submit(outcomes) for _ in range(20)]
    for future in given_up:
        future.cancel()
    log.submit(outcomes).result(timeout=60)
    log.close()
    assert log.written == 1 + sum(not future.cancelled() for future in given_up)


def ask(endpoint: Endpoint, case: Case, **rows: int) -> None:
    """Requests with these ids and numbers of rows."""
    for name, size in rows.items():
        matrix = np.asarray(case.rows, dtype=float)[:size]
        inputs = [{"name": "X", "datatype": "FP64", "shape": list(matrix.shape), "data": matrix.ravel().tolist()}]
        assert endpoint.v2({"id": name, "inputs": inputs}).status_code == 200


def test_feedback_is_on_disk_when_it_is_acknowledged(cases: Cases, serve: Serve) -> None:
    endpoint = serve(cases("linear").folder)
    ask(endpoint, cases("linear"), a=4, b=3, c=2, d=1)
    send = lambda body: endpoint.v2(body, "/v2/models/eta/feedback")  # noqa: E731
    one = send({"request_id": "a", "row": 3, "label": 12.5, "observed_at": "2013-04-01T10:00:00Z"})
    assert (one.status_code, one.json()) == (200, {"stored": 1})
    first = feedback(endpoint)[0]
    assert (first["request_id"], first["row"], first["label"]) == ("a", 3, 12.5)
    assert first["observed_at"] == datetime(2013, 4, 1, 10, tzinfo=UTC)
    assert first["received_at"] <= datetime.now(UTC)
    assert send({"request_id": "b", "label": [1, 2.5, 3]}).json() == {"stored": 3}
    many = {"request_id": ["c", "d"], "row": [1, 0], "label": [5, 6], "observed_at": ["2013-04-01", "2013-04-02"]}
    assert send(many).json() == {"stored": 2}
    known = {(row["request_id"], row["row"], row["label"]) for row in feedback(endpoint)}
    assert known == {("a", 3, 12.5), ("b", 0, 1.0), ("b", 1, 2.5), ("b", 2, 3.0), ("c", 1, 5.0), ("d", 0, 6.0)}
    assert str(pq.read_table(endpoint.folder / "feedback").schema.field("label").type) == "double"


def test_feedback_of_a_model_of_texts_is_text(cases: Cases, serve: Serve) -> None:
    endpoint = serve(cases("text labels").folder)
    ask(endpoint, cases("text labels"), a=1)
    send = lambda body: endpoint.v2(body, "/v2/models/eta/feedback")  # noqa: E731
    assert send({"request_id": "a", "label": "late"}).status_code == 200
    assert feedback(endpoint)[0]["label"] == "late"
    refused = send({"request_id": "a", "label": 1})
    assert refused.status_code == 400
    assert "expected a text" in refused.json()["error"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"label": 1}, "field 'request_id' is missing"),
        ({"request_id": "a"}, "field 'label' is missing"),
        ({"request_id": "a", "label": []}, "label must not be an empty array"),
        ({"request_id": "a", "lable": 1, "label": 1}, "unknown field 'lable'; did you mean 'label'?"),
        ({"request_id": "a", "label": "late"}, "label, position 0: expected a number"),
        ({"request_id": "a", "label": True}, "label, position 0: expected a number"),
        ({"request_id": "a", "label": [1, 2], "row": [0]}, "row has 1 values, but label has 2"),
        ({"request_id": "a", "label": 1, "row": -1}, "row, position 0: expected a row number"),
        ({"request_id": "a", "label": 1, "row": True}, "row, position 0: expected a row number"),
        ({"request_id": 3, "label": 1}, "request_id, position 0: expected a text"),
        ({"request_id": "a", "label": 1, "observed_at": "soon"}, "observed_at, position 0"),
        ([], "must be a JSON object"),
    ],
)
def test_wrong_feedback_is_refused(shared: Endpoint, body: Any, message: str) -> None:
    answer = shared.v2(body, "/v2/models/eta/feedback")
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@pytest.fixture(scope="module")
def shared(cases: Cases, serve: Serve) -> Endpoint:
    return serve(cases("linear").folder)


def test_feedback_that_cannot_be_stored_is_not_acknowledged(cases: Cases, serve: Serve) -> None:
    endpoint = serve(cases("linear").folder)
    ask(endpoint, cases("linear"), a=1)
    (endpoint.folder / "feedback").write_text("a file where the folder should be")
    answer = endpoint.v2({"request_id": "a", "label": 1}, "/v2/models/eta/feedback")
    assert answer.status_code == 507
    assert "cannot be stored" in answer.json()["error"]
