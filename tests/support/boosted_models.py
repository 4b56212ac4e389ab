"""Fitted models of XGBoost, LightGBM and CatBoost, and their own answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitted_models import save_fitted

from mlops_workbench.core.records import Model
from mlops_workbench.core.workspace import Workspace

ROWS = 160
RANDOM = np.random.default_rng(5)
FRAME = pd.DataFrame(
    {
        "delay": RANDOM.normal(10, 30, ROWS),
        "distance": RANDOM.integers(100, 3000, ROWS),
        "wind": RANDOM.normal(size=ROWS),
    }
)
GAPS = FRAME.assign(delay=FRAME["delay"].where(RANDOM.random(ROWS) > 0.2))
CATEGORIES = GAPS.assign(
    carrier=pd.Categorical(RANDOM.choice(["UA", "AA", "ÅÄ"], ROWS), categories=["ÅÄ", "UA", "AA", "ZZ"])
)
SCORE = FRAME["delay"] / 30 + FRAME["wind"] + RANDOM.normal(0, 0.3, ROWS)
TWO = (SCORE.median() < SCORE).astype(int).to_numpy()
THREE = np.digitize(SCORE, np.quantile(SCORE, [0.3, 0.7]))
TEXTS = np.array(["on time", "late", "cancelled"])[THREE]
NUMBER = SCORE.to_numpy()
QUERIES = np.repeat(np.arange(ROWS // 8), 8)

Made = tuple[Any, Any, Any]


def xgboost(name: str, X: Any, y: Any, fit: dict[str, Any] | None = None, **settings: Any) -> Made:
    library = pytest.importorskip("xgboost")
    model = getattr(library, name)(n_estimators=8, enable_categorical=True, **settings)
    return model.fit(X, y, **(fit or {})), X, y


def lightgbm(name: str, X: Any, y: Any, fit: dict[str, Any] | None = None, **settings: Any) -> Made:
    library = pytest.importorskip("lightgbm")
    model = getattr(library, name)(**{"n_estimators": 8, "min_child_samples": 3, "verbose": -1, **settings})
    return model.fit(X, y, **(fit or {})), X, y


def catboost(name: str, X: Any, y: Any, fit: dict[str, Any] | None = None, **settings: Any) -> Made:
    library = pytest.importorskip("catboost")
    texts = [column for column in getattr(X, "columns", []) if X[column].dtype == "category"]
    options = {"n_estimators": 8, "verbose": False, "allow_writing_files": False, "thread_count": 1, **settings}
    if texts:
        options["cat_features"] = texts
    # The class for any loss takes them as one argument.
    model = library.CatBoost(options) if name == "CatBoost" else getattr(library, name)(**options)
    return model.fit(X, y, **(fit or {})), X, y


def xgboost_booster() -> Made:
    library = pytest.importorskip("xgboost")
    matrix = library.DMatrix(CATEGORIES, NUMBER, enable_categorical=True)
    return library.train({"max_depth": 3}, matrix, 6), CATEGORIES, NUMBER


def lightgbm_booster() -> Made:
    library = pytest.importorskip("lightgbm")
    data = library.Dataset(CATEGORIES, TWO)
    checked = library.Dataset(CATEGORIES[:60], TWO[:60], reference=data)
    stop = [library.early_stopping(2, verbose=False)]
    settings = {"objective": "binary", "verbose": -1, "learning_rate": 0.9}
    return library.train(settings, data, 60, valid_sets=[checked], callbacks=stop), CATEGORIES, TWO


def lightgbm_stopped() -> Made:
    library = pytest.importorskip("lightgbm")
    fit = {"eval_set": [(FRAME[:60], TEXTS[:60])], "callbacks": [library.early_stopping(2, verbose=False)]}
    return lightgbm("LGBMClassifier", FRAME, TEXTS, fit, n_estimators=200, learning_rate=0.9)


def squared_loss(y: Any, answer: Any) -> Any:
    return answer - y, np.ones(len(y))


#: A fitted object with its training data, by library and what is special about it.
CASES: dict[str, Callable[[], Made]] = {
    "xgboost, two classes": lambda: xgboost("XGBClassifier", FRAME, TWO),
    "xgboost, three classes, array": lambda: xgboost("XGBClassifier", FRAME.to_numpy(), THREE),
    "xgboost, several labels": lambda: xgboost("XGBClassifier", FRAME, np.stack([TWO, 1 - TWO], axis=1)),
    "xgboost, numbers": lambda: xgboost("XGBRegressor", FRAME, NUMBER, base_score=3.0, n_jobs=2),
    "xgboost, two targets": lambda: xgboost("XGBRegressor", FRAME, np.stack([NUMBER, -NUMBER], axis=1)),
    "xgboost, linear": lambda: xgboost("XGBRegressor", FRAME, NUMBER, booster="gblinear"),
    "xgboost, dart": lambda: xgboost("XGBRegressor", FRAME, NUMBER, booster="dart", rate_drop=0.5),
    "xgboost, missing values": lambda: xgboost("XGBClassifier", GAPS, TWO),
    "xgboost, another missing value": lambda: xgboost("XGBRegressor", GAPS.fillna(-999.0), NUMBER, missing=-999.0),
    "xgboost, categories": lambda: xgboost("XGBClassifier", CATEGORIES, THREE),
    "xgboost, stopped early": lambda: xgboost(
        "XGBRegressor", FRAME, NUMBER, {"eval_set": [(FRAME[:60], -NUMBER[:60])], "verbose": False},
        early_stopping_rounds=2,
    ),
    "xgboost, own loss": lambda: xgboost("XGBRegressor", FRAME, NUMBER, objective=squared_loss),
    "xgboost, ranking": lambda: xgboost("XGBRanker", FRAME, THREE, {"qid": QUERIES}),
    "xgboost, forest of classes": lambda: xgboost("XGBRFClassifier", FRAME, THREE),
    "xgboost, forest": lambda: xgboost("XGBRFRegressor", FRAME, NUMBER),
    "xgboost, booster": xgboost_booster,
    "lightgbm, texts": lambda: lightgbm("LGBMClassifier", FRAME, TEXTS),
    "lightgbm, two texts, array": lambda: lightgbm("LGBMClassifier", FRAME.to_numpy(), np.array(["no", "yes"])[TWO]),
    "lightgbm, integers": lambda: lightgbm("LGBMClassifier", FRAME, THREE * 10),
    "lightgbm, booleans": lambda: lightgbm("LGBMClassifier", FRAME, TWO == 1),
    "lightgbm, numbers": lambda: lightgbm("LGBMRegressor", FRAME, NUMBER, n_jobs=2),
    "lightgbm, missing values": lambda: lightgbm("LGBMRegressor", GAPS, NUMBER),
    "lightgbm, categories": lambda: lightgbm("LGBMClassifier", CATEGORIES, TEXTS),
    "lightgbm, stopped early": lightgbm_stopped,
    "lightgbm, own loss": lambda: lightgbm("LGBMRegressor", FRAME, NUMBER, objective=squared_loss),
    "lightgbm, ranking": lambda: lightgbm("LGBMRanker", FRAME, THREE, {"group": np.full(ROWS // 8, 8)}),
    "lightgbm, booster": lightgbm_booster,
    "catboost, texts": lambda: catboost("CatBoostClassifier", FRAME, TEXTS),
    "catboost, two texts, array": lambda: catboost(
        "CatBoostClassifier", FRAME.to_numpy(), np.array(["no", "yes"])[TWO]
    ),
    "catboost, integers": lambda: catboost("CatBoostClassifier", FRAME, THREE * 10),
    "catboost, numbers": lambda: catboost("CatBoostRegressor", FRAME, NUMBER),
    "catboost, two targets": lambda: catboost(
        "CatBoostRegressor", FRAME, np.stack([NUMBER, -NUMBER], axis=1), loss_function="MultiRMSE"
    ),
    "catboost, missing values": lambda: catboost("CatBoostRegressor", GAPS, NUMBER),
    "catboost, categories": lambda: catboost("CatBoostClassifier", CATEGORIES, TEXTS),
    "catboost, stopped early": lambda: catboost(
        "CatBoostRegressor", FRAME, NUMBER, {"eval_set": (FRAME[:60], -NUMBER[:60])}, early_stopping_rounds=2
    ),
    "catboost, ranking": lambda: catboost(
        "CatBoostRanker", FRAME, THREE, {"group_id": QUERIES}, loss_function="YetiRank"
    ),
    "catboost, any loss": lambda: catboost("CatBoost", FRAME, NUMBER),
}  # fmt: skip


#: A model of each library that is saved in the library's own file.
BARE = {
    "xgboost": lambda: xgboost("XGBRegressor", FRAME, NUMBER),
    "lightgbm": lambda: lightgbm("LGBMRegressor", FRAME, NUMBER, objective=squared_loss),
    "catboost": lambda: catboost("CatBoostRegressor", FRAME, NUMBER),
}


def answers(model: Any, X: Any, method: str = "predict") -> np.ndarray:
    """Answers of the fitted object to a table; a bare booster of XGBoost takes only its own matrices."""
    if type(model).__module__ == "xgboost.core":
        import xgboost as library

        return model.predict(library.DMatrix(X, enable_categorical=True))
    return np.asarray(getattr(model, method)(X))


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    if expected.dtype == np.float32:
        # XGBoost's; the compiled form adds and compares as it does, but its exponential differs in the last digit.
        np.testing.assert_allclose(found.astype(expected.dtype), expected, rtol=2e-6, atol=1e-6)
    elif expected.dtype.kind == "f":
        # JSON has the digits of a float64, of a float32 those that make it out.
        np.testing.assert_array_equal(found.astype(expected.dtype), expected)
    else:
        np.testing.assert_array_equal(found, expected)


def save(workspace: Workspace, folder: Path, made: Made) -> Model:
    record = save_fitted(workspace, folder, *made)
    assert not record.problem
    assert not record.untrusted
    return record
