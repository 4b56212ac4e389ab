"""Boosted trees of XGBoost, LightGBM and CatBoost: their classes, and what their files lack."""

from __future__ import annotations

from typing import Literal

import msgspec

#: File in a model folder with what the library's own file lacks.
OPTIONS_FILE = "mlops/booster.json"

Library = Literal["xgboost", "lightgbm", "catboost"]

XGBOOST_BOOSTER = "xgboost.core.Booster"
LIGHTGBM_BOOSTER = "lightgbm.basic.Booster"

#: Classes of fitted objects by library, which is also the name of MLflow's flavor.
CLASSES: dict[Library, frozenset[str]] = {
    "xgboost": frozenset(
        {
            XGBOOST_BOOSTER,
            *(
                f"xgboost.sklearn.{name}"
                for name in ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")
            ),
        }
    ),
    "lightgbm": frozenset(
        {LIGHTGBM_BOOSTER, *(f"lightgbm.sklearn.{name}" for name in ("LGBMClassifier", "LGBMRegressor", "LGBMRanker"))}
    ),
    "catboost": frozenset(
        f"catboost.core.{name}" for name in ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker")
    ),
}

#: Names of the files that MLflow's flavors write, by format.
UBJ_FILE, LGB_FILE, CBM_FILE = "model.ubj", "model.lgb", "model.cb"


class BoosterOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model needs for its answers and the file of its library lacks.

    Attributes
    ----------
    missing : float or None
        The value that stands for a missing one in XGBoost; None for NaN.
    """

    missing: float | None = None


def library_of(kind: type) -> Library | None:
    """Return the library of a class of boosted trees; None for any other class, and for classes derived from one."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    return next((library for library, names in CLASSES.items() if name in names), None)
