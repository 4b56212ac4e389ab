"""Whatever a model answers, and whatever it was fitted on: saving it raises nothing and changes nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitted_models import save_fitted
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier

from mlops_workbench.core.model_schema import GOLDEN_FILE, SCHEMA_FILE, decode_schema
from mlops_workbench.core.workspace import Workspace

X = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 7})
ANSWERS: dict[str, Any] = {
    "a list": lambda rows: [1.0] * len(rows),
    "a frame": lambda rows: pd.DataFrame({"p": np.ones(len(rows))}),
    "a series with another index": lambda rows: pd.Series(np.ones(len(rows)), index=range(100, 100 + len(rows))),
    "numbers of the other byte order": lambda rows: np.ones(len(rows), dtype=">f8"),
    "long numbers": lambda rows: np.ones(len(rows), dtype=np.longdouble),
    "a sparse matrix": lambda rows: sparse.csr_matrix(np.eye(len(rows), 3)),
}
NO_ANSWERS: dict[str, Any] = {
    "nothing": lambda rows: None,
    "a number": lambda rows: 3.0,
    "a text": lambda rows: "abc",
    "a dict": lambda rows: {"a": 1},
    "a generator": lambda rows: (1 for _ in range(len(rows))),
    "one too few": lambda rows: np.ones(len(rows) - 1),
    "three dimensions": lambda rows: np.ones((len(rows), 2, 2)),
}


class Odd(BaseEstimator):
    """Answers with what a function returns."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        return self.answer(X)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.init(tmp_path)


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_any_class_are_recorded(workspace, tmp_path, name) -> None:
    record = save_fitted(workspace, tmp_path / "m", Odd(ANSWERS[name]).fit(X), X)
    assert not record.problem and (tmp_path / "m" / GOLDEN_FILE).exists()


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_is_no_answer_is_said_and_the_model_saved(workspace, tmp_path, name, capsys) -> None:
    record = save_fitted(workspace, tmp_path / "m", Odd(NO_ANSWERS[name]).fit(X), X)
    assert "predict returned" in record.problem and "model.pkl" in record.files
    assert "cannot predict its own training data" in capsys.readouterr().err


def test_a_model_that_changes_its_input_changes_neither_the_data_nor_what_is_kept(workspace, tmp_path) -> None:
    def adds_a_column(rows):
        rows["c"] = rows["a"] * 2
        rows["a"] = 0
        return rows["c"].to_numpy()

    given = X.copy()
    save_fitted(workspace, tmp_path / "m", Odd(adds_a_column).fit(given), given)
    pd.testing.assert_frame_equal(given, X)
    assert list(pd.read_parquet(tmp_path / "m" / "mlops/reference.parquet").columns) == ["a", "b", "__prediction__"]
    assert pd.read_parquet(tmp_path / "m" / "mlops/reference.parquet")["a"].max() == 39


def test_the_random_state_of_the_user_stays(workspace, tmp_path) -> None:
    y = np.arange(40) % 2
    np.random.seed(5)
    random.seed(5)
    expected = np.random.random(), random.random()
    np.random.seed(5)
    random.seed(5)
    save_fitted(workspace, tmp_path / "m", DummyClassifier(strategy="stratified").fit(X, y), X, y)
    assert (np.random.random(), random.random()) == expected
    schema = decode_schema((tmp_path / "m" / SCHEMA_FILE).read_bytes())
    assert not schema.deterministic and not (tmp_path / "m" / GOLDEN_FILE).exists()


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({True: np.arange(40.0), False: np.ones(40)}),
        pd.DataFrame({"t": pd.Series(["a", "\ud800"] * 20, dtype=object)}),
        pd.DataFrame(np.ones((40, 1)), columns=pd.Index(["\ud800"], dtype=object)),
        pd.DataFrame({"l": [np.ones(2)] * 40}),
        pd.DataFrame({"d": [{}] * 40}),
        pd.DataFrame({"c": pd.Categorical([np.inf, 1.0] * 20)}),
        pd.DataFrame({"i": [10**30] * 40}),
        np.ones((40, 2), dtype=np.longdouble),
        np.array([[1, "x"]] * 40, dtype=object),
        pd.DataFrame(index=range(40)),
    ],
    ids=range(10),
)
def test_data_that_cannot_be_described_does_not_keep_a_model_from_being_saved(workspace, tmp_path, data) -> None:
    model = Odd(lambda rows: np.ones(len(rows))).fit(data)
    record = save_fitted(workspace, tmp_path / "m", model, data)
    assert "model.pkl" in record.files
    assert record.problem or (tmp_path / "m" / GOLDEN_FILE).exists()
