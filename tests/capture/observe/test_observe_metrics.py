"""Every form in which a cell names a measurement, and similar forms that do not."""

from __future__ import annotations

import linecache
import math

import numpy as np
import pytest

from mlops_workbench.capture.observe.metric_values import Measurements
from mlops_workbench.capture.observe.metrics import observed_metrics
from mlops_workbench.capture.observe.scope import read_before
from mlops_workbench.notebooks.source import parse_cell

IMPORTS = """
import functools, math, time
import numpy as np, pandas as pd
from sklearn import metrics
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    accuracy_score, classification_report, confusion_matrix, f1_score, get_scorer, make_scorer, mean_absolute_error,
    mean_squared_error, precision_recall_fscore_support, r2_score, roc_curve,
)
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import KFold, cross_val_score, cross_validate
from sklearn.svm import SVC

X, y = make_classification(60, 4, random_state=0)
model = LogisticRegression().fit(X, y)
p = model.predict(X)
models = {"logit": LogisticRegression(), "svc": SVC()}
half_mae = functools.partial(mean_absolute_error, multioutput="uniform_average")
scorer = make_scorer(f1_score)
results = {}
old = {"kept": 0.5}
"""

OWN = """
def evaluate(model, X, y):
    p = model.predict(X)
    return mean_absolute_error(y, p)

def report(y, p):
    found = {"mae": mean_absolute_error(y, p)}
    found["r2"] = metrics.r2_score(y, p)
    found["rows"] = len(y)
    return found

def fitted(model):
    model.fit(X, y)
    return model, model.score(X, y)

def deep(y, p):
    return inner(y, p)

def inner(y, p):
    from sklearn.metrics import f1_score as f1
    return f1(y, p)

def timed(y, p):
    began = time.perf_counter()
    accuracy_score(y, p)
    return time.perf_counter() - began

def shown(y, p):
    print(accuracy_score(y, p))
    return len(y) / 2

def plain(y):
    return float(sum(y)) / 7

rmse = lambda y, p: float(np.sqrt(mean_squared_error(y, p)))

class Trainer:
    def evaluate(self, X, y):
        return accuracy_score(y, model.predict(X))

trainer = Trainer()
"""


@pytest.fixture
def names():
    values = {"__name__": "__main__"}
    exec(IMPORTS, values)
    # As IPython does, so that the source of a function can be found.
    linecache.cache["<notebook>"] = (len(OWN), None, OWN.splitlines(keepends=True), "<notebook>")
    exec(compile(OWN, "<notebook>", "exec"), values)
    return values


def observe(source, names, *, fails=False):
    tree = parse_cell(source)
    before = read_before(tree, names)
    try:
        exec(compile(source, "<cell>", "exec"), names)
    except ZeroDivisionError:
        assert fails
    return observed_metrics(tree, names, before, complete=not fails)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("acc: float = accuracy_score(y, p)", {"acc"}),
        ("a = b = accuracy_score(y, p)", {"a", "b"}),
        ("if (acc := accuracy_score(y, p)) > 2: pass", {"acc"}),
        ("total = 0\nfor i in range(3):\n    total += accuracy_score(y, p)", {"total"}),
        ("pr, re, f, _ = precision_recall_fscore_support(y, p, average='macro')", {"pr", "re", "f"}),
        ("acc, f1 = accuracy_score(y, p), f1_score(y, p)", {"acc", "f1"}),
        ("with open('/dev/null') as f:\n    acc = accuracy_score(y, p)", {"acc"}),
        ("try:\n    acc = accuracy_score(y, p)\nfinally:\n    pass", {"acc"}),
        ("error = 1 - accuracy_score(y, p)", {"error"}),
        ("acc = round(float(accuracy_score(y, p)), 3)", {"acc"}),
        ("rmse = np.sqrt(mean_squared_error(y, p))\npercent = rmse * 100", {"rmse", "percent"}),
        ("best = max(accuracy_score(y, p), f1_score(y, p))", {"best"}),
        ("acc = accuracy_score(y, p) if True else 0", {"acc"}),
        ("s = scorer(model, X, y)", {"s"}),
        ("s = get_scorer('accuracy')(model, X, y)", {"s"}),
        ("mae = half_mae(y, p)", {"mae"}),
        ("acc = model.score(X, y)", {"acc"}),
        ("acc = LogisticRegression().fit(X, y).score(X, y)", {"acc"}),
        ("acc = models['logit'].fit(X, y).score(X, y)", {"acc"}),
        # Into containers and attributes.
        ("results['acc'] = accuracy_score(y, p)", {"acc"}),
        ("results['train'] = {}\nresults['train']['acc'] = accuracy_score(y, p)", {"train/acc"}),
        ("class Box: pass\nbox = Box()\nbox.acc = accuracy_score(y, p)", {"acc"}),
        ("for n, m in models.items():\n    results[n] = m.fit(X, y).score(X, y)", {"logit", "svc"}),
        ("for n in ['a', 'b']:\n    old[n] = accuracy_score(y, p)", {"a", "b"}),
        ("scores = {'acc': accuracy_score(y, p), 'n': 3}", {"acc"}),
        ("scores = dict(acc=accuracy_score(y, p), n=3)", {"acc"}),
        ("scores = {n: m.fit(X, y).score(X, y) for n, m in models.items()}", {"logit", "svc"}),
        ("first, other = {}, {}\nfirst['a'] = accuracy_score(y, p)\nother['a'] = f1_score(y, p)", {"a", "other/a"}),
        # Dicts and Series of floats.
        ("s = pd.Series({'acc': accuracy_score(y, p), 'f1': f1_score(y, p)})", {"s/acc", "s/f1"}),
        ("r = classification_report(y, p, output_dict=True)\nf = r['macro avg']['f1-score']", {"f", "r/accuracy"}),
        # Functions of the user's own.
        ("mae = evaluate(model, X, y)", {"mae"}),
        ("found = report(y, p)", {"found/mae", "found/r2"}),
        ("m, acc = fitted(LogisticRegression())", {"acc"}),
        ("f1 = deep(y, p)", {"f1"}),
        ("err = rmse(y, p)", {"err"}),
        ("acc = trainer.evaluate(X, y)", {"acc"}),
        ("def here(y, p):\n    return accuracy_score(y, p)\nacc = here(y, p)", {"acc"}),
        # Nothing of this is a measurement.
        ("accuracy_score(y, p)\nprint(accuracy_score(y, p))", set()),
        ("n = len(y)\nmean = np.mean(y)", set()),
        ("seconds = timed(y, p)", set()),
        ("half = shown(y, p)", set()),
        ("share = plain(y)", set()),
        ("good = accuracy_score(y, p) > 0.5", set()),
        ("near = cosine_similarity(X)", set()),
        ("prediction = model.predict(X)", set()),
        ("acc = 0.5", set()),
        ("text = classification_report(y, p)", set()),
        ("if False:\n    old['x'] = accuracy_score(y, p)", set()),
        ("_acc = accuracy_score(y, p)", set()),
    ],
)
def test_a_measurement_is_seen_in_whatever_form_it_is_written(names, source, expected):
    found = observe(source, names).values
    missing = {name for name in found if name.startswith("r/")} - expected
    assert set(found) - missing == expected
    assert all(type(value) in (int, float) for value in found.values())


def test_values_are_those_of_the_notebook(names):
    found = observe("pr, re, f, _ = precision_recall_fscore_support(y, p, average='macro')", names).values
    assert found == {name: pytest.approx(names[name]) for name in ("pr", "re", "f")}
    found = observe("for n, m in models.items():\n    results[n] = m.fit(X, y).score(X, y)", names).values
    assert found == names["results"]


def test_the_folds_of_a_cross_validation_are_steps(names):
    found = observe("cv = cross_val_score(LogisticRegression(), X, y, cv=3)\nbest = cv.max()", names)
    assert found.values["cv"] == pytest.approx(names["cv"].mean()) and found.values["best"] == names["cv"].max()
    assert found.values["cv_std"] == pytest.approx(names["cv"].std())
    assert found.histories == {"cv_fold": (0, names["cv"].tolist())}
    found = observe("cv = np.sqrt(-cross_val_score(Ridge(), X, y, scoring='neg_mean_squared_error', cv=3))", names)
    assert found.values["cv"] == pytest.approx(names["cv"].mean()) and len(found.histories["cv_fold"][1]) == 3
    both = "cv = cross_validate(LogisticRegression(), X, y, cv=3, scoring=['accuracy', 'f1'])"
    for source in (both, both.replace("cv =", "cv = pd.DataFrame(") + ")"):
        found = observe(source, names)
        assert found.values["cv/test_f1"] == pytest.approx(np.mean(names["cv"]["test_f1"]))
        assert {"cv/test_accuracy_std", "cv/fit_time"} <= set(found.values)
        assert found.histories["cv/test_f1_fold"] == (0, list(names["cv"]["test_f1"]))
    mean = observe("m, s = cross_val_score(SVC(), X, y).mean(), 3", names)
    assert set(mean.values) == {"m"} and mean.histories == {}


def test_a_list_that_is_filled_in_a_loop_is_a_history(names):
    source = """scores = []
for train, test in KFold(3).split(X):
    m = LogisticRegression().fit(X[train], y[train])
    scores.append(accuracy_score(y[test], m.predict(X[test])))
mean = np.mean(scores)"""
    found = observe(source, names)
    assert found.histories == {"scores": (0, names["scores"])} and set(found.values) == {"mean"}
    found = observe("scores.append(accuracy_score(y, p))", names)
    assert found.histories == {"scores": (3, names["scores"][3:])}, "only what this cell added"
    found = observe("each = [m.fit(X, y).score(X, y) for m in models.values()]", names)
    assert found.histories == {"each": (0, names["each"])}
    found = observe("by = {'a': []}\nfor n in by:\n    by[n].append(accuracy_score(y, p))", names)
    assert found.histories == {"by/a": (0, names["by"]["a"])}


def test_matrices_and_curves_are_tables_and_no_metrics(names):
    source = "matrix = confusion_matrix(y, p)\nfpr, tpr, t = roc_curve(y, p)\nauc = metrics.auc(fpr, tpr)"
    found = observe(source, names)
    assert set(found.tables) == {"matrix", "roc_curve"} and set(found.values) == {"auc"}
    assert set(found.tables["roc_curve"]) == {"fpr", "tpr", "t"}
    assert found.tables["matrix"] is names["matrix"]


def test_after_an_error_only_what_was_reached_counts(names):
    names["late"] = 0.25
    found = observe("acc = accuracy_score(y, p)\n1 / 0\nlate = accuracy_score(y, p)", names, fails=True)
    assert set(found.values) == {"acc"}


def test_a_whole_number_that_python_shares_is_new_too(names):
    names["right"] = 3
    names["three"] = lambda y, p: 3
    source = "right = accuracy_score([1, 1, 1], [1, 1, 1], normalize=False)\nright = int(right)"
    assert observe(source, names).values == {"right": 3}


def test_what_a_network_returns_are_learning_curves(names):
    class History:
        def __init__(self) -> None:
            self.history = {"loss": [0.5, 0.25], "val_loss": [0.6, math.nan], "text": ["a"]}

    found = Measurements()
    found.learning_curves(History().history, "model")
    assert found.histories["loss"] == (0, [0.5, 0.25]) and "text" not in found.histories
    assert len(found.histories["val_loss"][1]) == 2


def test_the_score_of_a_model_is_one_wherever_its_class_was_written(tmp_path, monkeypatch):
    # As a library in a folder of its own, on the path.
    (tmp_path / "boosting_elsewhere.py").write_text(
        "class Booster:\n    def fit(self, X, y): return self\n    def predict(self, X): return X\n"
        "    def score(self, X, y): return sum(X) / 10\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = observe("from boosting_elsewhere import Booster\nb = Booster().fit([1], [1])\nr2 = b.score([5], [1])", {})
    assert found.values == {"r2": 0.5}
