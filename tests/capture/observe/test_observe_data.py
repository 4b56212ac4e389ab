"""Data that went into a call: known when it is certain, and unknown rather than guessed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops_workbench.capture.observe.data import evaluate
from mlops_workbench.capture.observe.fit import cell_use, fitted_elsewhere
from mlops_workbench.capture.observe.scope import read_before
from mlops_workbench.capture.run.models import columns_from_model
from mlops_workbench.core.records import Column
from mlops_workbench.notebooks.source import parse_cell

HELPERS = """
def load(return_X_y=True):
    return frame[["a", "b"]], frame["c"]

def build(X, y):
    return Ridge().fit(X, y)

class Booster:
    def get_params(self, deep=True):
        return {}
    def fit(self, X, y, eval_set=None, epochs=1, validation_data=None):
        return self
    def predict(self, X):
        return X
"""


@pytest.fixture
def names():
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(chance.normal(size=(40, 3)), columns=["a", "b", "c"])
    values = {
        "__name__": "__main__",
        **{one.__name__: one for one in (Ridge, LinearRegression, KFold, cross_val_score, train_test_split)},
        **{one.__name__: one for one in (StandardScaler, OneHotEncoder, make_pipeline, make_column_transformer)},
        "np": np,
        "pd": pd,
        "frame": frame,
        "df": frame,
        "X": frame[["a", "b"]],
        "y": frame["c"],
        "X_train": frame[["a", "b"]][:30],
        "y_train": frame["c"][:30],
        "X_val": frame[["a", "b"]][30:35],
        "y_val": frame["c"][30:35],
        "X_test": frame[["a", "b"]][35:],
        "y_test": frame["c"][35:],
        "matrix": frame.to_numpy(),
        "sparse_X": sparse.csr_matrix(frame[["a", "b"]].to_numpy()),
        "features": ["a", "b"],
        "old": Ridge().fit(frame[["a", "b"]], frame["c"]),
        "models": {"one": Ridge(), "two": LinearRegression()},
    }
    exec(HELPERS, values)
    return values


def use(source, names):
    tree = parse_cell(source)
    before = read_before(tree, names)
    exec(compile(source, "<cell>", "exec"), names)
    found = cell_use(tree, names)
    return found, [*found.fits, *fitted_elsewhere(tree, names, before, found.fits)]


def known(source, names):
    found, _ = use(source, names)
    return {(data.name, data.context) for data in found.data if data.value is not None}


def test_data_is_distinguished_by_its_use(names):
    source = """model = Ridge().fit(X_train, y_train)
score = model.score(X_val, y_val)
train_score = model.score(X_train, y_train)
prediction = model.predict(X_test)
folds = cross_val_score(Ridge(), X=X, y=y, cv=3)
parts = train_test_split(df, random_state=0)"""
    assert known(source, names) == {
        ("X_train", "training"),
        ("y_train", "training"),
        ("X_val", "validation"),
        ("y_val", "validation"),
        ("X_test", "test"),
        ("X", "cross-validation"),
        ("y", "cross-validation"),
        ("df", "split"),
    }


def test_validation_data_of_a_fit_is_observed(names):
    assert known("m = Booster().fit(X_train, y_train, eval_set=[(X_val, y_val)], epochs=3)", names) >= {
        ("X_val", "validation"),
        ("y_val", "validation"),
    }
    found, fits = use("m = Booster()\nh = m.fit(X_train, y_train, validation_data=(X_val, y_val), epochs=3)", names)
    assert ("X_val", "validation") in {(data.name, data.context) for data in found.data}
    assert fits[0].settings == {"epochs": 3} and fits[0].result == "h"


@pytest.mark.parametrize(
    "expression",
    [
        "df[df.a > 0][features]",
        "df[(df.a > 0) & (df['b'] < 1)][['a', 'b']]",
        "df[~(df.a > 0)][features]",
        "df.loc[df['a'] <= 0.5, features]",
        "df.iloc[:20, :2]",
        "df.drop(columns=['c'])",
        "df.drop('c', axis=1).values",
        "df[features].to_numpy()",
        "df[features].astype(float)",
        "df[features].astype('float32')",
        "df.head(20)[features]",
        "df[features + ['c']]",
        "df[df['a'].isin([0.5]) | df.b.notna()][features]",
        "matrix[:, :2]",
        "matrix[10:, [0, 1]]",
        "matrix[matrix[:, 0] > 0][:, :2]",
        "matrix.T[:2].T",
        "X.to_numpy().reshape(-1, 2)",
        "np.asarray(X)",
        "sparse_X",
        "sparse_X[:10]",
    ],
)
def test_selections_are_made_again_and_are_the_same(names, expression):
    names["given"] = eval(expression, names)
    names["target"] = names["given"][:, 0] if not isinstance(names["given"], pd.DataFrame) else names["given"]["a"]
    if sparse.issparse(names["given"]):
        names["target"] = np.arange(names["given"].shape[0])
    _, (fit,) = use(f"model = Ridge().fit({expression}, target)", names)
    assert fit.X.name == str(__import__("ast").unparse(parse_cell(expression)))
    found, given = fit.X.value, names["given"]
    if sparse.issparse(given):
        assert (found != given).nnz == 0
    else:
        assert np.array_equal(found, given) and type(found) is type(given)


@pytest.mark.parametrize(
    "source",
    [
        "model = Ridge().fit(df.sample(10)[features], y_train[:10])",
        "model = Ridge().fit(*load())",
        "model = Ridge().fit(load()[0], y)",
        "model = Ridge().fit(X, y)\nX = X_test",
        "model = Ridge().fit(X, y)\nX['d'] = 1",
        "model = Ridge().fit(X, y)\nX.drop(columns='b', inplace=True)",
        "model = Ridge().fit(X, y)\nX.columns = ['u', 'v']",
        "X = Ridge().fit(X, y).predict(X)",
        "model = Ridge().fit(df.apply(abs)[features], y)",
        "model = Ridge().fit(df.query('a > -100')[features], y)",
    ],
)
def test_what_cannot_be_known_for_certain_stays_unknown(names, source):
    names["X"] = names["X"].copy()
    found, _ = use(source, names)
    inputs = [data for data in found.data if data.role == "X" and data.context == "training"]
    assert len(inputs) == 1 and inputs[0].value is None


def test_looking_never_calls_the_users_code(names):
    called = []

    class Table:
        shape = (3, 3)

        def __getitem__(self, key):
            called.append(key)

        def drop(self, *args, **words):
            called.append(args)

        def __getattr__(self, name):
            called.append(name)
            raise AttributeError(name)

    class Odd:
        def __getattr__(self, name):
            raise RuntimeError(name)

    names["angry"] = Odd()
    assert evaluate(parse_cell("angry").body[0].value, names) is None
    names["odd"] = Table()
    names["function"] = lambda *args: called.append(args)
    for expression in ("odd['a']", "odd.drop('a')", "odd.values", "function(df)", "df[function(df)]", "odd > 1"):
        assert evaluate(parse_cell(expression).body[0].value, names) is None
    assert called == []


def test_large_tables_are_not_selected_from_again(names):
    names["wide"] = np.broadcast_to(np.float64(1), (1 << 20, 64))
    assert evaluate(parse_cell("wide[wide > 2]").body[0].value, names) is None
    assert evaluate(parse_cell("wide").body[0].value, names) is names["wide"]


def test_every_model_of_a_loop_was_fitted(names):
    _, fits = use("for name, m in models.items():\n    m.fit(X_train, y_train)\n    s = m.score(X_test, y_test)", names)
    assert [fit.model for fit in fits] == list(names["models"].values())
    assert all(fit.X.value is names["X_train"] for fit in fits)
    _, fits = use("scores = {n: m.fit(X, y).score(X, y) for n, m in models.items()}", names)
    assert [fit.model for fit in fits] == list(names["models"].values())
    _, fits = use("made = {}\nfor a in (1, 2):\n    made[a] = Ridge(a).fit(X, y)", names)
    assert {fit.name for fit in fits} >= {"made[1]"} and names["made"][1] in [fit.model for fit in fits]


def test_the_data_of_the_last_turn_of_a_loop_is_that_of_the_model(names):
    source = """for train, test in KFold(2).split(X):
    part = X.iloc[train]
    model = Ridge().fit(part, y.iloc[train])"""
    _, (fit,) = use(source, names)
    assert fit.model is names["model"] and fit.X.value is names["part"]
    assert fit.y.value.equals(names["y"].iloc[names["train"]])


def test_models_come_after_transformers_and_those_of_functions_are_found(names):
    source = "model = Ridge().fit(X, y)\nscaler = StandardScaler().fit(X)"
    _, fits = use(source, names)
    assert [fit.name for fit in fits] == ["scaler", "model"]
    _, fits = use("made = build(X, y)", names)
    assert [(fit.name, fit.X) for fit in fits] == [("made", None)] and fits[0].model is names["made"]
    assert use("again = old", names)[1] == [] and use("fresh = Ridge()", names)[1] == []


def test_a_model_remembers_its_columns_when_its_data_is_unknown(names):
    _, (fit,) = use("model = Ridge().fit(*load())", names)
    assert columns_from_model(fit.model) == [Column("a", "double"), Column("b", "double")]
    plain = Ridge().fit(names["matrix"][:, :2], names["y"])
    assert columns_from_model(plain) == [Column("x0", "double"), Column("x1", "double")]
    piped = make_pipeline(StandardScaler(), Ridge()).fit(names["X"], names["y"])
    assert [column.name for column in columns_from_model(piped)] == ["a", "b"]
    mixed = make_pipeline(make_column_transformer((OneHotEncoder(), ["a"])), Ridge()).fit(names["X"], names["y"])
    assert columns_from_model(mixed) == [], "it may take text"
    assert columns_from_model(Ridge()) == []


def test_data_that_is_known_in_one_of_two_fits_is_recorded(names):
    source = "one = Ridge().fit(X, y)\nX = X * 2\ntwo = Ridge().fit(X, y)"
    assert ("X", "training") in known(source, names)
