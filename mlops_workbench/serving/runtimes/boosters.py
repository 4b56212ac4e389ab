"""Boosted trees of XGBoost, LightGBM and CatBoost, loaded from the library's own format.

The libraries are optional: each is imported only for a model that needs it.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from mlops_workbench.core.boosters import LIGHTGBM_BOOSTER, XGBOOST_BOOSTER, BoosterOptions, Library, library_of
from mlops_workbench.core.errors import first_line
from mlops_workbench.core.trust import BOOSTED_TYPES
from mlops_workbench.data.fitted.boosters import answering, fitted
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.runtimes.model_folder import ModelFolder


def boosted_libraries(types: Iterable[str]) -> list[str]:
    """Return the libraries of boosted trees among the types in a skops file."""
    return sorted({name.partition(".")[0] for name in BOOSTED_TYPES.intersection(types)})


def require_library(library: str, where: str) -> Any:
    """Import the library of a model.

    Raises
    ------
    InvalidModel
        It is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(library)
    except (ImportError, OSError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == library
        why = "is not installed" if missing else f"cannot be imported: {error}"
        raise InvalidModel(
            f"the model needs {library}, which {why}",
            where=where,
            hint=f"install it in the environment of the endpoint: pip install {library}; requirements.txt beside the "
            "model has the version",
        ) from error


def load_booster(folder: ModelFolder, library: Library) -> Any:
    """Return a model from the file in its library's own format.

    Raises
    ------
    InvalidModel
        The library is not installed, or refuses the file.
    """
    module = require_library(library, str(folder.path))
    load = {"xgboost": _xgboost, "lightgbm": _lightgbm, "catboost": _catboost}[library]
    try:
        return load(module, folder.estimator, folder.data, folder.options)
    except Exception as error:  # each library has its own errors; any means that the file cannot be served
        raise InvalidModel(
            f"{library} cannot read the model: {type(error).__name__}: {first_line(error)}",
            where=str(folder.path),
            hint="the file is damaged, or was written by a later version of the library; requirements.txt beside the "
            "model has the version",
        ) from error


def use_one_thread(part: Any) -> None:
    """Make a model of boosted trees answer in the thread that asks it; other objects stay as they are.

    For a small batch, a thread pool costs ten times as much as the trees.
    """
    part = fitted(part)
    library = library_of(type(part))
    if library is None:
        return
    if hasattr(part, "n_jobs"):
        part.n_jobs = 1
    name = f"{type(part).__module__}.{type(part).__qualname__}"
    if name == XGBOOST_BOOSTER:
        # The device is that of the training, which this machine may not have.
        part.set_param({"nthread": 1, "device": "cpu"})
    elif name == LIGHTGBM_BOOSTER:
        part.predict = partial(part.predict, num_threads=1)
    elif library == "catboost":
        for method in ("predict", "predict_proba"):
            if hasattr(part, method):
                setattr(part, method, partial(getattr(part, method), thread_count=1))


def _xgboost(module: Any, kind: str, data: bytes, options: BoosterOptions) -> Any:
    if kind == XGBOOST_BOOSTER:
        return answering(module.Booster(model_file=bytearray(data)))
    model = getattr(module, kind.rpartition(".")[2])()
    model.load_model(bytearray(data))
    if options.missing is not None:
        model.missing = options.missing
    return model


def _lightgbm(module: Any, kind: str, data: bytes, options: BoosterOptions) -> Any:
    text = data.decode("utf-8")
    # LightGBM takes what is left of a file that was cut for a smaller model.
    if "\nend of trees\n" not in text or "\npandas_categorical:" not in text:
        raise ValueError("the text model is not complete")
    return module.Booster(model_str=text)


def _catboost(module: Any, kind: str, data: bytes, options: BoosterOptions) -> Any:
    model = getattr(module, kind.rpartition(".")[2])()
    # CatBoost reads bytes without checking where they end, and files with that check.
    with tempfile.TemporaryDirectory(prefix="mlops-booster-") as folder:
        path = Path(folder) / "model.cbm"
        path.write_bytes(data)
        model.load_model(str(path), format="cbm")
    return model
