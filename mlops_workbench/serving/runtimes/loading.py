"""From the files of a model to its object: skops with a list of types, formats of boosted trees, pickle and MLflow."""

from __future__ import annotations

import importlib
import inspect
import io
import pickle
import zipfile
from typing import Any

import skops.io
from sklearn.base import BaseEstimator
from skops.io.exceptions import UntrustedTypesFoundException

from mlops_workbench.core.errors import WorkbenchError, first_line
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.core.trust import TRUSTED_TYPES, names_in_skops
from mlops_workbench.serving.errors import InvalidModel
from mlops_workbench.serving.runtimes import skops_alone
from mlops_workbench.serving.runtimes.boosters import boosted_libraries, load_booster, require_library
from mlops_workbench.serving.runtimes.model_folder import ModelFolder
from mlops_workbench.serving.runtimes.pyfunc import load_pyfunc
from mlops_workbench.serving.runtimes.trial import try_model


def load_object(folder: ModelFolder, settings: ServingSettings, tried: bool) -> Any:
    """Load what was registered, if its format and its types may be loaded.

    Parameters
    ----------
    folder : ModelFolder
        A verified folder.
    settings : ServingSettings
        Types and formats that may be loaded.
    tried : bool
        Whether another process has loaded the model without harm.

    Raises
    ------
    InvalidModel
        It contains types that are not trusted, or cannot be read.
    """
    if folder.library == "pyfunc":
        if not tried:
            try_model(folder.path, folder.digest, settings)
        skops_alone.complete()
        return load_pyfunc(folder.path)
    if folder.library != "sklearn" and folder.format not in ("pickle", "skops"):
        require_library(folder.library, str(folder.path))
        if not tried:
            try_model(folder.path, folder.digest, settings)
        return load_booster(folder, folder.library)
    if folder.format == "pickle":
        if not settings.allow_pickle:
            raise InvalidModel(
                "the model was saved with pickle, which can run any code when it is loaded",
                where=str(folder.path),
                hint="save it in the skops format, or set serving.allow_pickle in workbench.toml if you trust it",
            )
        return _unpickle(folder)
    try:
        names = names_in_skops(folder.data)
        if needed := boosted_libraries(names):
            _require_trusted(folder, settings)
            for library in needed:
                require_library(library, str(folder.path))
            if not tried:
                try_model(folder.path, folder.digest, settings)
        try:
            # Each part of the model goes through the list, which should be short.
            return skops.io.load(io.BytesIO(folder.data), trusted=sorted(_trusted(names, settings)))
        except UntrustedTypesFoundException:
            types = _require_trusted(folder, settings)
            return skops.io.load(io.BytesIO(folder.data), trusted=sorted(types))
    except WorkbenchError:
        raise
    except (zipfile.BadZipFile, KeyError) as error:
        raise InvalidModel(f"the model file is damaged: {error}", where=str(folder.path)) from error
    except Exception as error:  # any error of the library means that the file cannot be served
        raise InvalidModel(
            f"the model cannot be loaded: {type(error).__name__}: {first_line(error)}",
            where=str(folder.path),
            hint="check that it was saved with the installed version of scikit-learn",
        ) from error


def _trusted(names: set[str], settings: ServingSettings) -> set[str]:
    known = TRUSTED_TYPES | set(settings.trusted_types)
    return {name for name in names if name in known or is_public_estimator(name)}


def _require_trusted(folder: ModelFolder, settings: ServingSettings) -> set[str]:
    """The types of a model that skops does not trust by itself, all of which are trusted here."""
    types = set(skops.io.get_untrusted_types(data=folder.data))
    if unknown := sorted(types - _trusted(types, settings)):
        raise InvalidModel(
            f"the model contains types that are not on the list of trusted types: {', '.join(unknown)}",
            where=str(folder.path),
            hint=f"if you trust their code: mlops trust {' '.join(unknown)}",
        )
    return types


def _unpickle(folder: ModelFolder) -> Any:
    try:
        return pickle.loads(folder.data)  # noqa: S301 - the user allowed it, and the digest was checked
    except Exception as error:  # unpickling runs foreign code: any failure means it cannot be served
        raise InvalidModel(
            f"the model cannot be unpickled: {type(error).__name__}: {first_line(error)}", where=str(folder.path)
        ) from error


def is_public_estimator(name: str) -> bool:
    """Whether a type is one that `sklearn.utils.all_estimators` lists; only its own module is imported for that."""
    module, _, short = name.rpartition(".")
    parts = module.split(".")
    if parts[0] != "sklearn" or short.startswith("_") or set(parts) & {"tests", "externals", "conftest"}:
        return False
    public = parts[: next((at for at, part in enumerate(parts) if part.startswith("_")), len(parts))]
    try:
        kind = getattr(importlib.import_module(".".join(public)), short, None)
    except ImportError:
        return False
    return (
        inspect.isclass(kind)
        and issubclass(kind, BaseEstimator)
        and not inspect.isabstract(kind)
        and kind is not BaseEstimator
        and f"{kind.__module__}.{kind.__name__}" == name
    )
