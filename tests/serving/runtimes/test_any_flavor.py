"""Models of any flavor of MLflow are served if the settings allow it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.models import infer_signature
from mlflow.pyfunc import scoring_server
from model_folders import Endpoint, save_folder
from sklearn.linear_model import LinearRegression

from mlops_workbench.core.manifest import write_manifest
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.routing.router import load_version
from mlops_workbench.serving.runtimes import pyfunc

pytestmark = pytest.mark.process

ALLOWED = ServingSettings(log_seconds=0.2, allow_pyfunc=True)
ROWS = pd.DataFrame({"a": [1.0, 2.0, 3.0], "n": [1, 2, 3], "word": ["x", "yy", "zzz"]})
TENSORS = [
    {"name": "a", "datatype": "FP64", "shape": [3], "data": [1.0, 2.0, 3.0]},
    {"name": "n", "datatype": "INT64", "shape": [3], "data": [1, 2, 3]},
    {"name": "word", "datatype": "BYTES", "shape": [3], "data": ["x", "yy", "zzz"]},
]
Serve = Callable[..., Endpoint]


class Scaled(mlflow.pyfunc.PythonModel):
    """Numbers, by a factor and a sign that requests may set."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        given = params or {}
        words = model_input["word"].str.len()
        return (model_input["a"] + model_input["n"] * 10 + words * 100) * given["factor"] * (-1 if given["flip"] else 1)


class Table(mlflow.pyfunc.PythonModel):
    """A table with a missing value."""

    def predict(self, context: Any, model_input: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"half": model_input["a"] / 2, "name": [None, *model_input["word"][1:]]})


class Wide(mlflow.pyfunc.PythonModel):
    """A table of as many columns as a request wants, with a time."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        wide = {f"c{at}": model_input["a"] * at for at in range((params or {}).get("width", 1))}
        return pd.DataFrame(wide).assign(at=pd.Timestamp("2024-01-02 03:04:05"))


class Labelled(mlflow.pyfunc.PythonModel):
    """A label and its score."""

    def predict(self, context: Any, model_input: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"predict": model_input["n"], "score": model_input["a"] / 7})


class Answers(mlflow.pyfunc.PythonModel):
    """One of several things that are no tables of rows."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        return self.answers[(params or {})["which"]]


class EndsTheProcess(mlflow.pyfunc.PythonModel):
    def load_context(self, context: Any) -> None:
        os._exit(7)

    def predict(self, context: Any, model_input: pd.DataFrame) -> Any:
        return model_input["a"]


class Fails(mlflow.pyfunc.PythonModel):
    def predict(self, context: Any, model_input: pd.DataFrame) -> Any:
        raise RuntimeError("the password is hunter2")


def save(path: Path, model: mlflow.pyfunc.PythonModel, params: dict[str, Any] | None = None) -> Path:
    signature = infer_signature(ROWS, np.zeros(3), params)
    mlflow.pyfunc.save_model(str(path), python_model=model, signature=signature, pip_requirements=[])
    write_manifest(path)
    return path


def of_mlflow(folder: Path, body: dict[str, Any]) -> Any:
    """Status and predictions of MLflow's own server."""
    model = mlflow.pyfunc.load_model(str(folder))
    try:
        answer = scoring_server.invocations(
            json.dumps(body).encode(), "application/json", model, model.metadata.get_input_schema()
        )
    except mlflow.exceptions.MlflowException as error:
        return error.get_http_status_code(), None
    return answer.status, json.loads(answer.response).get("predictions")


def split(rows: pd.DataFrame) -> dict[str, Any]:
    return {"dataframe_split": json.loads(rows.to_json(orient="split", index=False))}


PARAMS: list[dict[str, Any] | None] = [
    {"flip": True, "factor": 2},
    {},
    {"factor": 2.5},
    {"unknown": 1, "factor": "x"},
    None,
    {"factor": "x"},
    {"unknown": 1},
    {"flip": 3},
]


def test_parameters_of_a_request_reach_the_model_as_with_mlflow(serve: Serve, tmp_path: Path) -> None:
    folder = save(tmp_path / "m", Scaled(), {"factor": 1.0, "flip": False})
    endpoint = serve(folder, settings=ALLOWED)
    for params in PARAMS:
        body = split(ROWS) | ({} if params is None else {"params": params})
        status, expected = of_mlflow(folder, body)
        answer = endpoint.invoke(body)
        assert (answer.status_code, answer.json().get("predictions")) == (status, expected), (params, answer.text)
        answer = endpoint.v2({"inputs": TENSORS} | ({} if params is None else {"parameters": params}))
        assert answer.status_code == status, params
        if expected is not None:
            assert answer.json()["outputs"][0]["data"] == [row["0"] for row in expected], params


def test_requests_with_other_parameters_at_the_same_time_are_not_mixed(
    serve: Serve, tmp_path: Path, many: ThreadPoolExecutor
) -> None:
    endpoint = serve(save(tmp_path / "m", Scaled(), {"factor": 1.0, "flip": False}), settings=ALLOWED)

    def ask(factor: int) -> Any:
        return endpoint.invoke(split(ROWS[:1]) | {"params": {"factor": factor}}).json()["predictions"]

    assert list(many.map(ask, range(200))) == [[{"0": 111.0 * factor}] for factor in range(200)]


def test_names_are_those_of_the_answer_whatever_other_requests_get(
    serve: Serve, tmp_path: Path, many: ThreadPoolExecutor
) -> None:
    folder = save(tmp_path / "m", Wide(), {"width": 1})
    endpoint = serve(folder, settings=ALLOWED)

    def ask(width: int) -> Any:
        return endpoint.invoke(split(ROWS[:1]) | {"params": {"width": width}}).json()["predictions"]

    widths = [at % 4 + 1 for at in range(120)]
    expected = {at: of_mlflow(folder, split(ROWS[:1]) | {"params": {"width": at}})[1] for at in range(1, 5)}
    assert list(many.map(ask, widths)) == [expected[width] for width in widths]


def test_a_table_is_answered_in_rows_as_by_mlflow(serve: Serve, tmp_path: Path) -> None:
    folder = save(tmp_path / "m", Table())
    endpoint = serve(folder, settings=ALLOWED)
    answer = endpoint.invoke(split(ROWS))
    found, expected = answer.json()["predictions"], of_mlflow(folder, split(ROWS))[1]
    # MLflow writes NaN for it, which is no JSON.
    assert found == [{"half": 0.5, "name": None}, *expected[1:]]
    endpoint.service.predictions.close()
    logged = pq.read_table(endpoint.folder / "predictions")
    assert [json.loads(row) for row in logged["prediction"].to_pylist()] == [[0.5, None], [1.0, "yy"], [1.5, "zzz"]]


HALF = {"name": "half", "datatype": "FP64", "shape": [3], "data": [0.5, 1.0, 1.5]}
NAME = {"name": "name", "datatype": "BYTES", "shape": [3], "data": [None, "yy", "zzz"]}


def test_a_table_is_a_tensor_for_each_of_its_columns_in_the_open_inference_protocol(
    serve: Serve, tmp_path: Path
) -> None:
    endpoint = serve(save(tmp_path / "m", Table()), settings=ALLOWED)
    assert endpoint.v2({"inputs": TENSORS}).json()["outputs"] == [HALF, NAME]
    assert endpoint.v2({"inputs": TENSORS, "outputs": [{"name": "half"}]}).json()["outputs"] == [HALF]
    both = [{"name": "name"}, {"name": "half", "parameters": {"binary_data": True}}]
    answer = endpoint.v2({"inputs": TENSORS, "outputs": both})
    length = int(answer.headers["inference-header-content-length"])
    shown = json.loads(answer.content[:length])["outputs"]
    assert shown == [
        NAME,
        {"name": "half", "datatype": "FP64", "shape": [3], "parameters": {"binary_data_size": 24}},
    ]
    assert np.frombuffer(answer.content[length:]).tolist() == [0.5, 1.0, 1.5]
    # All as one array, as before, for who asks for it.
    [predicted] = endpoint.v2({"inputs": TENSORS, "outputs": [{"name": "predict"}]}).json()["outputs"]
    assert (predicted["datatype"], predicted["shape"]) == ("BYTES", [3, 2])
    answer = endpoint.v2({"inputs": TENSORS, "outputs": [{"name": "helf"}]})
    assert answer.status_code == 400 and "did you mean 'half'" in answer.json()["error"]


def test_the_metadata_name_the_columns_of_the_answer_to_the_input_example(serve: Serve, tmp_path: Path) -> None:
    mlflow.pyfunc.save_model(str(tmp_path / "m"), python_model=Table(), input_example=ROWS, pip_requirements=[])
    write_manifest(tmp_path / "m")
    endpoint = serve(tmp_path / "m", settings=ALLOWED)
    found = endpoint.client.get(f"/v2/models/{endpoint.service.name}").json()["outputs"]
    assert found == [
        {"name": "half", "datatype": "FP64", "shape": [-1]},
        {"name": "name", "datatype": "BYTES", "shape": [-1]},
    ]


TIMES = pd.to_datetime(["2026-01-02", None])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {"low": np.array([1, 2, 3]), "pair": np.ones((3, 2), np.float32), "on": np.array([True, False, True])},
            {"low": ("int64", [1, 2, 3]), "pair": ("float32", [[1.0, 1.0]] * 3), "on": ("bool", [True, False, True])},
        ),
        (
            pd.DataFrame({"label": [2**60 + 1, 2], "score": [0.1, 0.2], "low": np.array([1, 2], np.float32)}),
            {"label": ("int64", [2**60 + 1, 2]), "score": ("float64", [0.1, 0.2]), "low": ("float32", [1.0, 2.0])},
        ),
        # The type is that of the column, whatever its values are.
        (
            pd.DataFrame({"n": [np.nan, np.nan], "word": ["a", None]}),
            {"n": ("float64", [None, None]), "word": ("object", ["a", None])},
        ),
        (
            pd.DataFrame({"n": pd.array([1, None], "Int64"), "on": pd.array([True, None], "boolean"), "at": TIMES}),
            {
                "n": ("float64", [1.0, None]),
                "on": ("object", [True, None]),
                "at": ("object", ["2026-01-02T00:00:00", None]),
            },
        ),
        (
            pd.DataFrame({"n": pd.array([1, 2], "Int64"), "small": np.array([1, 2], np.uint8)}),
            {"n": ("float64", [1.0, 2.0]), "small": ("uint8", [1, 2])},
        ),
        (
            pa.table({"n": [1, 2], "word": ["a", "b"]}),
            {"n": ("int64", [1, 2]), "word": ("object", ["a", "b"])},
        ),
        (pd.DataFrame([[1, "x"]] * 3, columns=["same", "same"]), {}),
        (pd.DataFrame(np.ones((3, 4), np.float32)), {}),
        (pd.Series([1.0, 2.0]), {}),
        (pd.DataFrame({"alone": [1, 2]}), {"alone": ("int64", [1, 2])}),
    ],
    ids=["arrays", "numbers", "missing", "nullable", "whole", "arrow", "twice", "numbered", "series", "one"],
)
def test_each_name_of_an_answer_keeps_its_type(answer: Any, expected: Any) -> None:
    table, values = pyfunc._array(answer)
    assert table is not None
    found = {
        name: (str(part.dtype), [None if value != value else value for value in part.tolist()])
        for name, part in table.arrays(values).items()
    }
    assert found == expected


def test_answers_have_the_types_that_mlflows_server_writes(serve: Serve, tmp_path: Path) -> None:
    folder = save(tmp_path / "m", Labelled())
    endpoint = serve(folder, settings=ALLOWED)
    found = endpoint.invoke(split(ROWS)).json()["predictions"]
    assert found == of_mlflow(folder, split(ROWS))[1] and type(found[0]["predict"]) is int
    # A requested `predict` is the whole answer, also if a column has that name.
    outputs = endpoint.v2({"inputs": TENSORS}).json()["outputs"]
    assert [(one["name"], one["datatype"]) for one in outputs] == [("predict", "INT64"), ("score", "FP64")]
    [whole] = endpoint.v2({"inputs": TENSORS, "outputs": [{"name": "predict"}]}).json()["outputs"]
    assert whole["shape"] == [3, 2]


def test_a_model_of_onnx_is_served(serve: Serve, tmp_path: Path) -> None:
    onnx = pytest.importorskip("skl2onnx")
    X = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    model = LinearRegression().fit(X, X @ [2.0, 1.0])
    folder = tmp_path / "m"
    signature = infer_signature(X, {"variable": np.zeros((50, 1), np.float32)})
    mlflow.onnx.save_model(onnx.to_onnx(model, X[:1]), str(folder), signature=signature, pip_requirements=[])
    write_manifest(folder)
    answer = serve(folder, settings=ALLOWED).invoke({"inputs": X[:5].tolist()})
    assert answer.status_code == 200, answer.text
    found = answer.json()["predictions"]["variable"]
    assert answer.json()["predictions"] == of_mlflow(folder, {"inputs": X[:5].tolist()})[1]
    np.testing.assert_allclose(np.array(found).ravel(), model.predict(X[:5]), rtol=1e-5)


def test_without_the_setting_it_is_refused_with_the_setting_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="a model of the flavor python_function") as caught:
        load_version("m", 1, save(tmp_path / "m", Scaled(), {"factor": 1.0, "flip": False}), ServingSettings())
    assert "serving.allow_pyfunc = true" in caught.value.hint


def test_a_model_that_ends_its_process_is_refused_and_this_one_lives(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="the model ended the process"):
        load_version("m", 1, save(tmp_path / "m", EndsTheProcess()), ALLOWED)


def test_a_changed_file_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    folder = save(tmp_path / "m", EndsTheProcess())
    (folder / "python_model.pkl").write_bytes(b"other")
    with pytest.raises(InvalidModel, match=r"python_model\.pkl"):
        load_version("m", 1, folder, ALLOWED)


def test_answers_that_are_no_rows_are_errors_in_the_form_of_the_protocol(serve: Serve, tmp_path: Path) -> None:
    said = {
        "answers with a dict": [{"a": 1}, {"a": [1], "b": [1, 2]}],
        "answers with 3 of object": [[{"a": 1}] * 3],
        "answers with one value of int64": [5],
        "answers with 3 x 2 x 2 of float64": [np.zeros((3, 2, 2))],
        "returned 2 rows for 3": [[1.0, 2.0]],
    }
    answers = [(message, answer) for message, all_of in said.items() for answer in all_of]
    endpoint = serve(save(tmp_path / "m", Answers([answer for _, answer in answers]), {"which": 0}), settings=ALLOWED)
    for which, (message, answer) in enumerate(answers):
        refused = endpoint.invoke(split(ROWS) | {"params": {"which": which}})
        assert refused.status_code == 500, answer
        assert message in refused.json()["message"], answer


def test_an_error_of_the_model_tells_the_client_its_type_only(serve: Serve, tmp_path: Path) -> None:
    endpoint = serve(save(tmp_path / "m", Fails()), settings=ALLOWED)
    refused = endpoint.invoke(split(ROWS))
    assert refused.status_code == 500
    assert refused.json()["message"] == "the model failed: RuntimeError"


def test_a_model_of_a_safe_flavor_is_loaded_by_it_also_with_the_setting(serve: Serve, tmp_path: Path) -> None:
    X = ROWS[["a", "n"]]
    folder = save_folder(tmp_path / "m", LinearRegression().fit(X, X["a"]), X)
    endpoint = serve(folder, settings=ALLOWED)
    assert endpoint.client.get("/v2/models/eta").json()["platform"].startswith("sklearn")
