"""The importance of inputs is measured when a model is saved: right, quick, and without a trace."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from mlops_workbench.capture.run.importance import SECONDS, importance_json, permutation_importance
from mlops_workbench.capture.run.proof import prove_model
from mlops_workbench.core.model_card import ModelImportance
from mlops_workbench.data.reference import sample_fit_data

ROWS = 1500


def columns(count: int, rows: int = ROWS) -> list[np.ndarray[Any, Any]]:
    return list(np.random.default_rng(3).normal(size=(count, rows)))


def measured(model: Any, X: Any, y: Any) -> ModelImportance | None:
    data = sample_fit_data(X, y)
    assert data is not None
    found = importance_json(model, data, prove_model(model, data, []))
    return None if found is None else msgspec.json.decode(found, type=ModelImportance)


def means(found: ModelImportance | None) -> dict[str, float]:
    assert found is not None
    return {column.name: column.mean for column in found.columns}


def test_the_column_that_decides_stands_out_among_noise() -> None:
    values = columns(6)
    X = pd.DataFrame({f"c{i}": part for i, part in enumerate(values)})
    y = np.where(X.c4 > 0, "yes", "no")
    model = RandomForestClassifier(10, random_state=0).fit(X, y)
    python, global_state = random.getstate(), np.random.get_state()
    found = measured(model, X, y)
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), global_state, strict=True))
    assert found is not None and found.metric == "accuracy" and found.score == 1.0 and found.left_out == []
    # Half of the rows have another sign after the permutation.
    assert means(found).pop("c4") == pytest.approx(0.5, abs=0.1)
    assert all(abs(mean) < 0.05 for name, mean in means(found).items() if name != "c4")


def test_the_importance_of_a_linear_model_is_twice_the_share_of_the_variance() -> None:
    values = columns(3)
    X = np.column_stack(values)
    y = 2 * values[0] + values[1]
    found = measured(LinearRegression().fit(X, y), X, y)
    assert found is not None and (found.metric, found.rows, found.repeats) == ("r2", 1000, 3)
    assert found.score == pytest.approx(1)
    assert means(found) == pytest.approx({"x0": 2 * 4 / 5, "x1": 2 / 5, "x2": 0}, abs=0.15)
    assert found.columns[0].std > 0 and found.columns[2].std == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("form", ["frame", "matrix", "sparse", "list of lists"])
def test_every_form_of_training_data_has_it(form: str) -> None:
    values = np.column_stack(columns(2, 200))
    y = values[:, 1] > 0
    X: Any = {
        "frame": pd.DataFrame(values, columns=["a", "b"]),
        "matrix": values,
        "sparse": sparse.csr_matrix(values),
        "list of lists": values.tolist(),
    }[form]
    found = measured(LogisticRegression().fit(X, y), X, y)
    first, second = means(found).values()
    assert abs(first) < 0.1 < 0.3 < second


class Fussy(RegressorMixin, BaseEstimator):
    """Answers its own rows only."""

    def fit(self, X: Any, y: Any) -> Fussy:
        self.known_ = {tuple(row) for row in X}
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        if not all(tuple(row) in self.known_ for row in X):
            raise RuntimeError("never seen")
        return X[:, 0] * 1.0


def test_a_model_without_a_score_has_none() -> None:
    X, y = np.column_stack(columns(2, 100)), np.arange(100.0)
    model = LinearRegression().fit(X, y)
    assert measured(model, X, y) is not None
    assert measured(model, X, None) is None
    assert measured(LinearRegression().fit(X, X), X, X) is None, "two targets"
    assert measured(LinearRegression().fit(X, 0 * y), X, 0 * y) is None, "a target without variance"
    assert measured(Fussy().fit(X, y), X, y) is None, "it raises"
    wide = np.column_stack(columns(201, 100))
    assert measured(LinearRegression().fit(wide, y), wide, y) is None


class Clock:
    """A clock that a model moves on by a time for each row and each call."""

    def __init__(self, row: float, call: float = 0.0) -> None:
        self.now, self.row, self.call = 0.0, row, call
        self.rows: list[int] = []

    def __call__(self) -> float:
        return self.now

    def predict(self, values: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        self.now += self.call + self.row * len(values[0])
        self.rows.append(len(values[0]))
        return values[0]


@pytest.mark.parametrize("row", [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1])
@pytest.mark.parametrize("count", [1, 8, 30, 200])
def test_the_time_is_limited_and_columns_without_time_are_named(row: float, count: int) -> None:
    clock = Clock(row)
    values = columns(count)
    names = [f"c{i}" for i in range(count)]
    found = permutation_importance(names, values, values[0], clock.predict, "r2", clock)
    assert found is not None
    assert [column.name for column in found.columns] + found.left_out == names
    # One question more may have been asked when the time was over.
    assert clock.now <= SECONDS + 20 * row + 100 * row + max(clock.rows) * row
    if found.columns:
        assert found.columns[0].mean > 1
    if row <= 1e-6 and count <= 30:
        assert (found.rows, found.repeats, found.left_out) == (1000, 3, [])
    if row * count >= 1:
        assert found.left_out


def test_a_quick_model_with_costly_calls_is_asked_seldom() -> None:
    clock, values = Clock(1e-6, call=0.02), columns(30)
    found = permutation_importance([f"c{i}" for i in range(30)], values, values[0], clock.predict, "r2", clock)
    assert found is not None and found.left_out == [] and found.rows >= 200 and found.repeats == 3
    assert clock.now < 0.6


def test_it_is_the_same_each_time() -> None:
    values = columns(4)
    names = list("abcd")
    results = [permutation_importance(names, values, values[0], Clock(0).predict, "r2", Clock(0)) for _ in range(2)]
    assert results[0] == results[1]
