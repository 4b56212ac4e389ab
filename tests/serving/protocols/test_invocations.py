"""MLflow's scoring protocol, measured against MLflow itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_folders import Case, Endpoint

pytestmark = pytest.mark.process

Cases = Callable[[str], Case]
Serve = Callable[..., Endpoint]

NAMES = ["linear", "forest", "boosted", "mixed", "text labels", "int labels", "categories", "two targets"]


@pytest.fixture(scope="module")
def mixed(cases: Cases, serve: Serve) -> tuple[Case, Endpoint]:
    return cases("mixed"), serve(cases("mixed").folder)


@pytest.fixture(scope="module")
def forest(cases: Cases, serve: Serve) -> Endpoint:
    return serve(cases("forest").folder)


def mlflow_answer(case: Case, body: bytes, content_type: str = "application/json") -> Any:
    """What MLflow's own scoring server makes of a body."""
    import mlflow
    from mlflow.pyfunc import scoring_server

    model = mlflow.pyfunc.load_model(str(case.folder))
    answer = scoring_server.invocations(body, content_type, model, model.metadata.get_input_schema())
    assert answer.status == 200, answer.response
    return json.loads(answer.response)


def bodies(rows: Any) -> list[bytes]:
    """The same rows in every form that MLflow takes for them."""
    if not isinstance(rows, pd.DataFrame):
        return [json.dumps({key: rows.tolist()}).encode() for key in ("inputs", "instances")]
    text = rows.to_json(orient="split", date_format="iso", double_precision=15)
    split = json.loads(text)
    records = [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]
    shuffled = {"columns": split["columns"][::-1], "data": [row[::-1] for row in split["data"]]}
    return [
        json.dumps(body).encode()
        for body in (
            {"dataframe_split": split},
            {"dataframe_split": shuffled},
            {"dataframe_records": records},
            {"dataframe_split": split, "params": {"event_time": "2013-04-01"}, "unknown": 1},
        )
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_form_gives_what_mlflow_gives(cases: Cases, serve: Serve, name: str) -> None:
    case = cases(name)
    endpoint = serve(case.folder)
    for body in bodies(case.rows):
        answer = endpoint.client.post("/invocations", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        want = mlflow_answer(case, body)
        if name == "forest":
            # MLflow leaves the forest its threads, which add up the trees in any order.
            want = {"predictions": pytest.approx(want["predictions"], rel=1e-13)}
        assert answer.json() == want


@pytest.mark.parametrize("name", ["linear", "forest", "boosted", "mixed", "text labels", "int labels"])
def test_mlflows_own_client_is_served(cases: Cases, serve: Serve, name: str) -> None:
    import mlflow
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    case = cases(name)
    host, _, port = serve(case.folder).url.removeprefix("http://").rpartition(":")
    client = ScoringServerClient(host, int(port))
    client.wait_server_ready(timeout=30)
    assert client.get_version() == mlflow.__version__
    answer = client.invoke(case.rows).get_predictions()
    want = mlflow.pyfunc.load_model(str(case.folder)).predict(case.rows)
    if np.asarray(want).dtype.kind == "f":
        np.testing.assert_allclose(answer.to_numpy().ravel(), np.asarray(want), rtol=1e-13)
    else:
        np.testing.assert_array_equal(answer.to_numpy().ravel(), np.asarray(want))


def test_csv_gives_what_mlflow_gives(cases: Cases, serve: Serve) -> None:
    for name in ("linear", "boosted", "text labels"):
        case = cases(name)
        body = case.rows.to_csv(index=False).encode()
        answer = serve(case.folder).client.post(
            "/invocations", content=body, headers={"Content-Type": "text/csv; charset=UTF-8"}
        )
        assert answer.status_code == 200, answer.text
        # MLflow reads numbers with pandas, which does not round them exactly before version 3.
        want = mlflow_answer(case, body, "text/csv")["predictions"]
        got = answer.json()["predictions"]
        assert got == want if name == "text labels" else got == pytest.approx(want, rel=1e-12)


def test_csv_holds_every_type_of_column(mixed: tuple[Case, Endpoint]) -> None:
    case, endpoint = mixed
    body = case.rows.to_csv().encode()  # with the index, which is left out
    answer = endpoint.client.post("/invocations", content=body, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(answer.json()["predictions"], case.estimator.predict(case.rows))


def test_instances_and_inputs_may_hold_columns_and_records(cases: Cases, serve: Serve) -> None:
    case = cases("linear")
    endpoint = serve(case.folder)
    rows = case.rows[:3]
    want = case.estimator.predict(rows).tolist()
    for body in (
        {"inputs": rows.to_dict(orient="list")},
        {"instances": rows.to_dict(orient="records")},
        {"inputs": rows.to_dict(orient="records")},
        {"instances": rows.to_dict(orient="list")},
    ):
        assert endpoint.invoke(body).json() == {"predictions": want}
    assert endpoint.invoke({"inputs": rows.iloc[0].to_dict()}).json() == {"predictions": want[:1]}


def test_a_bare_nan_of_pythons_encoder_is_a_missing_value(cases: Cases, serve: Serve) -> None:
    case = cases("boosted")
    body = b'{"dataframe_split": {"columns": ["a", "b", "n"], "data": [[NaN, 0.5, 3]]}}'
    answer = serve(case.folder).client.post("/invocations", content=body, headers={"Content-Type": "application/json"})
    want = case.estimator.predict(pd.DataFrame({"a": [np.nan], "b": [0.5], "n": [3]}))
    assert answer.json() == {"predictions": want.tolist()}


ROW = {"dep delay": 1.5, "distance": 100, "träger": "AA", "night": True, "day": "2013-01-01"}


def records(**changes: Any) -> dict[str, Any]:
    return {"dataframe_records": [ROW, {**ROW, **changes}]}


WRONG: dict[str, tuple[Any, str]] = {
    "list": ([1, 2], "must be a JSON object, received a list"),
    "no form": ({"data": []}, "exactly one of the fields dataframe_split"),
    "two forms": ({"inputs": [], "instances": []}, "exactly one of the fields"),
    "missing column": (
        {"dataframe_records": [{("nigth" if key == "night" else key): value for key, value in ROW.items()}]},
        "missing input column 'night'; unknown: 'nigth'",
    ),
    "text for number": (
        records(**{"dep delay": "1"}),
        "column 'dep delay', row 1: expected a number (double), got the text '1'",
    ),
    "number for text": (records(**{"träger": 3}), "column 'träger', row 1: expected text (string), got the integer 3"),
    "number for time": (records(day=3), "column 'day', row 1: expected a time as ISO 8601 text (datetime)"),
    "fraction": (records(distance=1.5), "column 'distance', row 1: expected an integer (long), got the number 1.5"),
    "null integer": (records(distance=None), "column 'distance', row 1: expected an integer (long), got null"),
    "number for boolean": (records(night=2), "column 'night', row 1: expected true or false (boolean)"),
    "nested": (records(distance=[1]), "column 'distance', row 1: expected an integer (long), got an array"),
    "no records": ({"dataframe_records": []}, "the request has no rows"),
    "record is a list": ({"dataframe_records": [[1]]}, "dataframe_records, row 0: expected an object"),
    "split without data": ({"dataframe_split": {"columns": []}}, "must have 'data'"),
    "split with more": ({"dataframe_split": {"data": [], "dtype": 1}}, "got 'data', 'dtype'"),
    "ragged": ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [1]]}}, "expected 2 values as in row 0"),
    "columns and data": ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "has 1 columns, but row 0 has 2"),
    "column twice": ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "names column 'a' twice"),
    "nameless": ({"inputs": [[1, 2, 3, 4, 5]]}, "takes named columns"),
    "column is no list": ({"inputs": {"distance": 1, "night": [True]}}, "column 'distance': expected an array"),
    "event time": ({**records(), "params": {"event_time": "soon"}}, "event_time"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_body_is_refused_with_what_and_where(mixed: tuple[Case, Endpoint], name: str) -> None:
    body, message = WRONG[name]
    answer = mixed[1].invoke(body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error_code"] == "BAD_REQUEST"
    assert message in answer.json()["message"]
    assert set(answer.json()) == {"error_code", "message"}


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        (b"", "the body is empty"),
        (b"a,b\n1,2\n", "missing input columns"),
        ("dep delay,distance,träger,night,day\n1,x,AA,true,2013-01-01\n".encode(), "column 'distance', row 0"),
        ("dep delay,distance,träger,night,day\n1,2,AA\n".encode(), "CSV row 0: expected 5 values"),
        (b"\xff\xff", "not valid UTF-8"),
        (b'"a\n', "not valid CSV"),
    ],
)
def test_a_wrong_csv_body_is_refused(mixed: tuple[Case, Endpoint], csv: bytes, message: str) -> None:
    answer = mixed[1].client.post("/invocations", content=csv, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 400
    assert message in answer.json()["message"]


def test_the_width_of_an_array_is_checked(forest: Endpoint) -> None:
    answer = forest.invoke({"inputs": [[1.0, 2.0]]})
    assert answer.status_code == 400
    assert "expected 3 columns, got shape [1, 2]" in answer.json()["message"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json; charset=latin-1", "application/json; version=2", None, ""]
)
def test_other_content_types_are_415(forest: Endpoint, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = forest.client.post("/invocations", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert answer.json()["message"]


def test_too_large_bodies_are_refused(cases: Cases, serve: Serve) -> None:
    from mlops_workbench.core.settings import ServingSettings

    endpoint = serve(cases("forest").folder, settings=ServingSettings(max_body_mb=1))
    large = endpoint.invoke({"inputs": [[0.123456789] * 3] * 60_000})
    assert large.status_code == 413
    assert "serving.max_body_mb" in large.json()["message"]
    assert endpoint.invoke({"inputs": [[1, 2, 3]]}).status_code == 200
