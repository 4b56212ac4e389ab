"""Models of XGBoost, LightGBM and CatBoost are served from their own safe formats, without a setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitted_models import save_fitted
from model_folders import Endpoint

from mlops_workbench.client.tensors import tensors
from mlops_workbench.core.boosters import CLASSES
from mlops_workbench.core.manifest import write_manifest
from mlops_workbench.core.model_schema import GOLDEN_FILE
from mlops_workbench.core.records import Model
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.runtimes.estimator import Runtime, load_estimator
from mlops_workbench.serving.runtimes.model_folder import ModelFolder
from mlops_workbench.serving.runtimes.trial import try_model

#: Each of these models is loaded by another process first.
pytestmark = pytest.mark.process

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


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.init(tmp_path_factory.mktemp("workspace"))


def answers(model: Any, X: Any, method: str = "predict") -> np.ndarray:
    """Answers of the fitted object to a table; a bare booster of XGBoost takes only its own matrices."""
    if type(model).__module__ == "xgboost.core":
        import xgboost as library

        return model.predict(library.DMatrix(X, enable_categorical=True))
    return np.asarray(getattr(model, method)(X))


def served(endpoint: Endpoint, X: Any, output: str) -> np.ndarray:
    answer = endpoint.v2({"inputs": tensors(X), "outputs": [{"name": output}]})
    assert answer.status_code == 200, answer.text
    found = answer.json()["outputs"][0]
    return np.array(found["data"]).reshape(found["shape"])


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    if expected.dtype.kind == "f":
        # JSON has the digits of a float64, of a float32 those that make it out.
        np.testing.assert_array_equal(found.astype(expected.dtype), expected)
    else:
        np.testing.assert_array_equal(found, expected)


def save(workspace: Workspace, folder: Path, made: Made) -> Model:
    record = save_fitted(workspace, folder, *made)
    assert not record.problem
    assert not record.untrusted
    return record


@pytest.mark.parametrize("name", CASES)
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


@pytest.mark.parametrize("name", ["xgboost, categories", "xgboost, booster", "lightgbm, texts", "catboost, texts"])
def test_a_notebook_gets_an_object_of_the_class_that_was_fitted(workspace, tmp_path, name) -> None:
    model, X, y = CASES[name]()
    save(workspace, tmp_path / "m", (model, X, y))
    loaded = load_estimator(tmp_path / "m", ServingSettings())
    assert type(loaded) is type(model)
    same(answers(loaded, X), answers(model, X))


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


def damaged(workspace: Workspace, folder: Path, made: Made, change: Callable[[bytes], bytes]) -> Path:
    """A folder whose model was changed before its manifest was written."""
    save(workspace, folder, made)
    file = next(path for path in folder.glob("model.*"))
    file.write_bytes(change(file.read_bytes()))
    write_manifest(folder)
    return folder


BARE = {
    "xgboost": lambda: xgboost("XGBRegressor", FRAME, NUMBER),
    "lightgbm": lambda: lightgbm("LGBMRegressor", FRAME, NUMBER, objective=squared_loss),
    "catboost": lambda: catboost("CatBoostRegressor", FRAME, NUMBER),
}
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda content: b"",
    "a byte": lambda content: b"{",
    "half": lambda content: content[: len(content) // 2],
    "all but the end": lambda content: content[:-200],
    "other bytes": lambda content: np.random.default_rng(1).bytes(5000),
    "shuffled": lambda content: content[: len(content) // 2] + content[: len(content) // 2],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("library", BARE)
def test_a_damaged_file_is_refused_and_the_process_lives(workspace, tmp_path, library, change) -> None:
    folder = damaged(workspace, tmp_path / "m", BARE[library](), CHANGES[change])
    with pytest.raises(InvalidModel):
        load_estimator(folder, ServingSettings())


def test_a_forged_tree_of_lightgbm_that_ends_the_process_is_refused(workspace, tmp_path) -> None:
    def forge(content: bytes) -> bytes:
        start = content.index(b"left_child=") + len(b"left_child=")
        return content[:start] + b"99999999" + content[start + 1 :]

    folder = damaged(workspace, tmp_path / "m", BARE["lightgbm"](), forge)
    with pytest.raises(InvalidModel, match=r"the process that loaded it|cannot read"):
        load_estimator(folder, ServingSettings())


CUTS: dict[str, Callable[[bytes], bytes]] = {
    # LightGBM takes what is left as a smaller model.
    "lightgbm": lambda content: content[: content.index(b"Tree=4\n")],
    # CatBoost reads bytes beyond the end, where often the same content is left.
    "catboost": lambda content: content[:-8],
    "xgboost": lambda content: content[:-8],
}


@pytest.mark.parametrize("library", CUTS)
def test_a_file_that_was_cut_is_refused_also_without_answers_to_compare(tmp_path, library) -> None:
    import mlflow
    from mlflow.models import infer_signature

    model, X, _ = lightgbm("LGBMRegressor", FRAME, NUMBER) if library == "lightgbm" else BARE[library]()
    saved, signature = getattr(model, "booster_", model), infer_signature(X, model.predict(X))
    getattr(mlflow, library).save_model(saved, str(tmp_path / "m"), signature=signature, pip_requirements=[library])
    write_manifest(tmp_path / "m")
    same(answers(load_estimator(tmp_path / "m", ServingSettings()), X), answers(model, X))
    (file,) = (tmp_path / "m").glob("model.*")
    file.write_bytes(CUTS[library](file.read_bytes()))
    write_manifest(tmp_path / "m")
    with pytest.raises(InvalidModel, match="cannot read the model"):
        load_estimator(tmp_path / "m", ServingSettings())


def edit(folder: Path, old: str, new: str) -> None:
    description = folder / "MLmodel"
    text = description.read_text(encoding="utf-8")
    assert old in text
    description.write_text(text.replace(old, new), encoding="utf-8")
    write_manifest(folder)


@pytest.mark.parametrize(
    ("library", "old", "new"),
    [
        ("xgboost", "xgboost.sklearn.XGBRegressor", "subprocess.Popen"),
        ("xgboost", "xgboost.sklearn.XGBRegressor", "xgboost.sklearn.os.system"),
        ("xgboost", "model_format: ubj", "model_format: xgb"),
        ("catboost", "model_type: CatBoostRegressor", "model_type: Pool"),
        ("catboost", "save_format: cbm", "save_format: python"),
    ],
)
def test_a_description_that_names_another_class_or_format_is_refused(workspace, tmp_path, library, old, new) -> None:
    save(workspace, tmp_path / "m", BARE[library]())
    edit(tmp_path / "m", old, new)
    with pytest.raises(InvalidModel, match=r"endpoints (load|do not read)|is not a class"):
        load_estimator(tmp_path / "m", ServingSettings())


def test_a_missing_library_is_named_with_the_command_that_installs_it(workspace, tmp_path, monkeypatch) -> None:
    import sys

    save(workspace, tmp_path / "m", BARE["xgboost"]())
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(InvalidModel, match="needs xgboost") as refused:
        load_estimator(tmp_path / "m", ServingSettings())
    assert "pip install xgboost" in refused.value.hint


def test_forged_options_are_refused(workspace, tmp_path) -> None:
    save(workspace, tmp_path / "m", CASES["xgboost, another missing value"]())
    (tmp_path / "m" / "mlops" / "booster.json").write_text(json.dumps({"missing": "os.system"}))
    write_manifest(tmp_path / "m")
    with pytest.raises(InvalidModel, match="options of the model are damaged"):
        load_estimator(tmp_path / "m", ServingSettings())


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


@pytest.mark.parametrize("make", [voting, calibrated, pipeline, search, pipeline_of_catboost])
def test_a_model_inside_one_of_scikit_learn_is_served_without_a_setting(serve, workspace, tmp_path, make) -> None:
    model, X, y = make()
    record = save(workspace, tmp_path / "m", (model, X, y))
    assert (record.flavor, record.format) == ("sklearn", "skops")
    endpoint = serve(tmp_path / "m", settings=ServingSettings(log_seconds=0.2))
    same(served(endpoint, X, "predict"), answers(model, X))
    if hasattr(model, "predict_proba"):
        same(served(endpoint, X, "predict_proba"), answers(model, X, "predict_proba"))


def test_a_forged_booster_inside_a_skops_file_is_refused_and_the_process_lives(workspace, tmp_path) -> None:
    import zipfile

    save(workspace, tmp_path / "m", lightgbm("LGBMRegressor", FRAME, NUMBER))
    file = tmp_path / "m" / "model.skops"
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    schema = content["schema.json"].decode()
    start = schema.index("left_child=") + len("left_child=")
    content["schema.json"] = (schema[:start] + "99999999" + schema[start + 1 :]).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    write_manifest(tmp_path / "m")
    with pytest.raises(InvalidModel, match=r"the process that loaded it|cannot be loaded"):
        load_estimator(tmp_path / "m", ServingSettings())


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


def test_a_model_that_never_loads_is_refused(workspace, tmp_path) -> None:
    save(workspace, tmp_path / "m", BARE["xgboost"]())
    folder = ModelFolder.open(tmp_path / "m")
    with pytest.raises(InvalidModel, match="did not load within"):
        try_model(folder.path, folder.digest, ServingSettings(), seconds=0.01)


def test_a_trial_of_other_files_counts_for_nothing(workspace, tmp_path) -> None:
    save(workspace, tmp_path / "m", BARE["xgboost"]())
    with pytest.raises(InvalidModel, match="files of the model have changed"):
        try_model(tmp_path / "m", "0" * 64, ServingSettings())


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
    assert described["platform"] == library
    assert described["outputs"][0]["datatype"] in ("FP32", "FP64")
    # Before any answer is known: CatBoost's regressors have classes, but none in them.
    runtime = Runtime.load(ModelFolder.open(tmp_path / "m"), ServingSettings(), tried=True)
    assert runtime.classes is None
    assert runtime.sample["predict"].dtype.kind == "f"
