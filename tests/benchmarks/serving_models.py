"""The models of the benchmark of endpoints: what they are fitted on, and the rows that requests ask.

``python serving_models.py NAME [VERSIONS]`` in a workspace fits a model and logs it with runs ``NAME-1``, ``NAME-2``
and so on, as a notebook does; it also leaves the fitted objects in ``fitted/``, for the comparison of answers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

#: Rows that a model is fitted on, and rows that requests ask.
TRAINED, ASKED = 2000, 512
_TEXTS = ("north", "south", "east", "west")


@dataclass(frozen=True)
class Case:
    """A model that is not fitted, its training data, and rows to ask, which it was not fitted on."""

    model: Any
    X: pd.DataFrame
    y: np.ndarray
    rows: pd.DataFrame


def forest(version: int) -> Case:
    """A forest of 100 trees on 30 columns."""
    return _numbers(RandomForestClassifier(100, random_state=version), 30)


def linear(version: int) -> Case:
    """Scaler and logistic regression on 30 columns."""
    return _numbers(make_pipeline(StandardScaler(), LogisticRegression(C=1 / version, max_iter=1000)), 30)


def cols600(version: int) -> Case:
    """The same on 600 columns."""
    return _numbers(make_pipeline(StandardScaler(), LogisticRegression(C=1 / version, max_iter=1000)), 600)


def xgboost(version: int) -> Case:
    """Boosted trees of XGBoost on 30 columns."""
    from xgboost import XGBClassifier

    return _numbers(XGBClassifier(n_estimators=100, random_state=version), 30)


def mixed(version: int) -> Case:
    """Imputers, scaler and encoder before boosted trees: 14 numbers, 6 texts, missing values and unseen categories."""
    draws = np.random.default_rng(13)
    X = pd.DataFrame({f"n{i}": draws.normal(size=TRAINED + ASKED) for i in range(14)})
    for i in range(6):
        X[f"t{i}"] = draws.choice(_TEXTS, TRAINED + ASKED)
    y = ((X["n0"] + X["n1"] * (X["t0"] == "north") - (X["t1"] == "west")) > 0).to_numpy().astype(int)
    gaps = draws.random(X.shape) < 0.05
    X = X.mask(gaps)
    # A category that the model has not seen, in every eighth row that is asked.
    X.loc[X.index[TRAINED::8], "t2"] = "elsewhere"
    return Case(_columns(HistGradientBoostingClassifier(random_state=version)), X[:TRAINED], y[:TRAINED], X[TRAINED:])


def places(version: int) -> Case:
    """Linear regression whose answer tells which row was asked: the row's number, 0 for the first."""
    X = pd.DataFrame({"high": np.arange(TRAINED) // 100.0, "low": np.arange(TRAINED) % 100.0, "shift": 0.0})
    X["shift"] = np.random.default_rng(version).integers(0, 10, TRAINED).astype(float)
    y = (X["high"] * 100 + X["low"] + X["shift"] * TRAINED).to_numpy()
    return Case(LinearRegression(), X, y, X.head(ASKED))


def named_places(version: int) -> Case:
    """The same with a text for the hundreds, through imputers and an encoder."""
    X = pd.DataFrame({"high": [f"h{n // 100}" for n in range(TRAINED)], "low": np.arange(TRAINED) % 100.0})
    y = np.arange(TRAINED, dtype=float)
    return Case(_columns(LinearRegression(), ["low"], ["high"]), X, y, X.head(ASKED))


CASES: dict[str, Callable[[int], Case]] = {
    "forest": forest, "linear": linear, "mixed": mixed, "xgboost": xgboost, "cols600": cols600,
    "places": places, "named_places": named_places,
}  # fmt: skip


def bodies(rows: pd.DataFrame, size: int) -> list[bytes]:
    """Bodies of ``/invocations`` (``dataframe_split``), of `size` rows each."""
    return [body(rows.iloc[start : start + size]) for start in range(0, len(rows) - size + 1, size)]


def body(rows: pd.DataFrame) -> bytes:
    """Body of ``/invocations`` for these rows; a missing value is null."""
    values = rows.astype(object).where(rows.notna(), None).to_numpy().tolist()
    return json.dumps({"dataframe_split": {"columns": list(rows.columns), "data": values}}).encode()


def fitted(root: Path, name: str, version: int = 1) -> Any:
    """The fitted object that was logged with a run in this workspace."""
    return joblib.load(root / "fitted" / f"{name}-{version}.joblib")


def _numbers(model: Any, columns: int) -> Case:
    draws = np.random.default_rng(columns)
    values = draws.normal(size=(TRAINED + ASKED, columns))
    y = (values[:, :10] @ draws.normal(size=10) + draws.normal(size=len(values)) > 0).astype(int)
    X = pd.DataFrame(values, columns=[f"f{i}" for i in range(columns)])
    return Case(model, X[:TRAINED], y[:TRAINED], X[TRAINED:])


def _columns(model: Any, numbers: list[str] | None = None, texts: list[str] | None = None) -> Pipeline:
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    before = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers or [f"n{i}" for i in range(14)]),
            (
                "texts",
                make_pipeline(SimpleImputer(strategy="most_frequent"), encode),
                texts or [f"t{i}" for i in range(6)],
            ),
        ]
    )
    return make_pipeline(before, model)


def _log(name: str, versions: int) -> None:
    from mlops_workbench import track

    Path("fitted").mkdir(exist_ok=True)
    for version in range(1, versions + 1):
        case = CASES[name](version)
        # Threads that wait for each other take long on a machine that is busy.
        with threadpool_limits(1), track(f"{name}-{version}") as run:
            model = case.model.fit(case.X, case.y)
            run.log(accuracy=float(model.score(case.X, case.y)))
            run.log_model(model, X=case.X, y=case.y)
        joblib.dump(model, Path("fitted") / f"{name}-{version}.joblib")


if __name__ == "__main__":
    _log(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
