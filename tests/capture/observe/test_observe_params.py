"""Settings of a cell: literals, configurations, estimators and how they are put together."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import StackingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from mlops_workbench.capture.observe.literals import bounded, literal
from mlops_workbench.capture.observe.params import attribute_params, literal_params
from mlops_workbench.capture.observe.settings import estimator_params, structure
from mlops_workbench.notebooks.source import parse_cell


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = 1", {"a": 1}),
        ("a = -1.5", {"a": -1.5}),
        ("a = +1", {"a": 1}),
        ("a = b = 1", {"a": 1, "b": 1}),
        ("a: int = 3", {"a": 3}),
        ("a, b = 1, 'x'", {"a": 1, "b": "x"}),
        ("a = None; b = True", {"a": None, "b": True}),
        ("a = (1, 2)", {"a": [1, 2]}),
        ("a = {'lr': 0.1, 'layers': [1, 2]}", {"a": {"lr": 0.1, "layers": [1, 2]}}),
        ("a = {3, 1}", {"a": [1, 3]}),
        ("a = dict(lr=0.1, n=dict(b=2))", {"a": {"lr": 0.1, "n": {"b": 2}}}),
        ("a = 10 * 1000", {"a": 10000}),
        ("a = 1 / 4", {"a": 0.25}),
        ("a = 10 ** -3", {"a": 0.001}),
        ("a = 2 ** 40", {"a": 2**40}),
        ("p = {'a': 1}\np['a'] = 2\np['b'] = 3", {"p": {"a": 2, "b": 3}}),
        ("class Config:\n    lr = 0.1\n    epochs: int = 3", {"Config.lr": 0.1, "Config.epochs": 3}),
        # What is no setting.
        ("p = {'a': 1}\np['a'] = f()", {}),
        ("class Model:\n    lr = 0.1\n    def fit(self): pass", {}),
        ("a = 2 ** 10 ** 10", {}),
        ("a = 1 / 0", {}),
        ("a = ...", {}),
        ("a = f'{b}'", {}),
        ("a = dict(b)", {}),
        ("a = {**b}", {}),
        ("a = [x for x in y]", {}),
        ("a = []", {}),
        ("_a = 1", {}),
        ("a = 1\na += 1", {}),
        ("if b:\n    a = 1", {}),
        ("df['year'] = 2020", {}),
    ],
)
def test_literals_are_settings_in_whatever_form(source, expected):
    assert literal_params(parse_cell(source)) == expected


def test_long_values_are_cut_and_say_how_long_they_were():
    assert bounded("x" * 2000) == "x" * 2000 and bounded(list(range(100))) == list(range(100))
    text = bounded("x" * 50_000)
    assert len(text) < 1100 and text.endswith("… (50,000 characters)")
    assert bounded(list(range(10_000))).endswith("…] (10,000 items)")
    table = bounded({i: i for i in range(500)})
    assert table.startswith("{'0': 0") and table.endswith("(500 items)")
    assert "(2 items)" in bounded({"a": "y" * 5000, "b": 1})
    assert bounded(np.arange(3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="literal"):
        literal(parse_cell("f(1)").body[0].value)


NAMESPACE = """
from types import SimpleNamespace
from dataclasses import dataclass
from argparse import Namespace
import matplotlib.pyplot as plt, pandas as pd
@dataclass
class Settings:
    lr: float = 0.0
class Own: pass
cfg, args, settings, own = SimpleNamespace(model=SimpleNamespace()), Namespace(), Settings(), Own()
df = pd.DataFrame({"a": [1]})
fig, ax = plt.subplots()
plt.close(fig)
"""


def test_attributes_of_configurations_are_settings_and_those_of_tables_and_axes_are_not():
    source = """cfg.lr = 0.1
cfg.model.depth = 3
args.seed = 1
settings.lr = 0.5
own.name = 'x'
Own.size = 2
df.columns = ['b']
ax.title = 'x'
plt.style = 'x'
missing.x = 1
cfg.computed = f()
cfg._hidden = 1"""
    names = {"__name__": "__main__"}
    exec(NAMESPACE, names)
    assert attribute_params(parse_cell(source), names) == {
        "cfg.lr": 0.1,
        "cfg.model.depth": 3,
        "args.seed": 1,
        "settings.lr": 0.5,
        "own.name": "x",
        "Own.size": 2,
    }


def pipeline():
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prepare = make_column_transformer(
        (numbers, ["age", "fare"]),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_include=object)),
        ("passthrough", slice(0, 2)),
        remainder="drop",
    )
    return Pipeline([("prepare", prepare), ("model", LogisticRegression(C=0.5))])


def test_a_pipeline_keeps_steps_and_columns_under_readable_names():
    found = estimator_params([("pipe", pipeline())], {})
    chosen = found.chosen
    assert chosen["steps"] == ["prepare", "model"] and chosen["model"] == "LogisticRegression"
    assert chosen["model__C"] == 0.5 and "model__max_iter" in found.defaults
    assert chosen["prepare__pipeline__columns"] == ["age", "fare"]
    assert chosen["prepare__pipeline__steps"] == ["simpleimputer", "standardscaler"]
    assert chosen["prepare__pipeline__simpleimputer__strategy"] == "median"
    assert "object" in chosen["prepare__onehotencoder__columns"]
    assert chosen["prepare__passthrough__columns"] == "slice(0, 2, None)"
    assert chosen["prepare__transformers"] == ["pipeline", "onehotencoder", "passthrough"]
    assert all(isinstance(value, str | int | float | bool | list | dict | None) for value in chosen.values())


def test_the_structure_has_a_line_per_part():
    assert structure(pipeline()).splitlines() == [
        "Pipeline",
        "  prepare: ColumnTransformer",
        "    pipeline: Pipeline ['age', 'fare']",
        "      simpleimputer: SimpleImputer",
        "      standardscaler: StandardScaler",
        "    onehotencoder: OneHotEncoder make_column_selector(dtype_include=<class 'object'>)",
        "    passthrough: passthrough slice(0, 2, None)",
        "  model: LogisticRegression",
    ]
    search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [1]})
    assert structure(search).splitlines() == [
        "GridSearchCV",
        "  estimator: Pipeline",
        "    standardscaler: StandardScaler",
        "    svc: SVC",
    ]
    stack = StackingClassifier([("svc", SVC())], final_estimator=LogisticRegression())
    assert [line.strip() for line in structure(stack).splitlines()][1:] == [
        "svc: SVC",
        "final_estimator: LogisticRegression",
    ]
    assert "StandardScaler" in structure(FeatureUnion([("s", StandardScaler())])) and structure(SVC()) == ""
