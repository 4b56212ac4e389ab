"""Checks of new data against the schema of training data, by pandera itself."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pandera.io.pandas_io as pandera_io
import pandera.pandas as pandera
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_workbench.data.compare.check import check_frame
from mlops_workbench.data.describe import describe_dataset
from mlops_workbench.data.schema import schema_json
from mlops_workbench.data.tables.frames import as_frame


def schema_of(data) -> bytes:
    known = describe_dataset("", data)
    schema = schema_json(known.profile, known.rows)
    assert schema is not None
    return schema


def training(rows: int = 1000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "price": rng.normal(100, 10, rows),
            "gap": np.where(rng.random(rows) < 0.1, np.nan, 5.0),
            "seats": rng.integers(1, 5, rows),
            "city": rng.choice(["Wien", "Köln"], rows),
            "kind": pd.Categorical(rng.choice(["a", "b"], rows)),
            "when": pd.date_range("2024-01-01", periods=rows, freq="h"),
            "zone": pd.date_range("2024-01-01", periods=rows, freq="h", tz="Europe/Vienna"),
            "ok": rng.random(rows) < 0.5,
            "flag": pd.array([True, None] * (rows // 2), dtype="boolean"),
            "count": pd.array(rng.integers(0, 9, rows), dtype="Int64"),
            "took": pd.to_timedelta(np.arange(rows), unit="s"),
            "arrow": pd.Series(np.arange(rows), dtype="int64[pyarrow]"),
            "note": [f"free text {i}" for i in range(rows)],
        }
    )


def test_the_schema_is_one_that_pandera_reads_and_training_data_passes():
    frame = training()
    schema = pandera_io.from_json(schema_of(frame).decode())
    assert isinstance(schema, pandera.DataFrameSchema) and set(schema.columns) == set(frame.columns)
    schema.validate(frame, lazy=True)
    outcome, cases = check_frame(frame, schema_of(frame))
    assert outcome.passed and outcome.rows == 1000 and cases.empty and not outcome.aligned


def test_a_new_batch_of_the_same_kind_passes():
    later = training(200, seed=9)
    later["when"] += pd.Timedelta(days=900)
    later["city"] = later["city"].astype("category")
    later["price"] = later["price"].astype("float32")
    later["extra"] = 1
    assert check_frame(later, schema_of(training()))[0].passed


def test_all_failures_are_reported_at_once():
    broken = training(100, seed=2)
    broken.loc[[1, 2, 3], "price"] = np.nan
    broken.loc[5, "price"] = 1e6
    broken.loc[6, "price"] = -1.0
    broken.loc[[7, 8], "city"] = "Linz"
    broken["seats"] = broken["seats"].astype(str)
    broken.loc[9, "seats"] = None
    broken = broken.drop(columns="when")
    outcome, cases = check_frame(broken, schema_of(training()))
    found = {(failure.column, failure.check): failure for failure in outcome.failures}
    assert not outcome.passed
    assert found["when", "the column is missing"].rows is None
    assert found["price", "no value may be missing"].rows == 3
    assert found["city", "one of ['Köln', 'Wien']"].rows == 2
    assert found["city", "one of ['Köln', 'Wien']"].examples == ["Linz"]
    high = next(f for (column, check), f in found.items() if column == "price" and check.startswith("at most"))
    assert high.rows == 1 and high.examples == ["1000000.0"]
    low = next(f for (column, check), f in found.items() if column == "price" and check.startswith("at least"))
    assert low.rows == 1 and low.examples == ["-1.0"]
    assert {check for column, check in found if column == "seats"} == {"of type int64", "no value may be missing"}
    assert set(cases[cases["column"] == "city"]["index"]) == {7, 8}
    assert {failure.column for failure in outcome.failures} == {"when", "price", "city", "seats"}


def test_types_of_the_same_kind_fit_when_no_value_is_lost():
    train = pd.DataFrame({"x": [1.0, 2.0, np.nan, 4.0], "n": [1, 2, 3, 4]})
    outcome, _ = check_frame(pd.DataFrame({"x": [1, 2], "n": [1.0, 2.0]}), schema_of(train))
    assert outcome.passed and set(outcome.aligned) == {"x", "n"}
    outcome, _ = check_frame(pd.DataFrame({"x": [1.0], "n": [1.5]}), schema_of(train))
    assert [f.column for f in outcome.failures] == ["n"]
    # A value that went missing made whole numbers decimal: that is the failure, not the type.
    outcome, _ = check_frame(pd.DataFrame({"x": [1.0, 2.0], "n": [1.0, np.nan]}), schema_of(train))
    assert [f.column for f in outcome.failures] and {f.column for f in outcome.failures} == {"n"}


def test_few_rows_and_free_text_bound_nothing():
    few = pd.DataFrame({"x": [1.0, 2.0], "s": ["a", "b"]})
    assert check_frame(pd.DataFrame({"x": [99.0], "s": ["z"]}), schema_of(few))[0].passed
    columns = json.loads(schema_of(training()))["columns"]
    assert "isin" not in columns["note"] and columns["city"]["isin"] == ["Köln", "Wien"]
    assert not any("equal_to" in check for check in columns["when"])


def test_arrays_are_checked_by_position():
    train = np.random.default_rng(0).random((500, 3))
    good, bad = train[:10] + 0.01, train[:10].copy()
    bad[4, 1] = np.nan
    assert check_frame(as_frame(good), schema_of(train))[0].passed
    outcome, cases = check_frame(as_frame(bad), schema_of(train))
    assert [f.column for f in outcome.failures] == ["x1"] and cases["index"].tolist() == [4]


@settings(max_examples=40)
@given(
    st.lists(st.one_of(st.floats(allow_infinity=True), st.none()), min_size=1, max_size=120),
    st.lists(st.one_of(st.sampled_from(["a", "b", "ä", "\ud800", "x" * 300]), st.none()), min_size=1, max_size=120),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=120),
)
def test_whatever_was_trained_on_passes_its_own_schema(floats, texts, ints):
    words = [text for text in texts if text != "\ud800"]  # pandas itself takes it in objects only
    for values, dtype in ((floats, "float64"), (texts, "object"), (ints, "int64"), (words, "category")):
        frame = pd.DataFrame({"v": pd.Series(values or [None], dtype=object).astype(dtype)})
        outcome, _ = check_frame(frame, schema_of(frame))
        assert outcome.passed, outcome.failures


def test_columns_of_one_name_are_left_out():
    twice = pd.DataFrame([[1.0, 2.0, 3.0]] * 60, columns=["a", "a", "b"])
    assert set(json.loads(schema_of(twice))["columns"]) == {"b"}


def test_nothing_is_concluded_from_rows_that_were_not_seen():
    known = describe_dataset("", training())
    part = json.loads(schema_json({**known.profile, "examined": 1000}, 5000))["columns"]
    assert all(column["nullable"] for column in part.values()) and "isin" not in part["city"]
    assert part["price"]["dtype"] == "float64" and "less_than_or_equal_to" in part["price"]


@pytest.mark.parametrize("rows", [0, 1])
def test_hardly_any_rows_have_a_schema_too(rows):
    frame = training(2).iloc[:rows]
    if rows:
        assert check_frame(frame, schema_of(frame))[0].passed
    else:
        assert schema_json(describe_dataset("", frame).profile, 0) is None
