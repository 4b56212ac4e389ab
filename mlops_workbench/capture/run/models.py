"""Saving of fitted models: files, signature, input example, reference, requirements."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import TYPE_CHECKING, Any

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.observe.estimators import LACKING_HINT, is_part, lacks_model, own_params
from mlops_workbench.capture.observe.networks import is_network
from mlops_workbench.capture.run.booster_files import booster_files
from mlops_workbench.capture.run.described import describe_model
from mlops_workbench.capture.run.network_files import network_files
from mlops_workbench.core.boosters import library_of
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.members import has
from mlops_workbench.core.records import Column, Model
from mlops_workbench.core.trust import TRUSTED_TYPES, names_in_skops
from mlops_workbench.data.fitted.boosters import answering
from mlops_workbench.data.reference import (
    FitData,
    sample_fit_data,
    sample_seen,
)

if TYPE_CHECKING:
    from mlops_workbench.capture.record.recorder import Recorder
    from mlops_workbench.capture.run.fits import Fits

_MAX_COLUMNS = 10_000
_TAKES_TEXT = {
    *("OneHotEncoder", "OrdinalEncoder", "TargetEncoder", "LabelEncoder", "SimpleImputer", "FunctionTransformer"),
    *("HistGradientBoostingClassifier", "HistGradientBoostingRegressor", "DummyClassifier", "DummyRegressor"),
    *("FeatureUnion", "KBinsDiscretizer"),
}
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "mlops_workbench": "mlops-workbench"}


def log_model(
    recorder: Recorder, fits: Fits, run_uid: str, model: Any, name: str, data: tuple[Any, Any], test: tuple[Any, Any]
) -> None:
    """Save a model into a run; see `ActiveRun.log_model`."""
    _check(model, name)
    found: FitData | None
    found = _sampled("X", *data) if data[0] is not None else fits.data_of(model) or _data_in_this_cell(model)
    if test[0] is not None and found is not None:
        found = replace(found, test=_sampled("X_test", *test))
    if save_model(recorder, run_uid, model, name, found):
        fits.mark_saved(run_uid)


def _sampled(what: str, X: Any, y: Any) -> FitData:
    found = sample_fit_data(X, y)
    if found is None:
        raise InvalidInput(
            f"{what} is not a table with rows: {type(X).__name__}",
            hint="pass the DataFrame or array that was passed to fit",
        )
    return found


def save_model(recorder: Recorder, run_uid: str, model: Any, name: str, data: FitData | None) -> bool:
    """Record a model with its training data; return False when it could not be stored, which is reported."""
    network = network_files(model)
    saved = network or booster_files(model)
    files: dict[str, bytes] = {}
    types: list[str] | None = None
    if saved is not None:
        flavor, form, files = saved.flavor, saved.format, dict(saved.files)
    else:
        flavor = library_of(type(model)) or "sklearn"
        form, file, content, types = _serialise(model)
        files[file] = content
    inputs = data.columns if data is not None else columns_from_model(model)
    outputs: list[Column] = []
    problem = ""
    if network is not None and data is not None and not has(data.X, "columns"):
        # The inputs of a network are tensors, whose columns have no names; its outputs are unknown.
        inputs = [Column("", column.dtype, column.required) for column in inputs]
    elif data is not None:
        personal = recorder.workspace.latest().data.personal
        described = describe_model(answering(model), data, run_uid, personal, is_network=network is not None)
        inputs, outputs, problem = described.inputs, described.outputs, described.problem
        files.update(described.files)
    digests = {}
    for path, blob in files.items():
        digest = recorder.store(run_uid, blob)
        if digest is None:
            return False
        digests[path] = digest
    recorder.write(
        Model(
            run_uid=run_uid,
            name=name,
            flavor=flavor,
            format=form,
            files=digests,
            inputs=inputs,
            outputs=outputs,
            estimator=f"{type(model).__module__}.{type(model).__qualname__}",
            requirements=_requirements(model, form) if saved is None else sorted(_pins(saved.libraries), key=str.lower),
            untrusted=sorted(set(types or ()) - TRUSTED_TYPES),
            types=types,
            at_ms=now_ms(),
            version=saved.version if saved is not None else "",
            problem=problem,
        ),
        sync=True,
    )
    return True


def columns_from_model(model: Any) -> list[Column]:
    """Return the input columns stored in a fitted model, for a model whose training data is unknown.

    Their type is known only for models of scikit-learn, and for pipelines whose first step is one, that accept only
    numbers; for other models the list is empty.
    """
    first = model
    while isinstance(steps := getattr(first, "steps", None), list) and steps:
        first = steps[0][1]
    inner = getattr(first, "best_estimator_", None)
    if inner is not None:
        return columns_from_model(inner)
    module, kind = type(first).__module__, type(first).__name__
    text = module.startswith(("sklearn.compose", "sklearn.feature_extraction")) or kind in _TAKES_TEXT
    count = getattr(model, "n_features_in_", None)
    if not module.startswith("sklearn.") or text or not isinstance(count, int) or not 0 < count <= _MAX_COLUMNS:
        return []
    names = getattr(model, "feature_names_in_", None)
    return [Column(str(name), "double") for name in (names if names is not None else [f"x{i}" for i in range(count)])]


def _check(model: Any, name: str) -> None:
    if not isinstance(name, str) or not name.strip():
        raise InvalidInput(f"{name!r} is not a valid model name", hint="use text that is not empty")
    known = hasattr(model, "predict") or hasattr(model, "transform") or is_network(model)
    if isinstance(model, type) or not known:
        if has(model, "fit") and not isinstance(model, type) and (why := lacks_model(model)):
            raise InvalidInput(f"there is no model to save: {why}", hint=LACKING_HINT)
        raise InvalidInput(
            f"{type(model).__name__ if not isinstance(model, type) else model.__name__} is not a fitted model",
            hint="pass an object with a predict method, such as a scikit-learn estimator, or a network",
        )
    if type(model).__module__.startswith("sklearn."):
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        try:
            check_is_fitted(model)
        except NotFittedError as error:
            raise InvalidInput(
                f"this {type(model).__name__} is not fitted", hint="call fit before log_model"
            ) from error


def _data_in_this_cell(model: Any) -> FitData | None:
    from mlops_workbench.capture.kernel.place import cell_source, shell
    from mlops_workbench.capture.observe.fit import cell_use
    from mlops_workbench.notebooks.source import parse_cell

    session = shell()
    if session is None:
        return None
    names = session.user_ns
    use = cell_use(parse_cell(session.transform_cell(cell_source())), names)
    for fit in use.fits:
        if fit.model is model and fit.X is not None:
            found = sample_fit_data(fit.X.value, fit.y.value if fit.y is not None else None)
            test = use.test()
            return found and replace(found, test=sample_seen(*(part.value for part in test)) if test else None)
    return None


def _serialise(model: Any) -> tuple[str, str, bytes, list[str] | None]:
    """Return format, file name, content, and the types that a skops may not trust by itself; None for a pickle."""
    # A late import, which only saving a model needs.
    from skops.io import dumps, get_untrusted_types

    try:
        content = dumps(model, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        # What another version of skops may not trust is named, too.
        types = sorted({*get_untrusted_types(data=content), *(names_in_skops(content) & TRUSTED_TYPES)})
        # Classes of the notebook, lambdas and nested functions cannot be imported elsewhere.
        local = [name for name in types if name.startswith("__main__.") or "<" in name]
        reason = f"it contains {', '.join(local)}, which only exists in this session" if local else ""
    except Exception as error:  # noqa: BLE001 skops raises the errors of the classes inside
        reason = f"{type(error).__name__}: {error}"
    if not reason:
        return "skops", "model.skops", content, types
    notify(
        f"this {type(model).__name__} cannot be saved with skops ({reason}); it is saved with cloudpickle.\n"
        "  An endpoint serves it only if workbench.toml sets serving.allow_pickle = true"
    )
    import cloudpickle

    try:
        return "cloudpickle", "model.pkl", cloudpickle.dumps(model), None
    except Exception as error:
        raise InvalidInput(
            f"this {type(model).__name__} cannot be saved: {type(error).__name__}: {error}",
            hint="remove open files, connections and locks from the model",
        ) from error


def _requirements(model: Any, form: str) -> list[str]:
    parts = [model]
    if has(model, "get_params"):
        parts += [part for part in own_params(model).values() if is_part(part)]
    roots = {type(part).__module__.partition(".")[0] for part in parts} - {"__main__", "builtins"}
    # Libraries of the model that are loaded in this process.
    roots |= {root for root in ("sklearn", "numpy", "scipy", "pandas") if root in sys.modules}
    roots.add("skops" if form == "skops" else "cloudpickle")
    return sorted(_pins(roots), key=str.lower)


def _pins(roots: Iterable[str]) -> list[str]:
    owners = None
    pins = []
    for root in roots:
        try:
            name = _DISTRIBUTIONS.get(root, root)
            pins.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            # Slow, and only needed if module and distribution have different names.
            owners = owners or packages_distributions()
            pins += [f"{name}=={version(name)}" for name in owners.get(root, [])[:1]]
    return pins
