"""Values of personal columns and of secrets are in no file of a model, and its golden set still proves it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fitted_models import save_fitted
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier

from mlops_workbench.core.model_schema import (
    EVALUATION_FILE,
    GOLDEN_FILE,
    QUALITY_FILE,
    SCHEMA_FILE,
    InputSpec,
    decode_schema,
)  # fmt: skip
from mlops_workbench.core.personal import is_personal
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import FILE, Workspace
from mlops_workbench.data.fitted.golden import read_golden
from mlops_workbench.data.fitted.replaced import other_values
from mlops_workbench.serving.routing.router import Router

ROWS = 400
NAMES = [f"Ada Nr{i} Lovelace" for i in range(ROWS)]
BIRTHS = pd.date_range("1950-01-01T13:37:00", periods=ROWS, freq="31D")


def people() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "Full Name": NAMES,
            "income": chance.integers(10_000, 90_000, ROWS) * 1.0 + 0.25,
            "birth_date": BIRTHS,
            "gender": chance.choice(["f", "m"], ROWS),
            "api_key": [f"sk-live-{i:032x}" for i in range(ROWS)],
            "distance": chance.normal(size=ROWS),
        }
    )


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    workspace = Workspace.init(tmp_path)
    (tmp_path / FILE).write_text('[data]\npersonal = ["*NAME*", "income", "birth*", "gender"]\n')
    X = people()
    encode = make_column_transformer(
        (OneHotEncoder(), ["gender"]),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["birth_date"]),
        remainder="drop",
    )
    more = make_column_transformer((encode, ["gender", "birth_date"]), ("passthrough", ["income", "distance"]))
    model = make_pipeline(more, HistGradientBoostingRegressor(max_iter=5)).fit(X, X.distance)
    save_fitted(workspace, tmp_path / "m", model, X, X.distance)
    return tmp_path / "m", X


def test_no_file_beside_the_model_has_a_value_of_theirs(saved) -> None:
    folder, X = saved
    texts = [(folder / "input_example.json").read_text(), (folder / SCHEMA_FILE).read_text()]
    texts += [(folder / "serving_input_example.json").read_text(), (folder / QUALITY_FILE).read_text()]
    for file in (GOLDEN_FILE, "mlops/reference.parquet"):
        table = pq.read_table(io.BytesIO((folder / file).read_bytes()))
        texts += [str(column.to_pylist()) for column in table.columns]
    everything = "\n".join(texts)
    assert "Lovelace" not in everything and "sk-live" not in everything
    for value in X.income.head(200):
        assert str(value) not in everything
    for moment in X.birth_date.head(200):
        assert f"{moment:%Y-%m-%d}" not in everything or f"{moment:%Y-%m-%dT%H:%M:%S}" not in everything
    assert not (folder / EVALUATION_FILE).exists()


def test_the_golden_set_has_values_of_the_same_kind_and_is_reproduced(saved) -> None:
    folder, X = saved
    schema = decode_schema((folder / SCHEMA_FILE).read_bytes())
    golden = {rows.kind: rows for rows in read_golden((folder / GOLDEN_FILE).read_bytes(), schema)}
    name, income, birth, gender, key, distance = golden["training"].columns
    assert set(name.tolist()) <= {"Xxx Xx0 Xxxxxxxx", "Xxx Xx00 Xxxxxxxx", "Xxx Xx000 Xxxxxxxx"}
    assert X.income.min() <= income.min() and income.max() <= X.income.max()
    assert X.birth_date.min() <= birth.min() and birth.max() <= X.birth_date.max()
    assert set(gender.tolist()) == {"f", "m"} and set(key.tolist()) == {"***"}
    assert set(distance) <= set(X.distance) and len(distance) >= 20
    for column in schema.columns[:5]:
        assert (column.low, column.high, column.values) == (None, None, [])
    assert Router(ServingSettings()).switch("m", 1, folder).present.version == 1
    example = json.loads((folder / "input_example.json").read_text())
    assert example["data"][0][0].startswith("Xxx Xx")


@given(
    st.sampled_from(["int8", "int64", "uint64", "float32", "float64", "bool", "datetime64[ns]", "object"]), st.data()
)
def test_other_values_are_of_the_same_type(kind, data) -> None:
    rows = data.draw(st.integers(1, 30))
    if kind == "object":
        values = np.array(
            data.draw(st.lists(st.none() | st.text(max_size=8), min_size=rows, max_size=rows)), dtype=object
        )
        spec = InputSpec("x", "string", "object")
    else:
        raw = data.draw(st.lists(st.integers(0, 100), min_size=rows, max_size=rows))
        values = np.array(raw).astype(kind)
        spec = InputSpec("x", {"b": "boolean", "f": "double", "M": "datetime"}.get(values.dtype.kind, "long"), kind)
    found = other_values(spec, values, np.random.default_rng(0))
    assert found.dtype == values.dtype and found.shape == values.shape
    if kind == "object":
        assert [v is None for v in found] == [v is None for v in values] or set(found) <= set(values)
    elif kind not in ("bool", "datetime64[ns]"):
        assert values.min() <= found.min() and found.max() <= values.max()


def test_patterns_match_names_in_either_case_and_parts_of_labels() -> None:
    assert is_personal("E-Mail", ["*mail"]) and is_personal(("person", "AGE"), ["age"])
    assert not is_personal("mileage", ["age"]) and not is_personal("x", [])


def test_personal_categories_are_not_kept_unless_many_rows_have_each(tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path)
    (tmp_path / FILE).write_text('[data]\npersonal = ["mail", "gender"]\n')
    X = pd.DataFrame({"mail": pd.Categorical([f"user{i}@x.org" for i in range(ROWS)]), "n": np.arange(ROWS) / 3})
    model = HistGradientBoostingRegressor(max_iter=2).fit(X[["n"]], X.n)
    record = save_fitted(workspace, tmp_path / "m", model, X, X.n)
    assert "it holds secrets or personal data as categories" in record.problem
    assert "@x.org" not in (tmp_path / "m" / SCHEMA_FILE).read_text()
    X = X.drop(columns="mail").assign(gender=pd.Categorical(["f", "m"] * (ROWS // 2)))
    model = HistGradientBoostingRegressor(max_iter=2, categorical_features="from_dtype").fit(X, X.n)
    assert not save_fitted(workspace, tmp_path / "k", model, X, X.n).problem


def test_a_personal_target_is_kept_nowhere(tmp_path: Path) -> None:
    from dataclasses import replace

    from fitted_models import StoringRecorder

    from mlops_workbench.capture.run.models import save_model
    from mlops_workbench.data.reference import sample_fit_data

    workspace = Workspace.init(tmp_path)
    (tmp_path / FILE).write_text('[data]\npersonal = ["religion"]\n')
    X = pd.DataFrame({"n": np.arange(60) / 3})
    y = pd.Series(["creed one", "creed two"] * 30, name="religion")
    model = DecisionTreeClassifier().fit(X, y)
    saving = StoringRecorder(workspace)
    data = replace(sample_fit_data(X, y), test=sample_fit_data(X, y))
    assert save_model(saving, "r", model, "m", data)  # type: ignore[arg-type]
    files = {path: workspace.blobs.get(digest).read_bytes() for path, digest in saving.records[0].files.items()}
    assert EVALUATION_FILE not in files and b"creed" not in files[SCHEMA_FILE]
    reference = pq.read_table(io.BytesIO(files["mlops/reference.parquet"]))
    assert reference.column_names == ["n"]
