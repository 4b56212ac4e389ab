"""Which rows a model was tested on is read from the cell that compared its predictions with the truth."""

from __future__ import annotations

import ast

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from mlops_workbench.capture.observe.fit import cell_use

X_train = pd.DataFrame({"a": np.arange(10.0), "b": np.arange(10.0) ** 2})
X_test, X_val = X_train.iloc[::2], X_train.iloc[1::2]
y_train = pd.Series(np.arange(10) % 2)
y_test, y_val = y_train.iloc[::2], y_train.iloc[1::2]


def test_of(source: str) -> tuple[str, str] | None:
    names = dict(globals())
    names.update(
        model=LogisticRegression().fit(X_train, y_train), other=LinearRegression().fit(X_train, y_train),
        accuracy_score=lambda *_, **__: 1.0, mean_absolute_error=lambda *_, **__: 1.0,
        LinearRegression=LinearRegression, print=print,
    )  # fmt: skip
    exec(source, names)
    found = cell_use(ast.parse(source), names).test()
    return None if found is None else (found[0].name, found[1].name)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = accuracy_score(y_test, model.predict(X_test))", ("X_test", "y_test")),
        ("a = accuracy_score(y_true=y_test, y_pred=model.predict(X_test))", ("X_test", "y_test")),
        ("p = model.predict_proba(X_test)[:, 1]\na = accuracy_score(y_test, p)", ("X_test", "y_test")),
        ("p = model.predict(X_test)\na = accuracy_score(p, y_test)", ("X_test", "y_test")),
        ("a = model.score(X_test, y_test)", ("X_test", "y_test")),
        ("print('accuracy', accuracy_score(y_test, model.predict(X_test)))", ("X_test", "y_test")),
        ("a = model.score(X_val, y_val)\nb = model.score(X_test, y_test)\nc = model.score(X_val, y_val)",
         ("X_test", "y_test")),
        ("a = model.score(X_val, y_val)", ("X_val", "y_val")),
        ("a = mean_absolute_error(y_test.iloc[:4], other.predict(X_test.iloc[:4]))",
         ("X_test.iloc[:4]", "y_test.iloc[:4]")),
        ("p = model.predict(X_test)", None),
        ("a = model.score(X_test, y_test)\nb = model.score(X_train, y_train)", ("X_test", "y_test")),
        ("a = model.score(X_train, y_train)", None),
        ("m = LinearRegression().fit(X_test, y_test)\na = m.score(X_test, y_test)", None),
        ("D = X_test\nm = LinearRegression().fit(X_test, y_test)\na = m.score(D, y_test)", None),
        ("p = model.predict(X_test)\np = y_val\na = accuracy_score(y_val, p)", None),
        ("a = max(3, 4)", None),
        ("X_test = X_test.head(3)\na = accuracy_score(y_test, y_test)", None),
    ],
)  # fmt: skip
def test_the_rows_of_the_last_comparison_are_found(source, expected) -> None:
    assert test_of(source) == expected


def test_rows_that_the_cell_changed_afterwards_are_unknown() -> None:
    assert test_of("a = model.score(X_test, y_test)\nX_test = X_test.head(2)") is None


test_of.__test__ = False  # type: ignore[attr-defined]


def test_a_slow_selection_is_not_repeated_while_the_cell_waits() -> None:
    """It is a selection from a large table, which is made again after the reply."""
    large = pd.DataFrame({"a": np.arange(200_000.0), "b": 1.0})
    names = {"model": LinearRegression().fit(large[:9], large.a[:9]), "large": large, "mae": lambda *_: 1.0}
    source = "e = mae(large[large.a > 3].a, model.predict(large[large.a > 3]))"
    use = cell_use(ast.parse(source), names)
    (pair,) = use.tests
    assert all("value" not in vars(data) and not data.quick for data in pair)
    assert use.test() == pair and all("value" not in vars(data) for data in pair)
