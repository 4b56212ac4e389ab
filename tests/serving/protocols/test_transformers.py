"""What a model makes of its input, beside or instead of predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fitted_models import save_fitted
from mlflow.models import infer_signature
from model_folders import TRUSTED, Case, Endpoint, save_folder, tensors
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops_workbench.core.manifest import write_manifest
from mlops_workbench.core.model_schema import GOLDEN_FILE, SCHEMA_FILE, decode_schema
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.data.fitted.golden import read_golden

pytestmark = pytest.mark.process

Serve = Callable[..., Endpoint]
NUMBERS = pd.DataFrame({"a": [1.0, 2, 4, 8, 9], "b": [3.0, 1, 2, 0, 5], "c": [0.5, 1, 0, 1, 1]})
TEXTS = pd.DataFrame({"text": ["good flight", "bad delay", "good delay", "bad bad flight"]})
ONLY: dict[str, tuple[Any, Any, Any]] = {
    "scaler": (StandardScaler(), NUMBERS, NUMBERS),
    "pipeline": (make_pipeline(StandardScaler(), PCA(2)), NUMBERS, NUMBERS),
    "sparse": (OneHotEncoder(), TEXTS, TEXTS),
    "texts": (TfidfVectorizer(), TEXTS, TEXTS["text"]),
}


def saved(path: Path, model: Any, rows: Any) -> Path:
    signature = infer_signature(rows, np.zeros((len(rows), 2)))
    mlflow.sklearn.save_model(
        model,
        str(path),
        signature=signature,
        serialization_format="skops",
        skops_trusted_types=TRUSTED,
        pip_requirements=["scikit-learn"],
    )
    write_manifest(path)
    return path


def transformed(answer: Any) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    one = next(one for one in answer.json()["outputs"] if one["name"] == "transform")
    return np.array(one["data"]).reshape(one["shape"])


@pytest.mark.parametrize("name", ONLY)
def test_a_model_that_only_transforms_is_served(serve: Serve, tmp_path: Path, name: str) -> None:
    estimator, frame, rows = ONLY[name]
    model = estimator.fit(rows)
    endpoint = serve(saved(tmp_path / "model", model, rows))
    made = model.transform(rows)
    want = np.asarray(made.toarray() if hasattr(made, "toarray") else made)
    np.testing.assert_allclose(transformed(endpoint.v2({"inputs": tensors(frame)})), want)
    answer = endpoint.invoke({"dataframe_records": frame.to_dict(orient="records")})
    np.testing.assert_allclose(answer.json()["predictions"], want)
    assert [one["name"] for one in endpoint.client.get("/v2/models/eta").json()["outputs"]] == ["transform"]
    assert endpoint.v2({"inputs": tensors(frame), "outputs": [{"name": "predict"}]}).status_code == 400
    endpoint.service.close()
    logged = pq.read_table(endpoint.folder / "predictions")
    assert (len(logged), logged["prediction"].null_count) == (2 * len(rows), 2 * len(rows))


def test_transform_of_a_model_that_predicts_is_answered_only_when_it_is_asked_for(serve: Serve, tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), KMeans(2, n_init=1, random_state=0)).fit(NUMBERS)
    endpoint = serve(save_folder(tmp_path / "model", model, NUMBERS))
    inputs = tensors(NUMBERS)
    names = [one["name"] for one in endpoint.v2({"inputs": inputs}).json()["outputs"]]
    assert names == ["predict"]
    outputs = [{"name": "transform"}, {"name": "predict"}]
    both = endpoint.v2({"inputs": inputs, "outputs": outputs})
    np.testing.assert_allclose(transformed(both), model.transform(NUMBERS))
    assert both.json()["outputs"][1]["data"] == model.predict(NUMBERS).tolist()
    metadata = endpoint.client.get("/v2/models/eta").json()["outputs"]
    assert metadata[1] == {
        "name": "transform",
        "datatype": "FP64",
        "shape": [-1, 2],
        "parameters": {"optional": True},
    }
    assert (
        endpoint.invoke({"inputs": NUMBERS.to_dict(orient="list")}).json()["predictions"]
        == both.json()["outputs"][1]["data"]
    )


def test_what_a_transformer_makes_is_in_its_golden_set(serve: Serve, tmp_path: Path) -> None:
    workspace = Workspace.init(tmp_path)
    model = make_pipeline(StandardScaler(), PCA(2)).fit(NUMBERS)
    record = save_fitted(workspace, tmp_path / "model", model, NUMBERS)
    assert not record.problem
    schema = decode_schema((tmp_path / "model" / SCHEMA_FILE).read_bytes())
    assert [(one.name, one.width) for one in schema.outputs] == [("transform", 2)]
    golden = read_golden((tmp_path / "model" / GOLDEN_FILE).read_bytes(), schema)
    assert list(golden[0].answers) == ["transform:0", "transform:1"]
    np.testing.assert_array_equal(golden[0].answers["transform:1"].to_numpy(), model.transform(NUMBERS)[:, 1])
    endpoint = serve(tmp_path / "model")
    np.testing.assert_allclose(transformed(endpoint.v2({"inputs": tensors(NUMBERS)})), model.transform(NUMBERS))
    # A vectoriser may make a hundred thousand columns, which are not kept for a thousand rows.
    texts = [f"{word}{number}" for word in ("a", "b") for number in range(200)]
    wide = TfidfVectorizer().fit(texts)
    assert not save_fitted(workspace, tmp_path / "wide", wide, texts).problem
    assert not (tmp_path / "wide" / GOLDEN_FILE).exists()
    assert serve(tmp_path / "wide").invoke({"inputs": ["a1", "b2"]}).status_code == 200


def test_a_model_with_neither_is_refused(serve: Serve, cases: Callable[[str], Case], tmp_path: Path) -> None:
    from sklearn.cluster import DBSCAN

    from mlops_workbench.serving.errors import InvalidModel

    with pytest.raises(InvalidModel, match="DBSCAN has no predict or transform method"):
        serve(saved(tmp_path / "model", DBSCAN().fit(NUMBERS), NUMBERS))
