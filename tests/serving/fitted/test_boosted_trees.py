"""Models of XGBoost, LightGBM and CatBoost are served from their own safe formats, without a setting."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from boosted_models import (
    BARE,
    CASES,
    CATEGORIES,
    FRAME,
    NUMBER,
    TEXTS,
    TWO,
    Made,
    answers,
    catboost,
    lightgbm,
    same,
    save,
    xgboost,
)
from model_folders import Endpoint

from mlops_workbench.client.tensors import tensors
from mlops_workbench.core.boosters import CLASSES
from mlops_workbench.core.manifest import write_manifest
from mlops_workbench.core.model_schema import GOLDEN_FILE
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.runtimes.estimator import Runtime, load_estimator
from mlops_workbench.serving.runtimes.model_folder import ModelFolder

#: Each of these models is loaded by another process first.
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.init(tmp_path_factory.mktemp("workspace"))


def served(endpoint: Endpoint, X: Any, output: str) -> np.ndarray:
    answer = endpoint.v2({"inputs": tensors(X), "outputs": [{"name": output}]})
    assert answer.status_code == 200, answer.text
    found = answer.json()["outputs"][0]
    return np.array(found["data"]).reshape(found["shape"])


#: Each loads in a process of its own; the others are in the long series.
USUAL = {
    *("xgboost, three classes, array", "xgboost, two targets", "xgboost, another missing value", "xgboost, categories"),
    *("xgboost, own loss", "xgboost, booster", "lightgbm, texts", "lightgbm, categories", "lightgbm, stopped early"),
    *("lightgbm, booster", "catboost, texts", "catboost, categories"),
}


@pytest.mark.some(4)
@pytest.mark.parametrize(
    "name", [name if name in USUAL else pytest.param(name, marks=pytest.mark.long) for name in CASES]
)
def test_the_endpoint_gives_the_answers_of_the_fitted_object(serve, workspace, tmp_path, name) -> None:
    model, X, y = CASES[name]()
    record = save(workspace, tmp_path / "m", (model, X, y))
    assert (tmp_path / "m" / GOLDEN_FILE).exists()
    assert record.flavor == name.partition(",")[0]
    assert not {"cloudpickle", "pickle"} & {record.format}
    endpoint = serve(tmp_path / "m", settings=ServingSettings(log_seconds=0.2))
    same(served(endpoint, X, "predict"), answers(model, X))
    one = X[3:4]
    same(served(endpoint, one, "predict"), answers(model, one))
    if hasattr(model, "predict_proba"):
        same(served(endpoint, X, "predict_proba"), answers(model, X, "predict_proba"))


@pytest.mark.some(2)
@pytest.mark.parametrize("name", ["xgboost, categories", "xgboost, booster", "lightgbm, texts", "catboost, texts"])
def test_a_notebook_gets_an_object_of_the_class_that_was_fitted(workspace, tmp_path, name) -> None:
    model, X, y = CASES[name]()
    save(workspace, tmp_path / "m", (model, X, y))
    loaded = load_estimator(tmp_path / "m", ServingSettings())
    assert type(loaded) is type(model)
    same(answers(loaded, X), answers(model, X))


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_plain_mlflow_loads_the_same_model(workspace, tmp_path, name) -> None:
    if name == "xgboost, another missing value":
        pytest.skip("MLflow's flavor keeps no missing value")
    import mlflow

    model, X, y = CASES[name]()
    save(workspace, tmp_path / "m", (model, X, y))
    uri = str(tmp_path / "m")
    native = getattr(mlflow, name.partition(",")[0]).load_model(uri)
    same(answers(native, X), answers(model, X))
    if X is CATEGORIES:
        # MLflow's signatures have no categories: its `predict` refuses them, whatever the model.
        return
    raw = mlflow.pyfunc.load_model(uri)
    same(np.asarray(raw.predict(X)), answers(model, X))


def voting() -> Made:
    from sklearn.ensemble import VotingClassifier

    parts = [("x", xgboost("XGBClassifier", FRAME, TWO)[0]), ("l", lightgbm("LGBMClassifier", FRAME, TWO)[0])]
    return VotingClassifier(parts, voting="soft").fit(FRAME, TWO), FRAME, TWO


def calibrated() -> Made:
    from sklearn.calibration import CalibratedClassifierCV

    inner = lightgbm("LGBMClassifier", FRAME, TEXTS)[0]
    return CalibratedClassifierCV(inner, cv=2).fit(FRAME, TEXTS), FRAME, TEXTS


def pipeline() -> Made:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = ColumnTransformer([("carrier", OneHotEncoder(), ["carrier"])], remainder="passthrough")
    model = make_pipeline(columns, xgboost("XGBRegressor", FRAME, NUMBER, missing=-1.0)[0])
    X = CATEGORIES.fillna({"delay": -1.0})
    return model.fit(X, NUMBER), X, NUMBER


def search() -> Made:
    from sklearn.model_selection import GridSearchCV

    inner = lightgbm("LGBMClassifier", CATEGORIES, TEXTS)[0]
    return GridSearchCV(inner, {"num_leaves": [3, 7]}, cv=2).fit(CATEGORIES, TEXTS), CATEGORIES, TEXTS


def pipeline_of_catboost() -> Made:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), catboost("CatBoostClassifier", FRAME, TEXTS)[0])
    return model.fit(FRAME, TEXTS), FRAME, TEXTS


@pytest.mark.long
@pytest.mark.parametrize("make", [voting, calibrated, pipeline, search, pipeline_of_catboost])
def test_a_model_inside_one_of_scikit_learn_is_served_without_a_setting(serve, workspace, tmp_path, make) -> None:
    model, X, y = make()
    record = save(workspace, tmp_path / "m", (model, X, y))
    assert (record.flavor, record.format) == ("sklearn", "skops")
    endpoint = serve(tmp_path / "m", settings=ServingSettings(log_seconds=0.2))
    same(served(endpoint, X, "predict"), answers(model, X))
    if hasattr(model, "predict_proba"):
        same(served(endpoint, X, "predict_proba"), answers(model, X, "predict_proba"))


@pytest.mark.parametrize("library", BARE)
def test_a_model_that_mlflow_code_logged_is_served(serve, tmp_path, library) -> None:
    import mlflow
    from mlflow.models import infer_signature

    model, X, _ = BARE[library]() if library != "lightgbm" else lightgbm("LGBMRegressor", FRAME, NUMBER)
    options = {"pip_requirements": [library], "signature": infer_signature(X, model.predict(X))}
    options |= {"serialization_format": "skops"} if library == "lightgbm" else {}
    getattr(mlflow, library).save_model(model, str(tmp_path / "m"), **options)
    write_manifest(tmp_path / "m")
    endpoint = serve(tmp_path / "m", settings=ServingSettings(log_seconds=0.2))
    same(served(endpoint, X, "predict"), answers(model, X))


@pytest.mark.parametrize("library", BARE)
def test_the_trusted_classes_exist_and_are_all_that_the_library_has(library) -> None:
    import inspect

    module = pytest.importorskip(library)
    # Those from which XGBoost and LightGBM derive the others predict nothing that a user would fit.
    bases = {"xgboost.sklearn.XGBModel", "lightgbm.sklearn.LGBMModel"}
    found = {
        f"{kind.__module__}.{kind.__qualname__}"
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if callable(getattr(kind, "predict", None)) and not name.startswith("Dask")
    }
    assert found - bases == CLASSES[library]


def test_values_that_the_library_refuses_are_an_error_of_the_request(serve, tmp_path) -> None:
    import mlflow
    from mlflow.models import infer_signature

    X = CATEGORIES.astype({"carrier": object})
    library = pytest.importorskip("catboost")
    model = library.CatBoostRegressor(
        n_estimators=3, verbose=False, allow_writing_files=False, cat_features=["carrier"]
    )
    model.fit(X, NUMBER)
    # This signature allows a missing carrier, and the model does not.
    signature = infer_signature(X.assign(carrier=[None, *X["carrier"][1:]]), NUMBER)
    mlflow.catboost.save_model(model, str(tmp_path / "m"), signature=signature, pip_requirements=["catboost"])
    write_manifest(tmp_path / "m")
    endpoint = serve(tmp_path / "m", settings=ServingSettings(log_seconds=0.2))
    sent = tensors(X[:2])
    assert endpoint.v2({"inputs": sent}).status_code == 200
    next(one for one in sent if one["name"] == "carrier")["data"] = [None, "UA"]
    answer = endpoint.v2({"inputs": sent})
    assert answer.status_code == 400, answer.text
    assert "the model rejects these values" in answer.text


@pytest.mark.long
def test_each_request_is_answered_by_one_thread(workspace, tmp_path) -> None:
    for name in ("xgboost, numbers", "xgboost, booster", "lightgbm, numbers", "lightgbm, booster", "catboost, numbers"):
        folder = tmp_path / name
        save(workspace, folder, CASES[name]())
        loaded = load_estimator(folder, ServingSettings())
        if name.startswith("xgboost"):
            booster = loaded.get_booster() if hasattr(loaded, "get_booster") else loaded
            assert json.loads(booster.save_config())["learner"]["generic_param"]["nthread"] == "1"
        elif name == "lightgbm, numbers":
            assert loaded.n_jobs == 1
        else:
            assert 1 in loaded.predict.keywords.values()


@pytest.mark.parametrize("library", BARE)
def test_the_metadata_name_the_library_and_the_type_of_the_answers(serve, workspace, tmp_path, library) -> None:
    save(workspace, tmp_path / "m", BARE[library]())
    endpoint = serve(tmp_path / "m", settings=ServingSettings(log_seconds=0.2))
    described = endpoint.client.get("/v2/models/eta").json()
    assert described["platform"] in (library, f"{library}-compiled")
    assert described["outputs"][0]["datatype"] in ("FP32", "FP64")
    # Before any answer is known: CatBoost's regressors have classes, but none in them.
    runtime = Runtime.load(ModelFolder.open(tmp_path / "m"), ServingSettings(), tried=True)
    assert runtime.classes is None
    assert runtime.sample["predict"].dtype.kind == "f"
