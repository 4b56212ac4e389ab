"""Names and values in the form that MLflow accepts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_param, _validate_tag

from mlops_workbench.core.addresses import without_credentials
from mlops_workbench.core.errors import Unavailable
from mlops_workbench.tracking.mapping.values import as_text, is_store_name, metric_for_store, safe_path, store_name
from mlops_workbench.tracking.mlflow.errors import translated


@given(st.text(max_size=400))
def test_mlflow_takes_every_name_and_two_names_stay_two(name: str) -> None:
    mapped = store_name(name)
    _validate_param(mapped, "1")
    _validate_tag(store_name(f"mlops.name.{mapped}"), "1")
    assert store_name(name) == mapped
    assert is_store_name(mapped)
    if mapped != name:
        assert store_name(name + "?") != mapped


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.binary(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))  # fmt: skip  # noqa: E501
def test_every_value_has_a_text_that_a_database_takes(value: object) -> None:
    text = as_text(value)
    assert "\x00" not in text
    text.encode()


@given(st.floats())
def test_metrics_are_finite_or_nan_and_their_exact_value_is_text(value: float) -> None:
    number, true_value = metric_for_store(value)
    assert math.isnan(number) == math.isnan(value)
    assert not math.isinf(number)
    assert (true_value != "") == math.isinf(value)


@given(st.text(max_size=100))
def test_artifact_paths_stay_below_their_run(path: str) -> None:
    safe = safe_path(path)
    assert safe
    assert not safe.startswith("/")
    assert ".." not in safe.split("/")


def test_a_damaged_database_is_reported_in_one_line_without_the_statement(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(b"no database " * 500)
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    with pytest.raises(Unavailable) as raised, translated(f"sqlite:///{file}"), engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1\nFROM runs"))
    assert raised.value.message == "the tracking database does not answer: file is not a database"
    assert raised.value.hint


def test_a_uri_is_shown_without_credentials() -> None:
    assert without_credentials("https://ann:pw@host:5000/x?token=1") == "https://host:5000/x"
    assert without_credentials("sqlite:////a b/mlflow.db") == "sqlite:////a b/mlflow.db"
