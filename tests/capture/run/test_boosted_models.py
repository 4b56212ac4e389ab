"""A model of XGBoost, LightGBM or CatBoost is saved in its library's own format, as MLflow's flavor has it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops_workbench.capture import log_model, track
from mlops_workbench.core.records import Model

X = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
y = (X["a"] > 0).astype(int)


def of_xgboost():
    return pytest.importorskip("xgboost").XGBClassifier(n_estimators=3).fit(X, y)


def of_lightgbm():
    return pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=3, verbose=-1).fit(X, y)


def booster_of_lightgbm():
    return of_lightgbm().booster_


def of_catboost():
    options = {"n_estimators": 3, "verbose": False, "allow_writing_files": False}
    return pytest.importorskip("catboost").CatBoostClassifier(**options).fit(X, y)


@pytest.mark.parametrize(
    ("make", "flavor", "form", "file"),
    [
        (of_xgboost, "xgboost", "ubj", "model.ubj"),
        (of_lightgbm, "lightgbm", "skops", "model.skops"),
        (booster_of_lightgbm, "lightgbm", "lgb", "model.lgb"),
        (of_catboost, "catboost", "cbm", "model.cb"),
    ],
)
def test_it_has_the_file_of_the_flavor_and_no_type_to_trust(session, records, make, flavor, form, file, capsys) -> None:
    model = make()
    with track("r"):
        log_model(model, X=X, y=y)
    (record,) = records.of(Model, "r")
    assert (record.flavor, record.format, record.untrusted) == (flavor, form, [])
    assert file in record.files and "mlops/golden.parquet" in record.files
    assert record.estimator == f"{type(model).__module__}.{type(model).__qualname__}"
    assert any(line.startswith(flavor) for line in record.requirements)
    assert "cloudpickle" not in capsys.readouterr().err


def test_saving_leaves_the_booster_of_the_user_as_it_was(session, records) -> None:
    model = of_xgboost()
    before = model.get_booster().attributes(), model.predict_proba(X).tolist()
    with track("r"):
        log_model(model, X=X, y=y)
    assert (model.get_booster().attributes(), model.predict_proba(X).tolist()) == before


def test_a_class_that_the_user_derived_is_not_saved_as_the_class_of_the_library(session, records) -> None:
    library = pytest.importorskip("xgboost")

    class Shifted(library.XGBRegressor):
        def predict(self, X, **options):
            return super().predict(X, **options) + 1

    model = Shifted(n_estimators=3).fit(X, y)
    with track("r"):
        log_model(model, X=X, y=y)
    (record,) = records.of(Model, "r")
    assert record.flavor == "sklearn"
    assert "model.ubj" not in record.files
