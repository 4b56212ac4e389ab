"""A damaged or forged model of XGBoost, LightGBM or CatBoost is refused, and the process lives."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from boosted_models import BARE, CASES, FRAME, NUMBER, Made, answers, lightgbm, same, save

from mlops_workbench.core.manifest import write_manifest
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.runtimes.estimator import load_estimator
from mlops_workbench.serving.runtimes.model_folder import ModelFolder
from mlops_workbench.serving.runtimes.trial import try_model

#: Each of these models is loaded by another process first.
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.init(tmp_path_factory.mktemp("workspace"))


def damaged(workspace: Workspace, folder: Path, made: Made, change: Callable[[bytes], bytes]) -> Path:
    """A folder whose model was changed before its manifest was written."""
    save(workspace, folder, made)
    file = next(path for path in folder.glob("model.*"))
    file.write_bytes(change(file.read_bytes()))
    write_manifest(folder)
    return folder


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda content: b"",
    "a byte": lambda content: b"{",
    "half": lambda content: content[: len(content) // 2],
    "all but the end": lambda content: content[:-200],
    "other bytes": lambda content: np.random.default_rng(1).bytes(5000),
    "shuffled": lambda content: content[: len(content) // 2] + content[: len(content) // 2],
}


@pytest.mark.some(5)
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


def test_a_forged_booster_inside_a_skops_file_is_refused_and_the_process_lives(workspace, tmp_path) -> None:
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


def test_a_model_that_never_loads_is_refused(workspace, tmp_path) -> None:
    save(workspace, tmp_path / "m", BARE["xgboost"]())
    folder = ModelFolder.open(tmp_path / "m")
    with pytest.raises(InvalidModel, match="did not load within"):
        try_model(folder.path, folder.digest, ServingSettings(), seconds=0.01)


def test_a_trial_of_other_files_counts_for_nothing(workspace, tmp_path) -> None:
    save(workspace, tmp_path / "m", BARE["xgboost"]())
    with pytest.raises(InvalidModel, match="files of the model have changed"):
        try_model(tmp_path / "m", "0" * 64, ServingSettings())
