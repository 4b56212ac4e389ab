"""An endpoint gives a model exactly what it was fitted on, whatever its class and types."""

from __future__ import annotations

import datetime
import decimal
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from fitted_models import save_fitted
from model_folders import Endpoint
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

from mlops_workbench.client.tensors import tensors
from mlops_workbench.core.model_schema import GOLDEN_FILE, SCHEMA_FILE, decode_schema
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.fitted.golden import read_golden

ROWS = 12
SETTINGS = ServingSettings(log_seconds=0.2, trusted_types=[f"{__name__}.Fingerprint", f"{__name__}.Moody"])


class Fingerprint(RegressorMixin, BaseEstimator):
    """Answers with a number that changes with the class, the types, the labels and the values of its input."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        container = f"{type(X).__module__}.{type(X).__name__}"
        return np.array([zlib.crc32(f"{container}|{part}".encode()) % 100_003 for part in rows_of(X)], dtype=float)


def rows_of(X: Any) -> list[str]:
    if isinstance(X, pd.DataFrame):
        labels = "|".join(map(repr, X.columns))
        columns = [[f"{X.dtypes.iloc[i]}:{v!r}" for v in X.iloc[:, i].tolist()] for i in range(X.shape[1])]
        return [f"{labels}|{'|'.join(row)}" for row in zip(*columns, strict=True)]
    if isinstance(X, pd.Series):
        return [f"{X.name!r}|{X.dtype}|{v!r}" for v in X.tolist()]
    if isinstance(X, pl.DataFrame):
        return [f"{X.schema}|{row!r}" for row in X.rows()]
    if isinstance(X, pl.Series):
        return [f"{X.name}|{X.dtype}|{v!r}" for v in X.to_list()]
    if isinstance(X, pa.Table):
        return [f"{X.schema}|{row!r}" for row in X.to_pylist()]
    if sparse.issparse(X):
        return [f"{X.dtype}|{row!r}" for row in X.toarray().tolist()]
    if isinstance(X, np.ndarray):
        # The length of texts is not a type of its own.
        kind = X.dtype.kind if X.dtype.kind == "U" else X.dtype
        return [f"{X.ndim}|{kind}|{row!r}" for row in X.tolist()]
    return [repr(row) for row in X]


def gaps(*values: Any) -> list[Any]:
    return list(values) * (ROWS // len(values))


BERLIN = "Europe/Berlin"
OFFSET = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
WHEN = pd.Timestamp("2024-03-30T22:00:00.123456")
NUMPY = [
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "bool",
]
NULLABLE = ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64", "boolean"]
COLUMNS: dict[str, Callable[[], Any]] = {
    **{name: lambda name=name: pd.Series(gaps(0, 1, 1), dtype=name) for name in NUMPY},
    **{name: lambda name=name: pd.array(gaps(1, None, 0), dtype=name) for name in NULLABLE},
    **{
        f"{name}[pyarrow]": lambda name=name: pd.array(gaps(1, None, 0), dtype=f"{name}[pyarrow]")
        for name in ("int16", "uint64", "float", "double", "bool")
    },
    "float with gaps": lambda: pd.Series(gaps(1.5, None, -0.0)),
    "uint64 of 64 bits": lambda: pd.Series(np.array(gaps(2**64 - 1, 3, 2**63), dtype="uint64")),
    "Int64 beyond floats": lambda: pd.array(gaps(2**60 + 1, None, -(2**59) - 1), dtype="Int64"),
    "decimal": lambda: pd.array(
        gaps(decimal.Decimal("1.25"), None, decimal.Decimal("-7.50")), dtype=pd.ArrowDtype(pa.decimal128(10, 2))
    ),
    "text": lambda: pd.Series(gaps("a", "ß b", "")),
    "text with gaps": lambda: pd.Series(gaps("a", None, "b"), dtype="str"),
    "string[python]": lambda: pd.array(gaps("a", None, "b"), dtype="string[python]"),
    "string[pyarrow]": lambda: pd.array(gaps("a", None, "b"), dtype="string[pyarrow]"),
    "large_string": lambda: pd.array(gaps("a", None, "b"), dtype=pd.ArrowDtype(pa.large_string())),
    "objects: None": lambda: pd.Series(gaps("a", None, "b"), dtype=object),
    "objects: NaN": lambda: pd.Series(gaps("a", np.nan, "b"), dtype=object),
    "objects: NA": lambda: pd.Series(gaps("a", pd.NA, "b"), dtype=object),
    "objects: booleans": lambda: pd.Series(gaps(True, None, False), dtype=object),
    "objects: integers": lambda: pd.Series(gaps(1, None, 3), dtype=object),
    "objects: decimals": lambda: pd.Series(gaps(decimal.Decimal("1.1"), None), dtype=object),
    "objects: dates": lambda: pd.Series(gaps(datetime.date(2024, 2, 29), None), dtype=object),
    "categories": lambda: pd.Categorical(gaps("x", "y", None), categories=["y", "x", "never"]),
    "categories in order": lambda: pd.Categorical(gaps("x", "y", "y"), categories=["y", "x", "z"], ordered=True),
    "categories: integers": lambda: pd.Categorical(gaps(3, 1, None)),
    "categories: numbers": lambda: pd.Categorical(gaps(1.5, 2.5, None)),
    "categories: booleans": lambda: pd.Categorical(gaps(True, False, None)),
    "categories: times": lambda: pd.Categorical(pd.to_datetime(gaps("2024-01-01", "2024-01-02", None))),
    "categories: intervals": lambda: pd.cut(pd.Series(range(ROWS)), [-np.inf, 3, 7, np.inf]),
    **{
        f"time[{unit}]": lambda unit=unit: pd.Series(gaps(WHEN, pd.NaT)).astype(f"datetime64[{unit}]")
        for unit in ("s", "ms", "us", "ns")
    },
    **{
        f"duration[{unit}]": lambda unit=unit: pd.Series(pd.to_timedelta(gaps(90061, None), unit="s")).astype(
            f"timedelta64[{unit}]"
        )
        for unit in ("s", "ms", "us", "ns")
    },
    "time with a zone": lambda: pd.date_range(WHEN, periods=ROWS, freq="h", tz=BERLIN),
    "time with a zone, in seconds": lambda: pd.date_range("2024-10-26", periods=ROWS, freq="6h", tz=BERLIN).as_unit(
        "s"
    ),
    "time with an offset": lambda: pd.date_range(WHEN, periods=ROWS, freq="h", tz=OFFSET),
    "time of Arrow": lambda: pd.array(gaps(WHEN, None), dtype="timestamp[us][pyarrow]"),
    "time of Arrow with a zone": lambda: pd.array(
        gaps(WHEN.tz_localize(BERLIN), None), dtype=f"timestamp[us, tz={BERLIN}][pyarrow]"
    ),
    "date of Arrow": lambda: pd.array(gaps(datetime.date(2024, 2, 29), None), dtype="date32[pyarrow]"),
    "duration of Arrow": lambda: pd.array(gaps(pd.Timedelta(1, "s"), None), dtype="duration[ms][pyarrow]"),
    "period": lambda: pd.period_range("2024-01", periods=ROWS, freq="M"),
    "sparse": lambda: pd.arrays.SparseArray(gaps(0, 0, 1.5), fill_value=0),
    "sparse with gaps": lambda: pd.arrays.SparseArray(gaps(np.nan, 0, 1.5)),
    "sparse booleans": lambda: pd.arrays.SparseArray(gaps(False, True), fill_value=False),
}
MATRIX = np.arange(ROWS * 2).reshape(ROWS, 2)
CONTAINERS: dict[str, Callable[[], Any]] = {
    "labels that are numbers": lambda: pd.DataFrame(MATRIX * 1.5, columns=[7, 3]),
    "a range of labels": lambda: pd.DataFrame(MATRIX * 1.5),
    "labels of two levels": lambda: pd.DataFrame(
        MATRIX * 1.5, columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    ),
    "labels that are times": lambda: pd.DataFrame(MATRIX, columns=pd.to_datetime(["2024-01-01", "2024-01-02"])),
    "integers and numbers": lambda: pd.DataFrame({"i": MATRIX[:, 0], "f": MATRIX[:, 1] / 3}),
    "array": lambda: MATRIX / 3,
    "array of one column": lambda: (MATRIX / 3)[:, :1],
    "array of float32": lambda: (MATRIX / 3).astype(np.float32),
    "array of int8": lambda: MATRIX.astype(np.int8),
    "array of booleans": lambda: MATRIX % 3 == 0,
    "array of texts": lambda: np.array(gaps(["a", "bb"], ["ccc", ""])),
    "array of objects": lambda: np.array(gaps(["a", None], ["b", "c"]), dtype=object),
    "array with gaps": lambda: np.where(MATRIX % 5 == 0, np.nan, MATRIX / 3),
    "vector": lambda: np.arange(ROWS) / 3,
    "vector of texts": lambda: np.array(gaps("a", "bb")),
    "list of texts": lambda: gaps("a", "bb"),
    "series of texts": lambda: pd.Series(gaps("a", "bb"), name="remark"),
    "series of numbers without a name": lambda: pd.Series(np.arange(ROWS) / 3),
    "csr_matrix": lambda: sparse.csr_matrix(MATRIX % 3),
    "csc_array": lambda: sparse.csc_array((MATRIX % 3) / 2),
    "coo_array": lambda: sparse.coo_array((MATRIX % 3) / 2),
    "polars": lambda: pl.DataFrame(
        {
            "i": gaps(1, None, 3),
            "u": pl.Series(gaps(1, 2, 3), dtype=pl.UInt8),
            "s": gaps("a", None, "b"),
            "b": gaps(True, None, False),
            "t": gaps(datetime.datetime(2024, 1, 1), None),
            "z": pl.Series(gaps(datetime.datetime(2024, 1, 1))).dt.replace_time_zone(BERLIN),
            "d": gaps(datetime.date(2024, 1, 1)),
            "span": gaps(datetime.timedelta(seconds=5)),
            "e": pl.Series(gaps("a", "b"), dtype=pl.Enum(["b", "a"])),
            "m": pl.Series(gaps(decimal.Decimal("1.20"))),
        }
    ),
    "polars series": lambda: pl.Series("remark", gaps("a", "bb")),
    "table of Arrow": lambda: pa.table(
        {"i": pa.array(gaps(1, None), pa.int16()), "d": pa.array(gaps("x", "y")).dictionary_encode()}
    ),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.init(tmp_path_factory.mktemp("workspace"))


def served(serve, workspace: Workspace, folder: Path, model: Any, X: Any, y: Any = None) -> Endpoint:
    record = save_fitted(workspace, folder, model, X, y)
    assert not record.problem
    return serve(folder, settings=SETTINGS)


def check_answers(endpoint: Endpoint, X: Any, expected: np.ndarray) -> None:
    """`predict()` and MLflow's protocol, whose JSON has the same values, give the model's own answers."""
    sent = tensors(X)
    answer = endpoint.v2({"inputs": sent})
    assert answer.status_code == 200, answer.text
    output = answer.json()["outputs"][0]
    np.testing.assert_array_equal(np.array(output["data"]).reshape(output["shape"]), expected)
    columns = [one["data"] for one in sent]
    if len(sent) == 1 and len(sent[0]["shape"]) == 2:
        rows = np.array(columns[0], dtype=object).reshape(sent[0]["shape"]).tolist()
        bodies = [{"inputs": rows}, {"instances": rows}]
    else:
        rows = [list(row) for row in zip(*columns, strict=True)]
        split = {"columns": [one["name"] for one in sent], "data": rows}
        records = [dict(zip(split["columns"], row, strict=True)) for row in rows]
        bodies = [{"dataframe_split": split}, {"dataframe_records": records}]
    for body in bodies:
        answer = endpoint.invoke(json.loads(json.dumps(body)))
        assert answer.status_code == 200, answer.text
        np.testing.assert_array_equal(np.array(answer.json()["predictions"]), expected)


def test_columns_of_all_types_in_one_table_are_the_same_behind_the_endpoint(serve, workspace, tmp_path) -> None:
    check_frame(serve, workspace, tmp_path, pd.DataFrame({name: make() for name, make in COLUMNS.items()}))


@pytest.mark.long
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_this_type_is_the_same_behind_the_endpoint(serve, workspace, tmp_path, name) -> None:
    X = pd.DataFrame({"value": COLUMNS[name](), "number": np.arange(ROWS) / 3})
    check_frame(serve, workspace, tmp_path, X)


def check_frame(serve, workspace: Workspace, tmp_path: Path, X: pd.DataFrame) -> None:
    model = Fingerprint().fit(X)
    endpoint = served(serve, workspace, tmp_path / "m", model, X)
    check_answers(endpoint, X, model.predict(X))
    one = X.iloc[[2]]
    check_answers(endpoint, one, model.predict(one))


@pytest.mark.some(2)
@pytest.mark.parametrize("name", CONTAINERS)
def test_a_table_of_this_kind_is_the_same_behind_the_endpoint(serve, workspace, tmp_path, name) -> None:
    X = CONTAINERS[name]()
    model = Fingerprint().fit(X)
    check_answers(served(serve, workspace, tmp_path / "m", model, X), X, model.predict(X))


def test_an_array_is_answered_by_place_and_by_name(serve, workspace, tmp_path) -> None:
    X = MATRIX / 3
    model = LinearRegression().fit(X, X @ [1.0, -2.0])
    endpoint = served(serve, workspace, tmp_path / "m", model, X)
    expected = model.predict(X).tolist()
    by_name = {"columns": ["x0", "x1"], "data": X.tolist()}
    turned = {"columns": ["x1", "x0"], "data": X[:, ::-1].tolist()}
    by_place = {"columns": [0, 1], "data": X.tolist()}
    records = [{"0": a, "1": b} for a, b in X.tolist()]
    bodies = [
        {"inputs": X.tolist()},
        {"instances": records},
        {"inputs": {"1": X[:, 1].tolist(), "0": X[:, 0].tolist()}},
    ]
    bodies += [{"dataframe_split": split} for split in (by_name, turned, by_place)]
    for body in bodies:
        assert endpoint.invoke(body).json()["predictions"] == pytest.approx(expected)
    columns = [{"name": f"x{i}", "datatype": "FP64", "shape": [ROWS], "data": X[:, i].tolist()} for i in (1, 0)]
    assert endpoint.v2({"inputs": columns}).json()["outputs"][0]["data"] == pytest.approx(expected)
    as_frame = endpoint.v2({"inputs": tensors(pd.DataFrame(X))})
    assert as_frame.json()["outputs"][0]["data"] == pytest.approx(expected)
    csv = endpoint.client.post(
        "/invocations", content=pd.DataFrame(X).to_csv(index=False), headers={"Content-Type": "text/csv"}
    )
    assert csv.json()["predictions"] == pytest.approx(expected)


def test_several_targets_keep_their_shape(serve, workspace, tmp_path) -> None:
    X = pd.DataFrame(MATRIX / 3, columns=["a", "b"])
    y = pd.DataFrame({"up": X.a * 2, "down": -X.b})
    model = LinearRegression().fit(X, y)
    record = save_fitted(workspace, tmp_path / "m", model, X, y)
    schema = decode_schema((tmp_path / "m" / SCHEMA_FILE).read_bytes())
    assert [(target.name, target.dtype) for target in schema.targets] == [("up", "float64"), ("down", "float64")]
    assert [column.name for column in record.outputs] == ["prediction_0", "prediction_1"]
    answer = serve(tmp_path / "m", settings=SETTINGS).v2({"inputs": tensors(X)}).json()["outputs"][0]
    assert answer["shape"] == [ROWS, 2]
    np.testing.assert_allclose(np.array(answer["data"]).reshape(ROWS, 2), model.predict(X))


def test_texts_are_answered_as_series_and_as_list(serve, workspace, tmp_path) -> None:
    texts = pd.Series(gaps("good flight", "bad delay"), name="remark")
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, gaps("up", "down"))
    endpoint = served(serve, workspace, tmp_path / "m", model, texts)
    for data in (texts, texts.tolist(), texts.to_frame(), texts.to_numpy()):
        answer = endpoint.v2({"inputs": tensors(data)})
        assert answer.json()["outputs"][0]["data"] == gaps("up", "down"), answer.text


def test_integers_are_held_to_the_range_of_their_type(serve, workspace, tmp_path) -> None:
    X = MATRIX.astype(np.int8)
    endpoint = served(serve, workspace, tmp_path / "m", LinearRegression().fit(X, X[:, 0]), X)
    answer = endpoint.invoke({"inputs": [[1, 2], [3, 300]]})
    assert answer.status_code == 400
    assert "column 'x1', row 1: expected an integer from -128 to 127" in answer.json()["message"]


def test_a_missing_value_is_refused_by_name_where_the_model_takes_none(serve, workspace, tmp_path) -> None:
    X = pd.DataFrame(MATRIX / 3, columns=["a", "b"])
    endpoint = served(serve, workspace, tmp_path / "m", LinearRegression().fit(X, X.a), X)
    for sent in ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, None]]}},):
        answer = endpoint.invoke(sent)
        assert answer.status_code == 400
        assert "column 'b', row 1: a value is missing, which the model does not take" in answer.json()["message"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (lambda: pd.DataFrame({"l": [[1], [2]] * 6}), "it holds objects of list"),
        (lambda: pd.DataFrame({"l": ["a", 1] * 6}), "it holds objects of int, str"),
        (lambda: pd.DataFrame(MATRIX, columns=["a", "a"]), "two columns are called 'a'"),
        (lambda: MATRIX.astype(complex), "values of the type complex128"),
        (lambda: np.array(gaps([b"a"], [b"b"])), "values of the type |S1"),
        (lambda: pl.DataFrame({"l": [[1], [2]] * 6}), "values of the type"),
    ],
)
def test_what_cannot_be_sent_is_known_when_the_model_is_saved(workspace, tmp_path, data, problem) -> None:
    X = data()
    record = save_fitted(workspace, tmp_path / "m", Fingerprint().fit(X), X)
    assert problem in record.problem


def test_a_column_without_any_value_has_no_type_of_its_own(serve, workspace, tmp_path) -> None:
    """A frame of None, or of NaN for texts, as a table with few rows often is."""
    X = pd.DataFrame({"n": gaps(1.5, None), "t": gaps("a", None), "w": gaps(WHEN, None)})
    model = Fingerprint().fit(X)
    endpoint = served(serve, workspace, tmp_path / "m", model, X)
    empty = pd.DataFrame({"n": [1.5, None], "t": [None, None], "w": [pd.NaT, pd.NaT]}).astype(X.dtypes.to_dict())
    for sent in (
        pd.DataFrame({"n": [1.5, None], "t": [np.nan, np.nan], "w": pd.Series([None, None], dtype=object)}),
        empty,
    ):
        answer = endpoint.v2({"inputs": tensors(sent)})
        assert answer.json()["outputs"][0]["data"] == model.predict(empty).tolist()
    linear = LinearRegression().fit(X[["n"]].fillna(0.0), np.arange(ROWS))
    endpoint = served(serve, workspace, tmp_path / "l", linear, X[["n"]].fillna(0.0))
    answer = endpoint.v2({"inputs": tensors(pd.DataFrame({"n": pd.Series([None], dtype=object)}))})
    assert "column 'n', row 0: a value is missing, which the model does not take" in answer.json()["error"]


class Moody(Fingerprint):
    """Answers by the length of a file."""

    path = ""

    def predict(self, X):
        return np.full(len(X), Path(self.path).stat().st_size, dtype=float)


def test_a_version_that_does_not_give_the_models_own_answers_is_refused(workspace, tmp_path) -> None:
    from mlops_workbench.serving.errors import InvalidModel
    from mlops_workbench.serving.routing.router import Router

    X = pd.DataFrame(MATRIX / 3)
    model = Moody().fit(X)
    model.path = str(tmp_path / "file")
    Path(model.path).write_bytes(b"abc")
    save_fitted(workspace, tmp_path / "m", model, X)
    assert Router(SETTINGS).switch("m", 1, tmp_path / "m").present.version == 1
    Path(model.path).write_bytes(b"abcd")
    with pytest.raises(InvalidModel, match=r"own answers to the training rows .* predict is 4.0 and not 3.0 in row 0"):
        Router(SETTINGS).switch("m", 1, tmp_path / "m")


def test_the_golden_set_has_training_boundary_and_changed_rows(workspace, tmp_path) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.preprocessing import OneHotEncoder

    chance = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "n": chance.normal(size=2000),
            "k": pd.Categorical(chance.choice(list("xyz"), 2000)),
            "t": chance.choice(["u", "v"], 2000),
        }
    )
    y = np.where(X.n > 0, "high", "low")
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["t", "k"]), remainder="passthrough"
    )
    model = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=5)).fit(X, y)
    save_fitted(workspace, tmp_path / "m", model, X, y)
    schema = decode_schema((tmp_path / "m" / SCHEMA_FILE).read_bytes())
    golden = {rows.kind: rows for rows in read_golden((tmp_path / "m" / GOLDEN_FILE).read_bytes(), schema)}
    assert list(golden) == ["training", "boundary", "perturbed"]
    assert len(golden["training"].columns[0]) == len(golden["perturbed"].columns[0]) == 1000
    assert list(golden["training"].answers) == ["predict", "predict_proba:0", "predict_proba:1"]
    n, k, t = golden["perturbed"].columns
    assert np.isnan(n).any() and None in k.tolist() and (t == "a value that was never seen").any()
    n, k, t = golden["boundary"].columns
    assert {*k.tolist()} == {*"xyz"} and {*t.tolist()} == {*"uv"}
    assert schema.classes == ["high", "low"] and schema.columns[1].categories == ["x", "y", "z"]
    assert [column.nullable for column in schema.columns] == [True, True, True]
