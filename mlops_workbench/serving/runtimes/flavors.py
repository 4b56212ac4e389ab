"""The flavors of MLflow that endpoints serve, as ``MLmodel`` describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlops_workbench.core.boosters import CLASSES, LIGHTGBM_BOOSTER, XGBOOST_BOOSTER, Library
from mlops_workbench.serving.errors import InvalidModel

#: Flavor of all models that ``mlflow.pyfunc`` loads.
_ANY = "python_function"

Served = Literal["sklearn", "pyfunc"] | Library


@dataclass(frozen=True)
class SavedModel:
    """How a model was saved.

    Attributes
    ----------
    library, estimator, format : str
        See `ModelFolder`.
    file : str
        Path of its file in the folder.
    """

    library: Served
    estimator: str
    format: str
    file: str


def saved_model(flavors: Mapping[Any, Any], where: str, any_flavor: bool = False) -> SavedModel:
    """Return how a model was saved.

    Parameters
    ----------
    flavors : mapping
        Flavors in ``MLmodel``, which is not trusted.
    where : str
        For the error message.
    any_flavor : bool
        Whether models of other flavors may be loaded by MLflow, which can run code of the model.

    Raises
    ------
    InvalidModel
        No flavor that endpoints serve, a format of the library that they do not read, or a class that is not one of
        the library.
    """
    if isinstance(options := flavors.get("sklearn"), dict):
        return SavedModel("sklearn", "", _python_format(options), str(options.get("pickled_model")))
    if isinstance(options := flavors.get("xgboost"), dict):
        kind = str(options.get("model_class", XGBOOST_BOOSTER))
        form = str(options.get("model_format", "xgb"))
        _check("xgboost", kind, form, ("ubj", "json"), where)
        return SavedModel("xgboost", kind, form, str(options.get("data")))
    if isinstance(options := flavors.get("lightgbm"), dict):
        kind = str(options.get("model_class", LIGHTGBM_BOOSTER))
        form = "lgb" if kind == LIGHTGBM_BOOSTER else _python_format(options)
        return SavedModel("lightgbm", kind, form, str(options.get("data")))
    if isinstance(options := flavors.get("catboost"), dict):
        kind = f"catboost.core.{options.get('model_type')}"
        _check("catboost", kind, form := str(options.get("save_format")), ("cbm",), where)
        return SavedModel("catboost", kind, form, str(options.get("data")))
    if isinstance(options := flavors.get(_ANY), dict):
        if any_flavor:
            return SavedModel("pyfunc", str(options.get("loader_module", "")), "pyfunc", "MLmodel")
        found = ", ".join(sorted(str(name)[:40] for name in flavors if name != _ANY)) or "python_function"
        raise InvalidModel(
            f"a model of the flavor {found}, which only MLflow loads, and whose code can do anything when it is loaded",
            where=where,
            hint="set serving.allow_pyfunc = true in workbench.toml if you trust it, or log a model of scikit-learn, "
            "XGBoost, LightGBM or CatBoost with its own flavor",
        )
    raise InvalidModel(
        "not a model of scikit-learn, XGBoost, LightGBM or CatBoost, nor one that MLflow can ask for predictions",
        where=where,
        hint="log it with its flavor of MLflow or with the workbench",
    )


def _python_format(options: Mapping[str, Any]) -> str:
    # All other formats of MLflow (pickle, cloudpickle, joblib) can run code when loaded.
    return "skops" if options.get("serialization_format") == "skops" else "pickle"


def _check(library: Library, kind: str, form: str, formats: tuple[str, ...], where: str) -> None:
    if kind not in CLASSES[library]:
        raise InvalidModel(
            f"{kind[:100]} is not a class of {library} that endpoints load",
            where=where,
            hint=f"save an object of {', '.join(sorted(CLASSES[library]))}",
        )
    if form not in formats:
        raise InvalidModel(
            f"endpoints do not read the format '{form[:40]}' of {library}",
            where=where,
            hint=f"save the model in the format {' or '.join(formats)}",
        )
