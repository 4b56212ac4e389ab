"""The Open Inference Protocol as clients use it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_folders import Case, Endpoint, save_folder, tensors
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

pytestmark = pytest.mark.process

EXTENSIONS = ["binary_tensor_data", "model_repository"]

Cases = Callable[[str], Case]
Serve = Callable[..., Endpoint]


def output(answer: Any, name: str = "predict") -> np.ndarray:
    one = next(one for one in answer.json()["outputs"] if one["name"] == name)
    return np.array(one["data"]).reshape(one["shape"])


@pytest.fixture(scope="module")
def numbers(cases: Cases, serve: Serve) -> tuple[Case, Endpoint]:
    return cases("linear"), serve(cases("linear").folder)


@pytest.fixture(scope="module")
def mixed(cases: Cases, serve: Serve) -> tuple[Case, Endpoint]:
    return cases("mixed"), serve(cases("mixed").folder)


@pytest.fixture(scope="module")
def labels(cases: Cases, serve: Serve) -> tuple[Case, Endpoint]:
    return cases("text labels"), serve(cases("text labels").folder)


@pytest.mark.parametrize("name", ["linear", "boosted", "mixed", "categories", "text labels", "texts"])
def test_a_tensor_for_each_column_gives_what_the_estimator_gives(cases: Cases, serve: Serve, name: str) -> None:
    case = cases(name)
    answer = serve(case.folder).v2({"inputs": tensors(case.rows)})
    assert answer.status_code == 200, answer.text
    rows = case.rows["text"] if name == "texts" else case.rows
    np.testing.assert_array_equal(output(answer), case.estimator.predict(rows))


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("name", ["encoder", "imputer and encoder", "imputer of None"])
def test_a_missing_text_is_the_one_that_the_estimator_was_fitted_with(
    serve: Serve, tmp_path: Path, missing: float | None, name: str
) -> None:
    carrier = pd.Series(["AA", missing, "UA", "AA", missing, "AA"] * 5, dtype=object)
    rows = pd.DataFrame({"carrier": carrier, "origin": ["JFK", "EWR", "LGA"] * 10, "tail": ["N1", np.nan, "N2"] * 10})
    steps: list[Any] = [OneHotEncoder(handle_unknown="ignore"), Ridge()]
    if name != "encoder":
        rows = rows[["carrier", "origin"]]
        imputed = np.nan if name == "imputer and encoder" else missing
        steps.insert(0, SimpleImputer(missing_values=imputed, strategy="most_frequent"))
    model = make_pipeline(*steps).fit(rows, [3.0, 99.0, 5.0, 3.0, 70.0, 8.0] * 5)
    answer = serve(save_folder(tmp_path / "model", model, rows)).v2({"inputs": tensors(rows)})
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(output(answer), model.predict(rows))


@pytest.mark.parametrize("name", ["forest", "int labels", "two targets", "linear"])
@pytest.mark.parametrize("nested", [True, False])
def test_a_matrix_gives_what_the_estimator_gives(cases: Cases, serve: Serve, name: str, nested: bool) -> None:
    case = cases(name)
    matrix = np.asarray(case.rows, dtype=float)
    data = matrix.tolist() if nested else matrix.ravel().tolist()
    body = {"inputs": [{"name": "X", "datatype": "FP64", "shape": list(matrix.shape), "data": data}]}
    answer = serve(case.folder).v2(body)
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(output(answer), case.estimator.predict(case.rows))


def test_a_classifier_offers_labels_and_probabilities_and_outputs_selects(labels: tuple[Case, Endpoint]) -> None:
    case, endpoint = labels
    inputs = tensors(case.rows)
    both = endpoint.v2({"inputs": inputs})
    assert [one["name"] for one in both.json()["outputs"]] == ["predict", "predict_proba"]
    np.testing.assert_array_equal(output(both), case.estimator.predict(case.rows))
    np.testing.assert_allclose(output(both, "predict_proba"), case.estimator.predict_proba(case.rows))
    one = endpoint.v2({"inputs": inputs, "outputs": [{"name": "predict_proba"}]}).json()["outputs"]
    assert [(entry["name"], entry["datatype"], entry["shape"]) for entry in one] == [("predict_proba", "FP64", [60, 2])]


def test_the_answer_names_model_version_and_the_id_of_the_request(numbers: tuple[Case, Endpoint]) -> None:
    case, endpoint = numbers
    inputs = tensors(case.rows[:2])
    given = endpoint.v2({"id": "my id", "inputs": inputs})
    assert (given.json()["model_name"], given.json()["model_version"], given.json()["id"]) == ("eta", "1", "my id")
    assert given.headers["x-request-id"] == "my id"
    by_header = endpoint.v2({"inputs": inputs}, headers={"X-Request-Id": "from-header"})
    assert by_header.json()["id"] == by_header.headers["x-request-id"] == "from-header"
    made = [endpoint.v2({"inputs": inputs}).json()["id"] for _ in range(2)]
    assert len(set(made)) == 2
    assert all(made)


def test_an_id_cannot_write_headers(numbers: tuple[Case, Endpoint]) -> None:
    case, endpoint = numbers
    answer = endpoint.v2({"id": "a\r\nX-Evil: 1 ü", "inputs": tensors(case.rows[:1])})
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers
    assert answer.json()["id"] == "a\r\nX-Evil: 1 ü"


def test_times_come_as_text_with_or_without_zone_or_as_milliseconds(mixed: tuple[Case, Endpoint]) -> None:
    case, endpoint = mixed
    rows = case.rows[:3]
    inputs = tensors(rows)
    want = output(endpoint.v2({"inputs": inputs}))
    day = next(one for one in inputs if one["name"] == "day")
    day["data"] = [f"{moment.isoformat()}Z" for moment in rows["day"]]
    np.testing.assert_array_equal(output(endpoint.v2({"inputs": inputs})), want)
    day["data"] = [int(moment.timestamp() * 1000) for moment in rows["day"]]
    day["datatype"] = "INT64"
    np.testing.assert_array_equal(output(endpoint.v2({"inputs": inputs})), want)


def test_optional_columns_may_be_left_out_and_integers_may_come_as_floats(mixed: tuple[Case, Endpoint]) -> None:
    case, endpoint = mixed
    rows = case.rows[:2]
    want = case.estimator.predict(rows.assign(**{"dep delay": np.nan}))
    inputs = [one for one in tensors(rows) if one["name"] != "dep delay"]
    np.testing.assert_array_equal(output(endpoint.v2({"inputs": inputs})), want)
    distance = next(one for one in inputs if one["name"] == "distance")
    distance.update(datatype="FP64", data=[float(value) for value in distance["data"]])
    np.testing.assert_array_equal(output(endpoint.v2({"inputs": inputs})), want)


def change(column: str, **values: Any) -> Callable[[list[dict[str, Any]]], Any]:
    def apply(inputs: list[dict[str, Any]]) -> Any:
        next(one for one in inputs if one["name"] == column).update(values)
        return inputs

    return apply


def rename(old: str, new: str) -> Callable[[list[dict[str, Any]]], Any]:
    return change(old, name=new)


WRONG: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "missing column": (lambda inputs: inputs[1:] and [i for i in inputs if i["name"] != "night"], "'night'"),
    "misspelt column": (rename("distance", "distanse"), "missing input column 'distance'; unknown: 'distanse'"),
    "unknown column": (
        lambda inputs: [*inputs, {**inputs[0], "name": "dep dealy"}],
        "no input 'dep dealy'; did you mean 'dep delay'?",
    ),
    "twice": (lambda inputs: [*inputs, inputs[0]], "'dep delay' is given twice"),
    "wrong datatype": (
        change("distance", datatype="BYTES", data=["a", "b"]),
        "column 'distance': expected datatype INT64 (long), got BYTES",
    ),
    "text for number": (
        change("dep delay", data=["1", 2]),
        "element 0 is a text, which is not FP64",
    ),
    "number for text": (change("träger", data=[1, "AA"]), "input 'träger': element 0 is an integer"),
    "boolean for number": (change("dep delay", data=[True, 2]), "element 0 is a boolean"),
    "fraction for integer": (
        change("distance", datatype="FP64", data=[1, 2.5]),
        "column 'distance', row 1: expected an integer (long), got the number 2.5",
    ),
    "null for integer": (change("distance", data=[1, None]), "column 'distance', row 1: expected an integer"),
    "integer too large": (change("distance", data=[1, 2**63]), "element 1 is out of the range of INT64"),
    "no date": (change("day", data=["2013-01-01", "soon"]), "column 'day', row 1: expected a time as ISO 8601 text"),
    "date out of range": (change("day", data=["2013-01-01", "0001-01-01T00:00:00+10:00"]), "column 'day', row 1"),
    "shape and data": (change("distance", shape=[3]), "input 'distance': shape [3] means 3 values, got 2"),
    "other length": (
        change("distance", shape=[3], data=[1, 2, 3]),
        "column 'distance' has 3 rows, but 'dep delay' has 2",
    ),
    "two columns in one": (
        change("distance", shape=[1, 2], data=[[1, 2]]),
        "column 'distance': expected shape [rows] or [rows, 1], got [1, 2]",
    ),
    "negative size": (change("distance", shape=[-1]), "shape must be an array of sizes"),
    "three dimensions": (change("distance", shape=[1, 1, 2]), "expected shape [rows] or [rows, columns]"),
    "FP16": (change("dep delay", datatype="FP16"), "FP16 cannot be given as JSON"),
    "unknown datatype": (change("dep delay", datatype="FP46"), "unknown datatype 'FP46'; did you mean 'FP64'?"),
    "no datatype": (change("dep delay", datatype=None), "input 'dep delay': datatype is missing"),
    "out of its range": (change("distance", datatype="INT8", data=[1, 200]), "element 1 is out of the range of INT8"),
    "no rows": (lambda inputs: [{**one, "shape": [0], "data": []} for one in inputs], "the request has no rows"),
    "ragged": (change("distance", shape=[2, 1], data=[[1], [2, 3]]), "input 'distance', row 1"),
    "not an array": (lambda inputs: {"a": 1}, "inputs must be an array"),
    "empty": (lambda inputs: [], "inputs must be an array of at least one tensor"),
    "no name": (lambda inputs: [{"shape": [1]}], "inputs[0] must be an object with a name"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_input_is_refused_with_what_and_where(mixed: tuple[Case, Endpoint], name: str) -> None:
    case, endpoint = mixed
    spoil, message = WRONG[name]
    answer = endpoint.v2({"inputs": spoil(tensors(case.rows[:2].assign(**{"dep delay": 1.5, "träger": "AA"})))})
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]
    assert answer.headers["x-request-id"]


def test_missing_data_unknown_outputs_and_broken_bodies_are_refused(labels: tuple[Case, Endpoint]) -> None:
    case, endpoint = labels
    inputs = tensors(case.rows[:2])
    no_data = [{key: value for key, value in one.items() if key != "data"} for one in inputs]
    assert "input 'a': data is missing" in endpoint.v2({"inputs": no_data}).json()["error"]
    wrong = endpoint.v2({"inputs": inputs, "outputs": [{"name": "predict_prob"}]})
    assert "did you mean 'predict_proba'?" in wrong.json()["error"]
    assert "twice" in endpoint.v2({"inputs": inputs, "outputs": [{"name": "predict"}] * 2}).json()["error"]
    assert "event_time" in endpoint.v2({"inputs": inputs, "parameters": {"event_time": "soon"}}).json()["error"]
    for body in (b"", b"{", b"[]", b"3", b'{"inputs": [NaN]}', b"[" * 5000, b"\xff\xfe", b'{"id": 3, "inputs": []}'):
        answer = endpoint.client.post("/v2/models/eta/infer", content=body)
        assert answer.status_code == 400, body
        assert list(answer.json()) == ["error"]


def test_values_that_the_model_refuses_are_the_callers_error(numbers: tuple[Case, Endpoint]) -> None:
    _, endpoint = numbers
    inputs = [{"name": "X", "datatype": "FP64", "shape": [1, 3], "data": [1.0, None, 2]}]
    answer = endpoint.v2({"inputs": inputs})
    assert answer.status_code == 400
    assert "the model rejects these values: Input X contains NaN" in answer.json()["error"]
    assert "Traceback" not in answer.text


def test_unknown_models_versions_and_paths_are_404(numbers: tuple[Case, Endpoint]) -> None:
    case, endpoint = numbers
    body = {"inputs": tensors(case.rows[:1])}
    for path in ("/v2/models/etta/infer", "/v2/models/eta/versions/7/infer", "/v2/nothing"):
        answer = endpoint.v2(body, path)
        assert answer.status_code == 404
        assert list(answer.json()) == ["error"]
    assert "did you mean 'eta'?" in endpoint.v2(body, "/v2/models/etta/infer").json()["error"]
    assert endpoint.v2(body, "/v2/models/eta/versions/1/infer").status_code == 200
    assert endpoint.client.get("/v2/models/eta/infer").status_code == 405


def test_health_and_metadata_follow_the_specification(labels: tuple[Case, Endpoint]) -> None:
    _, endpoint = labels
    get = endpoint.client.get
    assert get("/v2/health/live").json() == {"live": True}
    assert get("/v2/health/ready").json() == {"live": True, "ready": True}
    assert get("/v2/models/eta/ready").json() == {"name": "eta", "ready": True}
    assert get("/v2/models/eta/versions/1/ready").status_code == 200
    assert get("/v2/models/eta/versions/2/ready").status_code == 404
    for path in ("/v2", "/v2/"):
        assert get(path).json() == {"name": "mlops-workbench", "version": "0", "extensions": EXTENSIONS}
    assert get("/v2/models/eta").json() == {
        "name": "eta",
        "versions": ["1"],
        "platform": "sklearn",
        "inputs": [
            {"name": "a", "datatype": "FP64", "shape": [-1]},
            {"name": "b", "datatype": "FP64", "shape": [-1]},
            {"name": "n", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [
            {"name": "predict", "datatype": "BYTES", "shape": [-1]},
            {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
        ],
    }


def test_metadata_of_a_model_of_arrays_is_one_matrix(cases: Cases, serve: Serve) -> None:
    metadata = serve(cases("two targets").folder).client.get("/v2/models/eta").json()
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 3]}]
    assert metadata["outputs"] == [{"name": "predict", "datatype": "FP64", "shape": [-1, 2]}]


def test_probes_fail_before_a_version_is_loaded(serve: Serve) -> None:
    endpoint = serve(None)
    ready = endpoint.client.get("/v2/health/ready")
    assert (ready.status_code, ready.json()) == (503, {"live": True, "ready": False})
    assert endpoint.client.get("/v2/health/live").status_code == 200
    assert endpoint.client.get("/v2/models/eta/ready").status_code == 503
    assert endpoint.client.get("/ping").status_code == 503
    answer = endpoint.v2({"inputs": []})
    assert answer.status_code == 503
    assert "loaded yet" in answer.json()["error"]


def test_nan_predictions_are_null(cases: Cases, serve: Serve) -> None:
    endpoint = serve(cases("linear").folder)
    endpoint.service.router.route.present.runtime.estimator.coef_ = np.array([math.nan, 0, 0])
    rows = cases("linear").rows[:2]
    answer = endpoint.v2({"inputs": tensors(rows)})
    assert answer.json()["outputs"][0]["data"] == [None, None]
    split = {"dataframe_split": json.loads(rows.to_json(orient="split"))}
    assert endpoint.invoke(split).json() == {"predictions": [None, None]}


def test_a_bare_nan_of_tritons_client_is_a_missing_value(cases: Cases, serve: Serve) -> None:
    case = cases("boosted")
    endpoint = serve(case.folder)
    body = json.dumps({"inputs": tensors(case.rows)}).replace("null", "NaN").encode()
    assert b"NaN" in body
    for content in (body, b"\xef\xbb\xbf" + body):
        answer = endpoint.client.post("/v2/models/eta/infer", content=content)
        np.testing.assert_array_equal(output(answer), case.estimator.predict(case.rows))
    for token in (b"Infinity", b"-Infinity", b"1e999", b"nan"):
        answer = endpoint.client.post("/v2/models/eta/infer", content=body.replace(b"NaN", token, 1))
        assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_integers_may_be_written_with_a_fraction_of_zero(numbers: tuple[Case, Endpoint]) -> None:
    case, endpoint = numbers
    inputs = tensors(case.rows[:2])
    want = output(endpoint.v2({"inputs": inputs}))
    n = inputs[2]
    n["data"] = [float(value) for value in n["data"]]
    np.testing.assert_array_equal(output(endpoint.v2({"inputs": inputs})), want)
    for value, message in (
        (1.5, "element 1 is 1.5, which is not INT64"),
        (2.0**60, "not exact beyond 2^53"),
        (1e300, "not exact beyond 2^53"),
    ):
        n["data"] = [1, value]
        answer = endpoint.v2({"inputs": inputs})
        assert answer.status_code == 400
        assert message in answer.json()["error"]
    # One float does not make the integers beside it inexact.
    n["data"] = [2**60 + 1, 3.0]
    logged = endpoint.v2({"inputs": inputs, "id": "exact"})
    assert logged.status_code == 200
    rows = {"dataframe_records": [{"a": 1, "b": 2, "n": 2**60 + 1}, {"a": 1, "b": 2, "n": 3.0}]}
    assert endpoint.invoke(rows).status_code == 200
    rows["dataframe_records"][1]["n"] = 2.0**60
    assert "floats beyond 2^53 are not exact" in endpoint.invoke(rows).json()["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": [{"name": "x" * 5000, "datatype": "FP64", "shape": [1], "data": [1]}]}, "5000 characters"),
        ({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}] * 100_001}, "100001 columns"),
        ({"inputs": [{"name": ["x"], "datatype": {}, "shape": [1], "data": [1]}]}, "must be an object with a name"),
        ({"inputs": [{"name": "x", "datatype": ["FP64"], "shape": [1], "data": [1]}]}, "datatype is missing"),
        ({"inputs": [{"name": "x", "datatype": "FP64", "shape": [2**62, 2**62], "data": [1]}]}, "means"),
    ],
)
def test_a_request_has_limits(numbers: tuple[Case, Endpoint], body: Any, message: str) -> None:
    answer = numbers[1].v2(body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_too_many_rows_are_refused(numbers: tuple[Case, Endpoint]) -> None:
    data = [1] * 3_000_003
    answer = numbers[1].v2({"inputs": [{"name": "X", "datatype": "FP64", "shape": [1_000_001, 3], "data": data}]})
    assert (answer.status_code, "1000001 rows; at most 1000000" in answer.json()["error"]) == (413, True)
    assert numbers[1].invoke({"inputs": {"a": data[:1_000_001], "b": [1], "n": [1]}}).status_code in (400, 413)


@pytest.mark.parametrize("body", [b"[" * 1000 + b"]" * 1000, b'{"inputs":' + b"[" * 1000 + b"]" * 1000 + b"}"])
def test_deeply_nested_json_is_the_callers_error(numbers: tuple[Case, Endpoint], body: bytes) -> None:
    for content in (body, body.replace(b"]", b"NaN]", 1), body.replace(b"[", b'[{"name": ', 1)):
        for path in ("/v2/models/eta/infer", "/invocations", "/v2/models/eta/feedback"):
            headers = {"Content-Type": "application/json"}
            assert numbers[1].client.post(path, content=content, headers=headers).status_code == 400
