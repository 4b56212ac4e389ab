"""A model folder is verified before it is used, and only trusted types are loaded."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_folders import TRUSTED, Case, save_folder, table, write_manifest
from sklearn import linear_model
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import all_estimators

from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.trust import TRUSTED_TYPES
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.routing.router import load_version
from mlops_workbench.serving.rows.signature import InputColumn, Signature
from mlops_workbench.serving.runtimes.estimator import Runtime, load_estimator
from mlops_workbench.serving.runtimes.loading import is_public_estimator
from mlops_workbench.serving.runtimes.model_folder import ModelFolder

Cases = Callable[[str], Case]
SETTINGS = ServingSettings()


class Offset(RegressorMixin, BaseEstimator):
    """A regressor of one's own."""

    def fit(self, X: Any, y: Any) -> Offset:
        self.offset_ = float(np.mean(y))
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.offset_)


@pytest.fixture
def copy(cases: Cases, tmp_path: Path) -> Path:
    """A copy of a good folder, to be spoilt."""
    return Path(shutil.copytree(cases("linear").folder, tmp_path / "copy"))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "mlops" / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest["files"])
    file.write_text(json.dumps(manifest))


def test_the_estimators_that_scikit_learn_lists_are_trusted_and_nothing_else_of_it() -> None:
    listed = {f"{kind.__module__}.{kind.__name__}" for _, kind in all_estimators()}
    kinds = {
        f"{kind.__module__}.{kind.__name__}"
        for name, module in list(sys.modules.items())
        if name.startswith("sklearn.") and ".tests" not in name
        for kind in vars(module).values()
        if inspect.isclass(kind)
    }
    odd = {
        "os.system",
        "sklearn.os",
        "sklearn.utils.os",
        "sklearn.base.BaseEstimator",
        "sklearn..Pipeline",
        "sklearn",
        "",
    }
    found = {name for name in kinds | odd | listed if is_public_estimator(name)}
    # Those that are called experimental are on the list once their switch is imported.
    assert found - {name for name in TRUSTED_TYPES if "IterativeImputer" in name or "Halving" in name} == listed


@pytest.mark.process
def test_a_process_that_answers_imports_what_a_model_needs_and_skops_can_have_its_list_again() -> None:
    code = (
        "import sys; import mlops_workbench.serving.scoring.__main__\n"
        "print('sklearn.gaussian_process' in sys.modules)\n"
        "from skops.io import _general; from mlops_workbench.serving.runtimes import skops_alone\n"
        "skops_alone.complete(); print('sklearn.manifold._t_sne.TSNE' in _general.SKLEARN_ESTIMATOR_TYPE_NAMES)\n"
        "from skops.io import dumps, get_untrusted_types; from sklearn.manifold import TSNE\n"
        "print(get_untrusted_types(data=dumps(TSNE())))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "[]"]


def test_an_endpoint_has_few_filters_of_warnings(cases: Cases) -> None:
    # scikit-learn sets all of them again for each tree of a forest.
    with warnings.catch_warnings(record=True) as said:
        load_version("flight-delays", 1, cases("linear").folder, SETTINGS)
        assert len(warnings.filters) <= 2
        warnings.warn("for the log", UserWarning, stacklevel=1)
        warnings.warn("for developers", DeprecationWarning, stacklevel=1)
    assert [str(one.message) for one in said if str(one.message).startswith("for ")] == ["for the log"]


@pytest.mark.parametrize("file", ["model.skops", "MLmodel", "requirements.txt", "input_example.json"])
def test_a_changed_file_is_refused(copy: Path, file: str) -> None:
    with open(copy / file, "ab") as out:
        out.write(b" ")
    with pytest.raises(InvalidModel, match=f"{file} is not the file that was registered"):
        ModelFolder.open(copy)


def test_a_missing_file_or_manifest_is_refused(copy: Path) -> None:
    (copy / "conda.yaml").unlink()
    with pytest.raises(InvalidModel, match=r"conda\.yaml of the model cannot be read"):
        ModelFolder.open(copy)
    (copy / "mlops" / "manifest.json").unlink()
    with pytest.raises(InvalidModel, match="no manifest"):
        ModelFolder.open(copy)


def test_a_file_that_the_manifest_does_not_name_is_not_loaded(copy: Path) -> None:
    edit_manifest(copy, lambda files: files.pop("model.skops"))
    with pytest.raises(InvalidModel, match=r"the manifest does not name model\.skops"):
        ModelFolder.open(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/../../b"])
def test_a_manifest_cannot_name_files_outside_the_folder(copy: Path, name: str) -> None:
    edit_manifest(copy, lambda files: files.update({name: {"sha256": "0", "size": 1}}))
    with pytest.raises(InvalidModel, match="outside the folder"):
        ModelFolder.open(copy)


def test_the_list_in_the_mlmodel_file_is_not_what_is_trusted(cases: Cases, tmp_path: Path) -> None:
    own = f"{Offset.__module__}.Offset"
    rows = cases("linear").rows
    model = Offset().fit(rows, [1.0] * len(rows))
    folder = save_folder(tmp_path / "own", model, rows, skops_trusted_types=[*TRUSTED, own])
    assert own in (folder / "MLmodel").read_text()
    with pytest.raises(InvalidModel, match=f"not on the list of trusted types: {own}") as caught:
        load_estimator(folder, SETTINGS)
    assert "mlops trust test_model_folder.Offset" in str(caught.value)
    loaded = load_estimator(folder, ServingSettings(trusted_types=[own]))
    assert loaded.predict(rows[:2]).tolist() == [1.0, 1.0]


def test_a_dictionary_of_the_model_may_have_the_keys_of_the_file_format(cases: Cases, tmp_path: Path) -> None:
    rows = cases("linear").rows
    odd = {"function": {"a": 1}, "module_path": [2], "__class__": "os", "__module__": "system", "__id__": 3}
    model = make_pipeline(FunctionTransformer(np.log1p), linear_model.Ridge()).fit(rows.abs(), range(len(rows)))
    model.named_steps["ridge"].params_ = odd
    loaded = load_estimator(save_folder(tmp_path / "odd", model, rows.abs()), SETTINGS)
    assert loaded.named_steps["ridge"].params_ == odd
    np.testing.assert_array_equal(loaded.predict(rows.abs()), model.predict(rows.abs()))


def test_a_text_of_the_model_may_be_one_that_only_python_has(cases: Cases, tmp_path: Path) -> None:
    model = make_pipeline(CountVectorizer(token_pattern=r"\S+"), linear_model.Ridge())
    model.fit(["caf\udce9 a", "b c"], [1, 2])
    loaded = load_estimator(save_folder(tmp_path / "odd", model, pd.DataFrame({"text": ["b"]})), SETTINGS)
    np.testing.assert_array_equal(loaded.predict(["b", "caf\udce9"]), model.predict(["b", "caf\udce9"]))


def test_pickle_is_loaded_only_when_the_settings_allow_it(cases: Cases, tmp_path: Path) -> None:
    case = cases("linear")
    options = {"serialization_format": "cloudpickle", "skops_trusted_types": None}
    folder = save_folder(tmp_path / "pickled", case.estimator, case.rows, **options)
    with pytest.raises(InvalidModel, match="saved with pickle"):
        load_estimator(folder, SETTINGS)
    loaded = load_estimator(folder, ServingSettings(allow_pickle=True))
    np.testing.assert_array_equal(loaded.predict(case.rows), case.estimator.predict(case.rows))


def test_models_that_answer_no_rows_are_refused_with_the_reason(cases: Cases, copy: Path, tmp_path: Path) -> None:
    text = (copy / "MLmodel").read_text()
    for old, new, message in (
        ("signature:", "signature_of_old:", "has no input signature"),
        ("  sklearn:", "  spacy:", "a model of the flavor spacy, which only MLflow loads"),
        ('"type": "double"', '"type": "binary"', "has type 'binary'"),
    ):
        (copy / "MLmodel").write_text(text.replace(old, new))
        write_manifest(copy)
        with pytest.raises(InvalidModel, match=message):
            ModelFolder.open(copy)
    (copy / "MLmodel").write_text(text)
    (copy / "model.skops").write_bytes(b"no zip file")
    write_manifest(copy)
    with pytest.raises(InvalidModel, match="damaged"):
        load_estimator(copy, SETTINGS)


def test_a_model_that_cannot_answer_its_own_example_is_not_served(copy: Path) -> None:
    (copy / "serving_input_example.json").write_text('{"dataframe_records": [{"a": null, "b": 1, "n": 2}]}')
    write_manifest(copy)
    with pytest.raises(InvalidModel, match="cannot predict its own input example"):
        load_version("m", 1, copy, SETTINGS)


def test_threads_of_nested_estimators_are_switched_off(cases: Cases) -> None:
    folder = ModelFolder.open(cases("forest").folder)
    assert Runtime.load(folder, SETTINGS).estimator.n_jobs == 1


def test_models_of_arrays_need_no_dataframe(cases: Cases) -> None:
    forms = {name: load_version("m", 1, cases(name).folder, SETTINGS).runtime.form for name in ("forest", "mixed")}
    assert forms == {"forest": "matrix", "mixed": "frame"}


@pytest.mark.parametrize("field", ["left", "feature_idx"])
def test_a_boosted_tree_with_an_index_out_of_bounds_is_refused(cases: Cases, tmp_path: Path, field: str) -> None:
    import copy as copying

    case = cases("boosted")
    forged = copying.deepcopy(case.estimator)
    nodes = forged._predictors[0][0].nodes
    nodes[field][np.flatnonzero(nodes["is_leaf"] == 0)[0]] = 2_000_000
    folder = tmp_path / "forged"
    shutil.copytree(case.folder, folder)
    import skops.io

    skops.io.dump(forged, folder / "model.skops")
    write_manifest(folder)
    with pytest.raises(InvalidModel, match="out of bounds"):
        load_estimator(folder, SETTINGS)


def test_a_forest_whose_trees_use_missing_features_is_refused(cases: Cases, tmp_path: Path) -> None:
    import skops.io
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(0)
    wide = RandomForestRegressor(3, random_state=0).fit(rng.normal(size=(40, 9)), rng.normal(size=40))
    # What a forger would do: trees of nine features in a forest that claims three.
    for part in (wide, *wide.estimators_):
        part.n_features_in_ = 3
    folder = Path(shutil.copytree(cases("forest").folder, tmp_path / "forged"))
    skops.io.dump(wide, folder / "model.skops")
    write_manifest(folder)
    with pytest.raises(InvalidModel, match="out of bounds"):
        load_estimator(folder, SETTINGS)


# Estimators that need another kind of data, or that skops cannot save at all.
_OTHER_DATA = {
    "Birch",
    "CountVectorizer",
    "DictVectorizer",
    "FrozenEstimator",
    "IsotonicRegression",
    "KernelCenterer",
    "LabelBinarizer",
    "LabelEncoder",
    "MultiLabelBinarizer",
    "PatchExtractor",
    "SparseCoder",
    "TfidfVectorizer",
}


def test_every_estimator_of_scikit_learn_is_covered_by_the_allow_list() -> None:
    import warnings

    import skops.io
    from sklearn.base import is_classifier
    from sklearn.utils._test_common.instance_generator import _construct_instances

    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(30, 4)))
    unknown: dict[str, set[str]] = {}
    saved = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in all_estimators():
            if name in _OTHER_DATA:
                continue
            estimator = next(iter(_construct_instances(kind)))
            target = (X[:, 0] > np.median(X[:, 0])).astype(int) if is_classifier(estimator) else X[:, 0]
            if estimator.__sklearn_tags__().target_tags.single_output is False:
                target = np.column_stack([target, target])
            try:
                estimator.fit(X, target)
            except ValueError:
                continue
            saved += 1
            types = set(skops.io.get_untrusted_types(data=skops.io.dumps(estimator))) - TRUSTED_TYPES
            if types:
                unknown[name] = types
    assert saved > 150
    assert unknown == {}


def test_scipy_distributions_stay_out_because_they_execute_text_from_the_file() -> None:
    import skops.io
    from scipy import stats

    held = set(skops.io.get_untrusted_types(data=skops.io.dumps(stats.loguniform(0.1, 1))))
    assert held - TRUSTED_TYPES


def test_names_of_columns_from_arrays_and_frames_are_texts(cases: Cases) -> None:
    signature = ModelFolder.open(cases("forest").folder).signature
    assert signature == Signature(tuple(InputColumn(str(i), "double", True, i) for i in range(3)), "matrix")
    names = [column.name for column in ModelFolder.open(cases("mixed").folder).signature.columns]
    assert names == list(table().columns)
