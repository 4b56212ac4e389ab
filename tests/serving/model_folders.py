"""Model folders as the registry exports them, made with plain MLflow, and a served one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd

from mlops_workbench.core.manifest import write_manifest

TRUSTED = [
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.compose._column_transformer._RemainderColsList",
    "numpy.dtype",
    "functools.partial",
    "sklearn.utils.validation.check_array",
]


def save_folder(path: Path, estimator: Any, example: Any, **options: Any) -> Path:
    """Save with MLflow as skops, with a signature inferred from the example, and write the manifest."""
    import mlflow
    from mlflow.models import infer_signature

    rows = example if "rows" not in options else options.pop("rows")
    keep = options.pop("input_example", True)
    settings = {"serialization_format": "skops", "skops_trusted_types": TRUSTED, **options}
    mlflow.sklearn.save_model(
        estimator,
        str(path),
        signature=infer_signature(rows, estimator.predict(rows)),
        input_example=example[:3] if keep else None,
        pip_requirements=["scikit-learn"],
        **settings,
    )
    write_manifest(path)
    return path


@dataclass
class Case:
    """A saved model, the rows to ask it about, and the estimator as it was fitted."""

    folder: Path
    estimator: Any
    rows: Any


def table(rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Mixed columns with missing values, a space and non-ASCII letters in names and values."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "dep delay": rng.normal(10, 30, rows),
            "distance": rng.integers(100, 3000, rows),
            "träger": rng.choice(["AA", "UA", "ÅÄ"], rows),
            "night": rng.random(rows) > 0.5,
            "day": pd.date_range("2013-01-01", periods=rows, freq="D"),
        }
    )
    frame.loc[1::7, "dep delay"] = np.nan
    frame.loc[2::9, "träger"] = None
    return frame


def _mixed_pipeline(last: Any) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    prepare = ColumnTransformer(
        [
            ("number", make_pipeline(SimpleImputer(), StandardScaler()), ["dep delay", "distance"]),
            ("text", text, ["träger"]),
            ("day", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["day"]),
        ],
        remainder="passthrough",
    )
    return make_pipeline(prepare, last)


def build(name: str, path: Path) -> Case:
    """One of the named cases."""
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import make_pipeline

    rng = np.random.default_rng(1)
    frame = table()
    numbers = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60), "n": rng.integers(0, 9, 60)})
    target = numbers["a"] * 2 - numbers["b"] + numbers["n"]
    matrix = rng.normal(size=(60, 3))
    labels = np.where(target > target.median(), "late", "on time")
    texts = pd.DataFrame({"text": ["good flight", "bad delay"] * 30})
    match name:
        case "linear":
            model, rows = LinearRegression().fit(numbers, target), numbers
        case "forest":
            model, rows = RandomForestRegressor(5, n_jobs=2, random_state=0).fit(matrix, matrix[:, 0]), matrix
        case "boosted":
            data = numbers.assign(a=numbers["a"].where(numbers.index % 5 > 0))
            model, rows = HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=2).fit(data, target), data
        case "mixed":
            model, rows = _mixed_pipeline(Ridge()).fit(frame, target), frame
        case "text labels":
            model, rows = RandomForestClassifier(5, random_state=0).fit(numbers, labels), numbers
        case "int labels":
            model, rows = LogisticRegression().fit(matrix, (matrix.sum(axis=1) > 0).astype(int) + 3), matrix
        case "categories":
            data = frame[["distance", "träger"]].fillna({"träger": "AA"}).astype({"träger": "category"})
            model = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=2, categorical_features="from_dtype")
            model, rows = model.fit(data, target), data
        case "two targets":
            model = MultiOutputRegressor(LinearRegression()).fit(matrix, matrix[:, :2])
            rows = matrix
        case "texts":
            model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts["text"], ["up", "down"] * 30)
            return Case(save_folder(path, model, texts, rows=texts["text"], input_example=False), model, texts)
        case _:
            raise ValueError(name)
    folder = save_folder(path, model, rows)
    if name == "forest":
        # Threads add up the trees in any order, which changes the last digit; an endpoint uses one.
        model.n_jobs = 1
    return Case(folder, model, rows)


@dataclass
class Endpoint:
    """An application in this process, asked over real sockets."""

    client: httpx.Client
    url: str
    service: Any
    folder: Path

    def v2(self, body: Any, path: str = "/v2/models/eta/infer", **options: Any) -> httpx.Response:
        return self.client.post(path, json=body, **options)

    def invoke(self, body: Any, **options: Any) -> httpx.Response:
        return self.client.post("/invocations", json=body, **options)


def tensors(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A tensor per column, as a careful client would write them."""
    kinds = {"f": "FP64", "i": "INT64", "b": "BOOL"}
    result = []
    for name in frame.columns:
        values = [None if pd.isna(v) else v.isoformat() if hasattr(v, "isoformat") else v for v in frame[name].tolist()]
        datatype = kinds.get(frame[name].dtype.kind, "BYTES")
        result.append({"name": name, "datatype": datatype, "shape": [len(frame)], "data": values})
    return result
