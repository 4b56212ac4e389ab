"""Parameters, metrics, models and data observed in a cell without running it again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops_workbench.capture.observe.estimators import built_estimators, outermost
from mlops_workbench.capture.observe.fit import cell_fits
from mlops_workbench.capture.observe.metrics import observed_metrics
from mlops_workbench.capture.observe.params import literal_params, logged_names
from mlops_workbench.capture.observe.scope import read_before
from mlops_workbench.capture.observe.settings import estimator_params
from mlops_workbench.notebooks.source import parse_cell, unwrap_magics


def run(source, **names):
    """Execute a cell the way a notebook does."""
    exec(compile(source, "<cell>", "exec"), names)
    return parse_cell(source), names


def test_literals_assigned_once_at_the_top_level_are_parameters():
    tree = parse_cell("""
depth = 6
rate: float = 1e-3
names = ["a", "b"]
low, high = -1, 2.5
flag = True; nothing = None
_private = 1
total = 0
for i in [1, 2]:
    total += i
best = 0
if depth:
    best = 3
history = []
computed = depth * 2
twice = 1
twice = 2
again = 1
again = depth
def f():
    inner = 3
with open("x") as handle:
    inside = 4
""")
    assert literal_params(tree) == {
        "depth": 6,
        "rate": 1e-3,
        "names": ["a", "b"],
        "low": -1,
        "high": 2.5,
        "flag": True,
        "nothing": None,
        "twice": 2,
    }


@pytest.mark.parametrize("source", ["", "x = = 1", "!ls\n%time x"])
def test_what_is_not_python_shows_nothing(source):
    tree = parse_cell(source)
    assert literal_params(tree) == {} and observed_metrics(tree, {}).values == {} and cell_fits(tree, {}) == []


def test_names_that_the_cell_logs_itself_are_known():
    tree = parse_cell('log_param("a", x)\nmlops.log_params({"b": 1, **more}, c=2)\nother("d")')
    assert logged_names(tree) == {"a", "b", "c"}


SETUP = """
import sklearn.metrics, sklearn.metrics as m, numpy as np, math
from sklearn.metrics import mean_absolute_error as mae_of, mean_squared_error, f1_score, confusion_matrix
y = np.array([0, 1, 1, 0, 1]); p = np.array([0, 1, 0, 0, 1])
"""


def test_metrics_are_seen_under_any_name_of_the_function_and_through_arithmetic():
    tree, names = run(
        SETUP
        + """
mae = mae_of(y, p)
f1 = m.f1_score(y, p)
auc = sklearn.metrics.roc_auc_score(y, p)
mse = mean_squared_error(y, p)
rmse = mse ** 0.5
rmse2 = float(np.sqrt(mean_squared_error(y, p)))
rounded, percent = round(mae_of(y, p), 2), 100 * f1_score(y, p)
minus = -mae_of(y, p)
scores = {"in_dict": mae_of(y, p), "constant": 3}
scores["later"] = f1_score(y, p)
table = confusion_matrix(y, p)
count = len(y)
mean = np.mean(y)
print(mae_of(y, p))
_hidden = mae_of(y, p)
if True:
    in_block = mae_of(y, p)
def f():
    local = mae_of(y, p)
f()
"""
    )
    found = observed_metrics(tree, names).values
    first = ["mae", "f1", "auc", "mse", "rmse", "rmse2", "rounded", "percent", "minus"]
    assert list(found) == [*first, "in_dict", "later", "in_block"]
    assert found["mae"] == names["mae"] == 0.2 and found["rmse"] == pytest.approx(0.2**0.5)
    assert found["percent"] == pytest.approx(80) and found["minus"] == -0.2
    assert found["in_dict"] == 0.2 and found["later"] == pytest.approx(0.8)
    assert all(type(value) in (int, float) for value in found.values())


def test_score_is_a_metric_of_estimators_only():
    X, y = np.arange(10.0).reshape(-1, 1), np.arange(10.0)

    class Game:
        def score(self):
            return 7

    tree, names = run(
        """
model = LinearRegression().fit(X, y)
r2 = model.score(X, y)
chained = LinearRegression().fit(X, y).score(X, y)
goals = game.score()
""",
        LinearRegression=LinearRegression,
        X=X,
        y=y,
        game=Game(),
    )
    assert observed_metrics(tree, names).values == {"r2": 1.0, "chained": 1.0}


def test_a_function_that_only_looks_like_a_metric_is_none():
    tree, names = run("mae = mean_absolute_error(1)", mean_absolute_error=lambda x: 0.5)
    assert observed_metrics(tree, names).values == {}


def test_values_of_an_older_execution_are_not_taken_for_new_ones():
    source = "if again:\n    mae = mae_of(y, p)\n    model = Ridge()\nother = mae_of(y, p)"
    names = {
        "mae_of": metrics.mean_absolute_error,
        "y": [1.0],
        "p": [2.0],
        "mae": 0.123,
        "again": False,
        "Ridge": Ridge,
    }
    names["model"] = Ridge()
    before = read_before(parse_cell(source), names)
    tree, after = run(source, **names)
    assert observed_metrics(tree, after, before).values == {"other": 1.0}
    assert built_estimators(tree, after, before) == []


def settings_of(estimators, taken=()):
    found = estimator_params(estimators, dict(taken))
    assert not found.chosen.keys() & found.defaults.keys()
    return found.chosen | found.defaults


def test_settings_of_one_estimator_keep_their_names_those_of_several_get_the_variables():
    one = estimator_params([("model", Ridge(alpha=3.0))], {})
    assert one.chosen == {"estimator": "Ridge", "alpha": 3.0}, "what differs from the default is apart"
    assert one.defaults["fit_intercept"] is True
    two = settings_of([("a", Ridge(alpha=3.0)), ("b", Ridge())])
    assert two["a.alpha"] == 3.0 and two["b.alpha"] == 1.0 and two["a.estimator"] == "Ridge"
    taken = {"alpha": 1, "solver": "auto"}
    assert settings_of([("m", Ridge(alpha=3.0))], taken)["m.alpha"] == 3.0
    # A setting that is an array has no one truth when it is compared.
    weights = settings_of([("m", Ridge(alpha=np.array([1.0, 2.0])))], {"alpha": [1.0, 2.0]})
    assert "m.alpha" not in weights
    assert "m.alpha" in settings_of([("m", Ridge(alpha=np.array([1.0, 2.0])))], {"alpha": [1.0, 3.0]})


def test_a_wrapper_is_named_with_the_estimator_in_it():
    search = settings_of([("search", GridSearchCV(Ridge(alpha=3.0), {"alpha": [1, 2]}))])
    assert search["estimator"] == "GridSearchCV(Ridge)" and search["estimator__alpha"] == 3.0


def test_steps_of_a_pipeline_are_listed_once():
    tree, names = run(
        "scale = StandardScaler()\nlogit = LogisticRegression(C=0.5)\npipe = make_pipeline(scale, logit)",
        StandardScaler=StandardScaler,
        LogisticRegression=LogisticRegression,
        make_pipeline=make_pipeline,
    )
    outer = outermost(built_estimators(tree, names))
    assert [name for name, _ in outer] == ["pipe"]
    found = estimator_params(outer, {})
    assert found.chosen == {
        "estimator": "Pipeline",
        "steps": ["standardscaler", "logisticregression"],
        "standardscaler": "StandardScaler",
        "logisticregression": "LogisticRegression",
        "logisticregression__C": 0.5,
    }
    assert found.defaults["logisticregression__max_iter"] == 100


@pytest.mark.parametrize(
    ("source", "name", "X", "y"),
    [
        ("model = Ridge().fit(X, y)", "model", "X", "y"),
        ("model = Ridge()\nmodel.fit(X, y)", "model", "X", "y"),
        ("model = Ridge()\nmodel.fit(y=y, X=X)", "model", "X", "y"),
        ("old.fit(X, y)", "old", "X", "y"),
        ("models['a'].fit(X, y)", "models['a']", "X", "y"),
        ("model = Ridge().fit(df[['a', 'b']], df['c'])", "model", "df[['a', 'b']]", "df['c']"),
        (
            "model = Ridge().fit(df[columns], df.drop(columns=columns)['c'])",
            "model",
            "df[columns]",
            "df.drop(columns=columns)['c']",
        ),
        (
            "model = Ridge().fit(df.drop(columns='c'), df['c'].values)",
            "model",
            "df.drop(columns='c')",
            "df['c'].values",
        ),
        ("with ctx:\n    model = Ridge().fit(X, y)", "model", "X", "y"),
        ("model = Ridge().fit(make()[0], make()[1])", "model", None, None),
    ],
)
def test_the_model_and_its_data_are_found(source, name, X, y):
    import contextlib

    frame = pd.DataFrame({"a": [1.0, 2, 3], "b": [4.0, 5, 7], "c": [1.0, 2, 3]})
    values = {
        "Ridge": Ridge,
        "X": frame[["a", "b"]],
        "y": frame["c"],
        "df": frame,
        "columns": ["a", "b"],
        "old": Ridge(),
        "models": {"a": Ridge()},
        "ctx": contextlib.nullcontext(),
        "make": lambda: (frame[["a"]], frame["c"]),
    }
    tree, names = run(source, **values)
    (fit,) = cell_fits(tree, names)
    assert (fit.name, fit.X.name if fit.X.value is not None else None) == (name, X)
    assert fit.model.n_features_in_ == (fit.X.value.shape[1] if X else 1)
    assert (fit.y.name if fit.y.value is not None else None) == y
    if y is not None:
        assert list(fit.y.value) == [1, 2, 3]


@pytest.mark.parametrize(
    ("X", "y"),
    [
        ("df[:2][columns]", "df['c'][:2]"),
        ("df[mask]", "y[mask]"),
        ("df.iloc[0:rows, :2]", "y.iloc[:rows]"),
        ("df.loc[mask, 'a':'b']", "df.loc[mask, 'c']"),
        ("matrix[index, 1:]", "vector[index]"),
        ("matrix[-rows:]", "vector[-2:]"),
    ],
)
def test_rows_that_were_selected_from_a_table_are_the_data(X, y):
    frame = pd.DataFrame({"a": [1.0, 2, 3], "b": [4.0, 5, 7], "c": [1.0, 2, 3]})
    values = {
        "Ridge": Ridge,
        "df": frame,
        "y": frame["c"],
        "columns": ["a", "b"],
        "rows": 2,
        "mask": frame["a"] < 3,
        "index": np.array([0, 2]),
        "matrix": frame.to_numpy(),
        "vector": frame["c"].to_numpy(),
    }
    tree, names = run(f"model = Ridge().fit({X}, {y})\ngiven, target = {X}, {y}", **values)
    (fit,) = cell_fits(tree, names)
    assert (fit.X.name, fit.y.name) == (X, y)
    assert np.array_equal(fit.X.value, names["given"]) and np.array_equal(fit.y.value, names["target"])


def test_a_search_is_one_fit():
    X, y = np.arange(20.0).reshape(-1, 1), np.arange(20.0)
    tree, names = run(
        "search = GridSearchCV(Ridge(), {'alpha': [0.1, 1]}, cv=2)\nsearch.fit(X, y)\nbest = search.best_estimator_",
        GridSearchCV=GridSearchCV,
        Ridge=Ridge,
        X=X,
        y=y,
    )
    assert [fit.name for fit in cell_fits(tree, names)] == ["search"]


def test_code_in_a_timed_cell_is_the_cells_own():
    body = "depth = 3\nx = depth"
    tree = parse_cell(
        f"get_ipython().run_line_magic('track', 'a')\nget_ipython().run_cell_magic('time', '', {body!r})\n"
    )
    assert literal_params(unwrap_magics(tree, str)) == {"depth": 3}
    shell = parse_cell("get_ipython().run_cell_magic('bash', '', 'depth = 3')")
    assert literal_params(unwrap_magics(shell, str)) == {}


def test_a_forest_has_readable_settings():
    params = settings_of([("m", RandomForestClassifier(n_estimators=5))])
    assert params["n_estimators"] == 5 and params["estimator"] == "RandomForestClassifier"
