"""Which cells fit a model is known before they run."""

from __future__ import annotations

import sys

import pytest
import sklearn.linear_model
from sklearn import linear_model
from sklearn.base import clone
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Lasso, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops_workbench.capture.cells.autotrack import name_of, tracks_itself
from mlops_workbench.capture.observe.foresight import foreseen_models
from mlops_workbench.notebooks.source import parse_cell

HELPERS = """
def train(model, X, y):
    model.fit(X, y)
    return model

def scaled(df):
    return StandardScaler().fit_transform(df)

def train_ridge(X, y):
    return Ridge().fit(X, y)

def outer(X, y):
    return train_ridge(X, y)

def report(model, X):
    print(model.predict(X))

def loop(net, data):
    for batch in data:
        loss = net(batch)
        loss.backward()
        optimizer.step()

class Trainer:
    def run(self, X, y):
        self.model = RandomForestClassifier().fit(X, y)
        return self
"""


@pytest.fixture(scope="module")
def names():
    values = {
        "__name__": "__main__",
        "sklearn": sklearn,
        "linear_model": linear_model,
        "clone": clone,
        "KMeans": KMeans,
        "DBSCAN": DBSCAN,
        "make_column_transformer": make_column_transformer,
        "PCA": PCA,
        "RandomForestClassifier": RandomForestClassifier,
        "Lasso": Lasso,
        "Ridge": Ridge,
        "GridSearchCV": GridSearchCV,
        "cross_val_score": cross_val_score,
        "Pipeline": Pipeline,
        "make_pipeline": make_pipeline,
        "StandardScaler": StandardScaler,
        "model": Ridge(),
        "scaler": StandardScaler(),
        "pipe": make_pipeline(StandardScaler(), Lasso()),
        "prepare": make_pipeline(StandardScaler(), PCA()),
        "search": GridSearchCV(Ridge(), {}),
        "models": {"ridge": Ridge(), "lasso": Lasso()},
        "pairs": [("r", Ridge()), ("l", Lasso())],
        "X": [[1.0]],
        "y": [1.0],
    }
    exec(compile(HELPERS, "<notebook>", "exec"), values)
    values["trainer"] = values["Trainer"]()
    return values


@pytest.mark.parametrize(
    ("source", "models"),
    [
        ("model.fit(X, y)", ["Ridge"]),
        ("m = Ridge(alpha=2).fit(X, y)", ["Ridge"]),
        ("m = RandomForestClassifier()\nm.fit(X, y)", ["RandomForestClassifier"]),
        ("model = RandomForestClassifier()\nmodel.fit(X, y)", ["RandomForestClassifier"]),
        ("acc = Ridge().fit(X, y).score(X, y)", ["Ridge"]),
        ("sklearn.linear_model.Ridge().fit(X, y)", ["Ridge"]),
        ("linear_model.Ridge().fit(X, y)", ["Ridge"]),
        ("pipe.fit(X, y)", ["Lasso"]),
        ("p = make_pipeline(StandardScaler(), Ridge())\np.fit(X, y)", ["Ridge"]),
        ("p = Pipeline([('s', StandardScaler()), ('m', Ridge())])\np.fit(X, y)", ["Ridge"]),
        ("steps = [('s', StandardScaler()), ('m', Ridge())]\nPipeline(steps=steps).fit(X, y)", ["Ridge"]),
        ("search.fit(X, y)", ["GridSearchCV"]),
        ("s = GridSearchCV(Ridge(), {})\nbest = s.fit(X, y)", ["GridSearchCV"]),
        ("for name, m in models.items():\n    m.fit(X, y)", ["Ridge", "Lasso"]),
        ("for name, m in pairs:\n    m.fit(X, y)", ["Ridge", "Lasso"]),
        ("for m in [Ridge(), Lasso()]:\n    m.fit(X, y)", ["Ridge", "Lasso"]),
        ("ms = {'a': Ridge(), 'b': Lasso()}\nfor k, m in ms.items():\n    m.fit(X, y)", ["Ridge", "Lasso"]),
        ("scores = [m.fit(X, y).score(X, y) for m in (Ridge(), Lasso())]", ["Ridge", "Lasso"]),
        ("models['ridge'].fit(X, y)", ["Ridge"]),
        ("c = clone(model).fit(X, y)", ["Ridge"]),
        ("labels = KMeans(2).fit_predict(X)", ["KMeans"]),
        ("labels = DBSCAN().fit_predict(X)", ["DBSCAN"]),
        ("s = cross_val_score(model, X, y)", ["Ridge"]),
        ("if True:\n    with open('x') as f:\n        model.fit(X, y)", ["Ridge"]),
        ("m = train(RandomForestClassifier(), X, y)", ["RandomForestClassifier"]),
        ("for name, m in models.items():\n    train(m, X, y)", ["Ridge", "Lasso"]),
        ("train_ridge(X, y)", ["Ridge"]),
        ("outer(X, y)", ["Ridge"]),
        ("trainer.run(X, y)", ["RandomForestClassifier"]),
        ("loop(net, data)", ["loop"]),
        ("def f(m):\n    return m.fit(X, y)\nf(Ridge())", ["Ridge"]),
        ("def f():\n    m = Ridge()\n    return m.fit(X, y)\nf()", ["Ridge"]),
        ("for b in data:\n    loss = net(b)\n    loss.backward()\n    opt.step()", ["training"]),
        # What the cell itself imports.
        ("from sklearn.svm import SVC as S\nS().fit(X, y)", ["SVC"]),
        ("from xgboost import XGBClassifier\nXGBClassifier().fit(X, y)", ["XGBClassifier"]),
        ("import lightgbm as lgb\nbooster = lgb.train({}, data)", ["lightgbm"]),
        ("import xgboost as xgb\nm = xgb.XGBRegressor()\nm.fit(X, y)", ["XGBRegressor"]),
        # None of these fits a model.
        ("x = 1", []),
        ("scaler.fit(X)", []),
        ("Z = StandardScaler().fit_transform(X)", []),
        ("prepare.fit(X)", []),
        ("make_pipeline(StandardScaler(), PCA()).fit(X)", []),
        ("make_column_transformer((StandardScaler(), [0])).fit(X)", []),
        ("scaled(X)", []),
        ("report(model, X)", []),
        ("m = Ridge()", []),
        ("def f():\n    return Ridge().fit(X, y)", []),
        ("model.predict(X)", []),
        ("suit.fit(X)", []),
        ("from sklearn.preprocessing import MinMaxScaler as M\nM().fit(X)", []),
        ("curve.train('slow')", []),
    ],
)
def test_the_models_that_a_cell_fits_are_known_before_it_runs(names, source, models):
    assert foreseen_models(parse_cell(source), names) == models


def test_a_class_of_a_module_that_is_not_loaded_is_recognized_by_its_name():
    # Other tests may have loaded them.
    loaded = {name: sys.modules.pop(name) for name in ("sklearn.gaussian_process", "xgboost") if name in sys.modules}
    before = set(sys.modules)
    source = "from sklearn.gaussian_process import GaussianProcessRegressor\nGaussianProcessRegressor().fit(X, y)"
    try:
        assert foreseen_models(parse_cell(source), {}) == ["GaussianProcessRegressor"]
        assert set(sys.modules) == before, "nothing is imported to find out"
    finally:
        sys.modules.update(loaded)


@pytest.mark.parametrize("source", ["", "x = = 1", "%%bash\nls"])
def test_what_is_no_python_fits_nothing(source):
    assert foreseen_models(parse_cell(source), {}) == []


def test_names_are_short_and_blocks_of_track_stay_as_they_are():
    assert name_of(["Ridge"]) == "Ridge" and name_of(["Ridge", "Lasso"]) == "Ridge+Lasso"
    assert name_of(list("abcde")) == "a+b+c+2 more"
    tree = parse_cell("with track('x'):\n    model.fit(X, y)")
    assert tracks_itself(tree, {}) and not tracks_itself(tree, {"track": print})
    assert not tracks_itself(parse_cell("model.fit(X, y)"), {})
