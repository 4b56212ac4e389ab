"""A compiled model gives the answers of the model itself, or is not used."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from fitted_models import save_fitted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import ensemble, linear_model, svm, tree
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from threadpoolctl import threadpool_limits

from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.compiled import heads
from mlops_workbench.serving.rows.batch import Batch
from mlops_workbench.serving.runtimes import proof
from mlops_workbench.serving.runtimes.estimator import Prediction, Runtime, limit_threads
from mlops_workbench.serving.runtimes.model_folder import ModelFolder
from mlops_workbench.serving.runtimes.proof import prove

_ROWS = 500
_SETTINGS = ServingSettings(allow_pickle=True)


def _table(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({f"n{i}": rng.normal(size=rows) for i in range(6)})
    table["i"] = rng.integers(0, 40, rows)
    table["b"] = rng.random(rows) > 0.5
    table.loc[rng.random(rows) < 0.1, "n1"] = np.nan
    for place, known in enumerate((2, 5, 15)):
        table[f"t{place}"] = rng.choice([f"v{x}" for x in range(known)], rows)
    table.loc[rng.random(rows) < 0.1, "t1"] = None
    return table


TABLE = _table(_ROWS, 0)
NUMBERS = [name for name in TABLE if name[0] in "nib"]
TEXTS = [name for name in TABLE if name[0] == "t"]
BARE = TABLE[NUMBERS]
FULL = BARE.fillna(0.0)
ARRAY = FULL.to_numpy(float)
TWO = (TABLE.n0 + TABLE.i / 20 + (TABLE.t0 == "v1") > 1.2).to_numpy()
THREE = pd.cut(TABLE.n0 + TABLE.i / 20, 3, labels=["low", "middle", "high"]).astype(str).to_numpy()
NUMBER = (TABLE.n0 * 3 + TABLE.i + (TABLE.t0 == "v1") * 2.5).to_numpy()
CATEGORIES = TABLE.astype(dict.fromkeys(TEXTS, "category"))


def mixed(final: Any, encoder: Any, **options: Any) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), encoder)
    return make_pipeline(ColumnTransformer([("n", numbers, NUMBERS), ("t", texts, TEXTS)], **options), final)


def library(name: str) -> Any:
    """A library that is imported only by the tests that need it; others assert that it is not there."""
    return importlib.import_module(name)


class Centred(BaseEstimator, TransformerMixin):
    """Differences from the mean of the rows that come together."""

    def fit(self, X: Any, y: Any = None) -> Centred:
        return self

    def transform(self, X: Any) -> Any:
        return np.asarray(X) - np.asarray(X).mean(axis=0)


class Doubled(TransformerMixin, BaseEstimator):
    def fit(self, X: Any, y: Any = None) -> Doubled:
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return X * 2


Make = Callable[[], tuple[Any, Any, Any]]
_hot = OneHotEncoder(handle_unknown="ignore")
_ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
_least = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60, drop="first")
_few = {"n_estimators": 12, "random_state": 0}
#: Models whose compiled form adds and compares as scikit-learn does, to the last bit.
EXACT: dict[str, Make] = {
    "forest, array": lambda: (ensemble.RandomForestClassifier(**_few), ARRAY, TWO),
    "forest, float32": lambda: (ensemble.RandomForestClassifier(**_few), ARRAY.astype(np.float32), THREE),
    "forest, missing values": lambda: (ensemble.RandomForestClassifier(**_few), BARE, THREE),
    "forest, numbers": lambda: (ensemble.RandomForestRegressor(**_few), BARE, NUMBER),
    "forest, two targets": lambda: (ensemble.RandomForestRegressor(**_few), FULL, np.c_[NUMBER, -NUMBER]),
    "extra trees": lambda: (ensemble.ExtraTreesClassifier(**_few), FULL, THREE),
    "tree": lambda: (tree.DecisionTreeClassifier(max_depth=5), BARE, THREE),
    "boosting": lambda: (ensemble.GradientBoostingClassifier(**_few), FULL, TWO),
    "boosting, three classes": lambda: (ensemble.GradientBoostingClassifier(**_few), FULL, THREE),
    "histogram boosting": lambda: (ensemble.HistGradientBoostingClassifier(max_iter=12), BARE, TWO),
    "histogram boosting, three": lambda: (ensemble.HistGradientBoostingClassifier(max_iter=6), BARE, THREE),
    "histogram boosting, counts": lambda: (
        ensemble.HistGradientBoostingRegressor(loss="poisson", max_iter=12),
        BARE,
        NUMBER - NUMBER.min(),
    ),
    "histogram boosting, categories": lambda: (
        ensemble.HistGradientBoostingClassifier(max_iter=12),
        CATEGORIES,
        TWO,
    ),
    "mixed, histogram boosting": lambda: (
        mixed(ensemble.HistGradientBoostingClassifier(max_iter=12), _hot, sparse_threshold=0),
        TABLE,
        TWO,
    ),
    "mixed, categories": lambda: (
        mixed(ensemble.HistGradientBoostingClassifier(max_iter=12), _ordinal),
        CATEGORIES,
        TWO,
    ),
    "mixed, forest": lambda: (mixed(ensemble.RandomForestRegressor(**_few), _ordinal), TABLE, NUMBER),
    "encoder, forest": lambda: (make_pipeline(_ordinal, ensemble.RandomForestClassifier(**_few)), TABLE, TWO),
    "columns of an array": lambda: (
        make_pipeline(
            SimpleImputer(add_indicator=True),
            ColumnTransformer(
                [("a", StandardScaler(), [0, 2, 3]), ("b", KBinsDiscretizer(4), [1, 4])], remainder="passthrough"
            ),
            ensemble.RandomForestClassifier(**_few),
        ),
        BARE,
        TWO,
    ),
}
#: Sums of products, of which the order depends on the shape of the array.
NEAR: dict[str, Make] = {
    "logistic": lambda: (make_pipeline(StandardScaler(), linear_model.LogisticRegression()), ARRAY, TWO),
    "logistic, three": lambda: (make_pipeline(MinMaxScaler(), linear_model.LogisticRegression()), FULL, THREE),
    "linear svc": lambda: (make_pipeline(StandardScaler(), svm.LinearSVC()), FULL, THREE),
    "components": lambda: (make_pipeline(RobustScaler(), PCA(4), linear_model.Ridge()), FULL, NUMBER),
    "polynomial": lambda: (
        make_pipeline(MaxAbsScaler(), PolynomialFeatures(2), SelectKBest(k=9), linear_model.LinearRegression()),
        FULL,
        NUMBER,
    ),
    "union": lambda: (
        make_pipeline(
            SimpleImputer(), make_union(StandardScaler(), FunctionTransformer(np.expm1)), linear_model.Ridge()
        ),
        BARE.drop(columns="i"),
        NUMBER,
    ),
    "mixed, logistic": lambda: (mixed(linear_model.LogisticRegression(max_iter=500), _hot), TABLE, THREE),
    "mixed, target encoder": lambda: (mixed(linear_model.Ridge(), TargetEncoder()), TABLE, NUMBER),
    "mixed, rare values": lambda: (mixed(linear_model.Ridge(), _least), TABLE, NUMBER),
    "mixed, no unknown values": lambda: (mixed(linear_model.Ridge(), OneHotEncoder()), TABLE, NUMBER),
    "chosen by type": lambda: (
        make_pipeline(
            make_column_transformer(
                (StandardScaler(), make_column_selector(dtype_include="number")),
                (_hot, make_column_selector(dtype_exclude="number")),
            ),
            SimpleImputer(),
            linear_model.LogisticRegression(max_iter=300),
        ),
        TABLE,
        TWO,
    ),
    "network": lambda: (mixed(MLPClassifier((6,), max_iter=20), _hot), TABLE, THREE),
    "xgboost": lambda: (library("xgboost").XGBClassifier(n_estimators=10, n_jobs=1), BARE, TWO.astype(int)),
    "xgboost, three classes": lambda: (
        library("xgboost").XGBClassifier(n_estimators=6, n_jobs=1, early_stopping_rounds=None, num_parallel_tree=1),
        BARE,
        np.unique(THREE, return_inverse=True)[1],
    ),
    "xgboost, numbers": lambda: (library("xgboost").XGBRegressor(n_estimators=10, n_jobs=1), ARRAY, NUMBER),
    "xgboost, counts": lambda: (
        mixed(library("xgboost").XGBRegressor(n_estimators=10, n_jobs=1, objective="count:poisson"), _hot),
        TABLE,
        np.abs(NUMBER).round(),
    ),
    "lightgbm": lambda: (library("lightgbm").LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1), BARE, THREE),
    "mixed, lightgbm": lambda: (
        mixed(library("lightgbm").LGBMRegressor(n_estimators=8, n_jobs=1, verbose=-1), _ordinal),
        TABLE,
        NUMBER,
    ),
}
_runtimes: dict[str, tuple[Runtime, Any]] = {}


@pytest.fixture(autouse=True)
def without_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no compiled form is answered by the model itself."""
    monkeypatch.setattr(proof, "missing_libraries", lambda: ["onnxruntime"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("compiled")


def loaded(folder: Any, name: str, made: tuple[Any, Any, Any], kind: Literal["auto", "sklearn"] = "auto") -> Runtime:
    """A model that was fitted, saved, loaded and compared with its golden set."""
    model, X, y = made
    # Threads of OpenMP wait for each other actively, on a busy machine for seconds.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        model.fit(X, y)
        place = folder / "".join(letter for letter in name if letter.isalnum())
        place.mkdir()
        save_fitted(Workspace.init(place / "w"), place / "m", model, X, y)
    limit_threads()
    found = ModelFolder.open(place / "m", _SETTINGS)
    trusted = [f"{own.__module__}.{own.__qualname__}" for own in (Doubled, Centred)]
    runtime = Runtime.load(found, ServingSettings(allow_pickle=True, trusted_types=trusted), tried=True)
    prove(runtime, found.golden, kind, name)
    return runtime


def both(runtime: Runtime, data: Any) -> tuple[Prediction, Prediction]:
    """Answers of the compiled model alone, and of the model itself."""
    assert runtime.signature.inputs is not None
    wires = runtime.signature.inputs.wire(data)
    columns = {column.name: values for column, values in zip(runtime.signature.columns, wires, strict=True)}
    batch = Batch(runtime.signature, len(data), columns)
    outputs = runtime.outputs
    program, runtime.program = runtime.program, None
    own = runtime.predict(batch, outputs)
    runtime.program = program
    # An estimator that fails if it is asked, so that the answer is that of the program.
    estimator, runtime.estimator = runtime.estimator, None
    try:
        return runtime.predict(batch, outputs), own
    finally:
        runtime.estimator = estimator


#: Variants of what others show; each saves and loads a model, which takes a second.
_LONG = {
    *("forest, float32", "extra trees", "boosting, three classes", "histogram boosting, three", "logistic, three"),
    *("components", "network", "mixed, rare values", "xgboost, three classes", "xgboost, numbers", "mixed, lightgbm"),
}


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in _LONG else name for name in (*EXACT, *NEAR)]
)
def test_a_compiled_model_gives_the_answers_of_the_model(folder, name) -> None:
    made = (EXACT | NEAR)[name]()
    runtime = loaded(folder, name, made)
    assert runtime.uncompiled == ""
    assert runtime.platform.endswith("-compiled")
    fresh = _table(300, 1)
    data = made[1]
    if isinstance(data, np.ndarray):
        rows: Any = fresh[NUMBERS].fillna(0.0).to_numpy(data.dtype)
    else:
        rows = fresh[list(data)].astype(data.dtypes.to_dict())
        rows = rows if data.isna().to_numpy().any() else rows.fillna(0.0)
    near = {"rtol": 2e-6, "atol": 1e-6} if "xgboost" in name else {"rtol": 1e-9, "atol": 1e-12}
    for part in (rows, rows[:1], rows[7:8]):
        found, own = both(runtime, part)
        for output in runtime.outputs:
            if name in EXACT or own.outputs[output].dtype.kind != "f":
                np.testing.assert_array_equal(found.outputs[output], own.outputs[output])
            else:
                np.testing.assert_allclose(found.outputs[output], own.outputs[output], **near)
            assert found.outputs[output].dtype == own.outputs[output].dtype


@pytest.fixture(scope="module")
def hot(folder: Any) -> Runtime:
    made = EXACT["mixed, histogram boosting"]()
    return loaded(folder, "property", made)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_values_that_the_model_has_not_seen_have_the_same_answers(hot: Runtime, data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 5))
    number = st.none() | st.floats(-1e6, 1e6)
    text = st.none() | st.sampled_from(["v0", "v1", "v14", "", "nan", "None", "ü", "V0"]) | st.text(max_size=3)
    table = pd.DataFrame({name: TABLE[name].iloc[:rows].to_numpy() for name in NUMBERS})
    for name in ("n0", "n1", "n5"):
        table[name] = pd.Series(data.draw(st.lists(number, min_size=rows, max_size=rows)), dtype="float64")
    for name in TEXTS:
        table[name] = pd.Series(data.draw(st.lists(text, min_size=rows, max_size=rows)), dtype="str")
    found, own = both(hot, table)
    for output in hot.outputs:
        np.testing.assert_array_equal(found.outputs[output], own.outputs[output])


def test_values_that_the_model_refuses_are_refused_by_the_model_itself(folder) -> None:
    runtime = loaded(folder, "refused", NEAR["mixed, no unknown values"]())
    rows = TABLE.iloc[:2].copy()
    rows["t0"] = "another"
    assert runtime.signature.inputs is not None
    wires = runtime.signature.inputs.wire(rows)
    columns = {column.name: values for column, values in zip(runtime.signature.columns, wires, strict=True)}
    with pytest.raises(Exception, match="unknown categories"):
        runtime.predict(Batch(runtime.signature, 2, columns), ("predict",))


def test_a_part_without_a_compiled_form_is_named(folder) -> None:
    model = make_pipeline(Doubled(), linear_model.Ridge())
    runtime = loaded(folder, "own", (model, FULL, NUMBER))
    assert runtime.program is None
    assert "Doubled is not a transformer of scikit-learn" in runtime.uncompiled
    assert runtime.platform == "sklearn"


def test_a_compiled_model_with_another_answer_is_not_used(folder, monkeypatch) -> None:
    class Wrong(heads._Forest):
        def __call__(self, block: Any, outputs: Any) -> Any:
            found = dict(super().__call__(block, outputs))
            # One row of many, as a library's fault would have it.
            odd = block[:, 0] == block[:, 0].max()
            found["predict_proba"] = np.where(odd[:, None], found["predict_proba"] + 1e-4, found["predict_proba"])
            return found

    monkeypatch.setattr(heads, "_Forest", Wrong)
    runtime = loaded(folder, "wrong", EXACT["forest, array"]())
    assert runtime.program is None
    assert "gives other answers to the" in runtime.uncompiled
    assert "predict_proba" in runtime.uncompiled


def test_an_answer_near_zero_may_be_rounded_in_another_way(folder) -> None:
    # One row by itself has such an answer; what is near to zero depends on the others.
    rows = pd.DataFrame({"bid": np.arange(300) / 7, "ask": np.arange(300) / 7, "n": np.arange(300) % 13 / 3})
    rows.loc[::5, "ask"] += 2.0
    made = linear_model.LinearRegression(), rows, (rows["ask"] - rows["bid"]) * 3
    runtime = loaded(folder, "near zero", made)
    assert runtime.program is not None, runtime.uncompiled
    native = loaded(folder, "near zero, native", made, "sklearn")
    assert native.program is None and native.is_row_wise


def test_answers_that_depend_on_the_other_rows_are_found_out(folder) -> None:
    runtime = loaded(folder, "centred", (make_pipeline(Centred(), linear_model.Ridge()), FULL, NUMBER))
    assert runtime.program is None and not runtime.is_row_wise


def test_a_defect_of_the_compiler_leaves_the_model_itself(folder, monkeypatch) -> None:
    def broken(*_: Any) -> Any:
        raise AttributeError("no such field in this version")

    monkeypatch.setattr(heads, "MergedTrees", broken)
    runtime = loaded(folder, "defect", EXACT["forest, array"]())
    assert runtime.program is None
    assert "no such field in this version" in runtime.uncompiled


def test_a_forest_of_one_tree_and_of_many_has_every_tree_once() -> None:
    from mlops_workbench.serving.compiled.trees import MergedTrees

    for size in (1, 2, 3, 7, 64, 65):
        forest = ensemble.RandomForestClassifier(size, random_state=1, max_depth=4).fit(ARRAY, THREE)
        leaves = MergedTrees([one.tree_ for one in forest.estimators_]).leaves(ARRAY)
        for number, one in enumerate(forest.estimators_):
            np.testing.assert_array_equal(leaves[number][:, 0, :], one.tree_.predict(ARRAY.astype(np.float32)))
