"""Boosted trees as files of MLflow's flavors ``xgboost``, ``lightgbm`` and ``catboost``, in the library's own format.

The scikit-learn API of LightGBM has labels and settings that the text model of LightGBM lacks. MLflow's flavor keeps
it in the skops format, which holds the text model of LightGBM; see :mod:`mlops_workbench.core.trust`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mlops_workbench.capture.run.saved_files import SavedFiles
from mlops_workbench.core.boosters import CBM_FILE, LGB_FILE, OPTIONS_FILE, UBJ_FILE, BoosterOptions, library_of
from mlops_workbench.core.errors import InvalidInput


def booster_files(model: Any) -> SavedFiles | None:
    """Return the files of a model of boosted trees; None for any other model, and for one that skops holds.

    Raises
    ------
    InvalidInput
        Its library cannot save it.
    """
    library = library_of(type(model))
    write: Callable[[Any], SavedFiles] | None = None
    if library == "xgboost":
        write = _xgboost
    elif library == "catboost":
        write = _catboost
    elif library == "lightgbm" and (not hasattr(model, "booster_") or _has_own_loss(model)):
        write = _lightgbm
    if write is None:
        return None
    try:
        return write(model)
    except Exception as error:  # each library has its own errors
        raise InvalidInput(
            f"this {type(model).__name__} cannot be saved: {type(error).__name__}: {error}",
            hint="check that it is fitted",
        ) from error


def _xgboost(model: Any) -> SavedFiles:
    xgboost: Any = sys.modules["xgboost"]
    with tempfile.TemporaryDirectory(prefix="mlops-booster-") as folder:
        # `save_raw` would leave out what a classifier writes beside its booster.
        path = Path(folder) / UBJ_FILE
        model.save_model(path)
        files = {UBJ_FILE: path.read_bytes()}
    missing = getattr(model, "missing", None)
    if isinstance(missing, int | float) and missing == missing:
        files[OPTIONS_FILE] = msgspec.json.encode(BoosterOptions(float(missing)))
    return SavedFiles("xgboost", "ubj", files, _libraries(model, "xgboost"), str(xgboost.__version__))


def _lightgbm(model: Any) -> SavedFiles:
    lightgbm: Any = sys.modules["lightgbm"]
    booster = getattr(model, "booster_", model)
    files = {LGB_FILE: booster.model_to_string().encode()}
    return SavedFiles("lightgbm", "lgb", files, {"lightgbm", "numpy", "scipy"}, str(lightgbm.__version__))


def _catboost(model: Any) -> SavedFiles:
    catboost: Any = sys.modules["catboost"]
    with tempfile.TemporaryDirectory(prefix="mlops-booster-") as folder:
        path = Path(folder) / CBM_FILE
        model.save_model(str(path), format="cbm")
        content = path.read_bytes()
    return SavedFiles("catboost", "cbm", {CBM_FILE: content}, _libraries(model, "catboost"), str(catboost.__version__))


def _has_own_loss(model: Any) -> bool:
    """Whether it is a regressor or ranker with a loss function of the user: its answers are those of its booster."""
    return callable(getattr(model, "objective", None)) and not hasattr(model, "classes_")


def _libraries(model: Any, library: str) -> set[str]:
    # The scikit-learn API of XGBoost needs scikit-learn.
    return {library, "numpy", "scipy", *({"sklearn"} if library == "xgboost" and hasattr(model, "fit") else set())}
