"""Turn MLflow's autologging to the journal on and off in this process."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.core.errors import InvalidInput, did_you_mean

URI = "mlops://"

#: Names of frameworks, and MLflow's module for each.
FRAMEWORKS = {
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "lightning": "pytorch",
    "pytorch": "pytorch",
    "torch": "pytorch",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "statsmodels": "statsmodels",
    "transformers": "transformers",
    "spark": "spark",
    "pyspark.ml": "pyspark.ml",
}

#: Libraries for which MLflow saves checkpoints, and its module for each.
_LIBRARIES = {"tensorflow": "tensorflow", "lightning": "pytorch", "pytorch_lightning": "pytorch"}
#: Frameworks that are on; the empty text means all, imported now or later.
_on: list[str] = []
#: Tracking URI and environment variable before autologging was turned on.
_before: tuple[str | None, str | None] | None = None


def active() -> list[str]:
    """Names of the frameworks that autologging is on for, or ``all``."""
    return [name or "all" for name in _on]


def follows_experiment() -> bool:
    """Whether runs that MLflow starts belong to the current experiment of the workbench."""
    return bool(_on)


def switch_on(frameworks: Sequence[str], *, models: bool = False) -> None:
    """Turn autologging of frameworks on.

    MLflow is imported, which takes seconds, and its tracking URI becomes ``mlops://``.

    Parameters
    ----------
    frameworks : sequence of str
        Names as in `FRAMEWORKS`; none for all that are installed.
    models : bool, default=False
        Also save each fitted model, and checkpoints of networks, which takes seconds a model.

    Raises
    ------
    InvalidInput
        A framework is unknown or not installed.
    """
    names = [_module_name(name) for name in frameworks]
    if "tensorflow" in names and not _has_tensorboard():
        raise InvalidInput(
            "MLflow's autologging of tensorflow needs tensorboard, which is not installed",
            hint="install tensorboard, or use %mlops autolog keras",
        )
    import mlflow

    modules = [(name, _module(name)) for name in names]
    _set_tracking_uri(mlflow)
    with _without_info_messages():
        if not modules:
            _call(mlflow.autolog, models=models)
        for _, module in modules:
            _call(module.autolog, models=models)
    _on.extend(name for name in names or [""] if name not in _on)
    if not modules:
        _follow_imports(models=models)


def switch_off(frameworks: Sequence[str]) -> None:
    """Turn autologging off, of all frameworks if none is named; then the earlier tracking URI is restored.

    Raises
    ------
    InvalidInput
        A framework is unknown.
    """
    names = [_module_name(name) for name in frameworks]
    mlflow = sys.modules.get("mlflow")
    if mlflow is None or not _on:
        return
    for name in names or list(_on):
        autolog = _module(name).autolog if name else mlflow.autolog
        autolog(disable=True, silent=True)
        if name in _on:
            _on.remove(name)
    if not _on:
        _restore_tracking_uri(mlflow)


def _module_name(name: str) -> str:
    if name not in FRAMEWORKS:
        raise InvalidInput(f"MLflow has no autologging for '{name}'", hint=did_you_mean(name, FRAMEWORKS))
    return FRAMEWORKS[name]


def _module(name: str) -> Any:
    return importlib.import_module(f"mlflow.{name}")


def _call(autolog: Any, *, models: bool) -> None:
    # A checkpoint is a model, too: every epoch would wait until it is written.
    options = {"silent": True, "log_models": models, "checkpoint": models}
    accepted = inspect.signature(autolog).parameters
    try:
        autolog(**{name: value for name, value in options.items() if name in accepted})
    except ImportError as error:
        raise InvalidInput(
            f"autologging cannot be turned on: {error}", hint="install the framework, or name another one"
        ) from error


def _follow_imports(*, models: bool) -> None:
    """Apply settings that ``mlflow.autolog`` does not pass on to frameworks, once these are imported."""
    from mlflow.utils.autologging_utils import AUTOLOGGING_INTEGRATIONS
    from mlflow.utils.import_hooks import register_post_import_hook

    def configure(module: Any) -> None:
        if "" not in _on:
            return
        name = _LIBRARIES[module.__name__]
        if name == "tensorflow" and not _has_tensorboard():
            # MLflow adds a TensorBoard callback to each fit, which would raise in the user's cell.
            _module(name).autolog(disable=True, silent=True)
            if hasattr(sys.modules.get("keras"), "Model"):
                # Both patch the same method: disabling one has removed the patch of the other.
                _call(_module("keras").autolog, models=models)
            notify(
                "MLflow's autologging of tensorflow needs tensorboard, which is not installed;\n"
                "  training is logged by the autologging of keras",
                once="tensorboard",
            )
        elif name in AUTOLOGGING_INTEGRATIONS:
            AUTOLOGGING_INTEGRATIONS[name]["checkpoint"] = models

    for library in _LIBRARIES:
        register_post_import_hook(configure, library, overwrite=False)


def _has_tensorboard() -> bool:
    return importlib.util.find_spec("tensorboard") is not None


def _set_tracking_uri(mlflow: Any) -> None:
    global _before
    from mlflow.tracking._tracking_service import utils

    if _before is None:
        _before = (utils._tracking_uri, os.environ.get("MLFLOW_TRACKING_URI"))
    if not mlflow.get_tracking_uri().startswith(URI):
        mlflow.set_tracking_uri(URI)


def _restore_tracking_uri(mlflow: Any) -> None:
    global _before
    if _before is None:
        return
    uri, variable = _before
    _before = None
    mlflow.set_tracking_uri(uri)
    if variable is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = variable


@contextmanager
def _without_info_messages() -> Iterator[None]:
    # MLflow logs one INFO message for every framework, even with `silent`.
    import logging

    logger = logging.getLogger("mlflow.tracking.fluent")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
