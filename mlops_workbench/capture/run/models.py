"""Fitted models on their way into a run: file, signature, example, reference, requirements."""

from __future__ import annotations

import inspect
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import TYPE_CHECKING, Any

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.observe.estimators import is_part, own_params
from mlops_workbench.capture.observe.networks import is_network
from mlops_workbench.capture.run.network_files import network_files
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.members import has
from mlops_workbench.core.records import Column, Model
from mlops_workbench.core.trust import TRUSTED_TYPES
from mlops_workbench.data.reference import (
    FitData,
    input_example,
    output_columns,
    reference_parquet,
    sample_fit_data,
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


def log_model(recorder: Recorder, fits: Fits, run_uid: str, model: Any, name: str, X: Any, y: Any) -> None:
    """Save a model into a run; see `ActiveRun.log_model`."""
    _check(model, name)
    if X is not None:
        data = sample_fit_data(X, y)
        if data is None:
            raise InvalidInput(
                f"X is not a table with rows: {type(X).__name__}", hint="give the DataFrame or array that went into fit"
            )
    else:
        data = fits.data_of(model) or _seen_in_this_cell(model)
    if save_model(recorder, run_uid, model, name, data):
        fits.mark_saved(run_uid)


def save_model(recorder: Recorder, run_uid: str, model: Any, name: str, data: FitData | None) -> bool:
    """Write a model and what is known of its data into the journal and the blob store.

    Returns
    -------
    bool
        False when the disk could not take it, which was told.
    """
    network = network_files(model)
    files: dict[str, bytes] = {}
    untrusted: list[str] = []
    if network is not None:
        form, files = network.format, dict(network.files)
    else:
        form, file, content, untrusted = _serialise(model)
        files[file] = content
    inputs = data.columns if data is not None else columns_from_model(model)
    outputs: list[Column] = []
    if network is not None and data is not None and not has(data.X, "columns"):
        # A network takes a tensor, whose columns have no names; what it gives is for its user to say.
        inputs = [Column("", column.dtype, column.required) for column in inputs]
    elif data is not None:
        prediction = _predict(model, data)
        outputs = output_columns(prediction) if prediction is not None else []
        files["input_example.json"] = input_example(data)
        files["mlops/reference.parquet"] = reference_parquet(data, prediction)
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
            flavor=network.flavor if network is not None else "sklearn",
            format=form,
            files=digests,
            inputs=inputs,
            outputs=outputs,
            estimator=f"{type(model).__module__}.{type(model).__qualname__}",
            requirements=_requirements(model, form) if network is None else sorted(_pins(network.libraries)),
            untrusted=untrusted,
            at_ms=now_ms(),
            version=network.version if network is not None else "",
        ),
        sync=True,
    )
    return True


def columns_from_model(model: Any) -> list[Column]:
    """Input columns that a fitted model remembers, for when its data was not seen.

    Names and number are the model's; that they are numbers is known of scikit-learn's own models only, and of
    pipelines whose first step takes nothing else. What may take text is left without columns.
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
        raise InvalidInput(f"{name!r} cannot be the name of a model")
    known = hasattr(model, "predict") or hasattr(model, "transform") or is_network(model)
    if isinstance(model, type) or not known:
        raise InvalidInput(
            f"{type(model).__name__ if not isinstance(model, type) else model.__name__} is not a fitted model",
            hint="give an object with a predict method, such as a scikit-learn estimator, or a network",
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


def _seen_in_this_cell(model: Any) -> FitData | None:
    from mlops_workbench.capture.kernel.place import cell_source, shell
    from mlops_workbench.capture.observe.fit import cell_fits
    from mlops_workbench.notebooks.source import parse_cell

    session = shell()
    if session is None:
        return None
    names = session.user_ns
    for fit in cell_fits(parse_cell(session.transform_cell(cell_source())), names):
        if fit.model is model and fit.X is not None:
            return sample_fit_data(fit.X.value, fit.y.value if fit.y is not None else None)
    return None


def _serialise(model: Any) -> tuple[str, str, bytes, list[str]]:
    """Format, file name, content, and types beyond the allow-list."""
    # Imported now and not before: the user asked for a model to be saved.
    from skops.io import dumps, get_untrusted_types

    try:
        content = dumps(model, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        unknown = sorted(set(get_untrusted_types(data=content)) - TRUSTED_TYPES)
        # Nobody else can import these: classes of the notebook, lambdas, functions inside functions.
        local = [name for name in unknown if name.startswith("__main__.") or "<" in name]
        reason = f"it holds {', '.join(local)}, which only exists in this session" if local else ""
    except Exception as error:  # noqa: BLE001 skops raises whatever the classes inside raise
        reason = f"{type(error).__name__}: {error}"
    if not reason:
        return "skops", "model.skops", content, unknown
    notify(
        f"this {type(model).__name__} cannot be saved with skops ({reason}); it is saved with cloudpickle.\n"
        "  It can be loaded again, but an endpoint serves it only with serving.allow_pickle = true"
    )
    import cloudpickle

    try:
        return "cloudpickle", "model.pkl", cloudpickle.dumps(model), []
    except Exception as error:
        raise InvalidInput(
            f"this {type(model).__name__} cannot be saved: {type(error).__name__}: {error}",
            hint="keep open files, connections and locks out of the model",
        ) from error


def _predict(model: Any, data: FitData) -> Any:
    if not hasattr(model, "predict"):
        return None
    try:
        return model.predict(data.X, **_silent(model))
    except Exception as error:  # noqa: BLE001 a user's model may raise anything
        notify(
            f"this {type(model).__name__} cannot predict its own training data ({type(error).__name__}: {error});\n"
            "  it is saved without a prediction to compare with. Is X what went into fit?"
        )
        return None


def _silent(model: Any) -> dict[str, int]:
    """What keeps ``predict`` from telling how far it is, where it does that by itself."""
    try:
        verbose = inspect.signature(type(model).predict).parameters.get("verbose")
    except (TypeError, ValueError):
        return {}
    return {"verbose": 0} if verbose is not None and verbose.default else {}


def _requirements(model: Any, form: str) -> list[str]:
    parts = [model]
    if has(model, "get_params"):
        parts += [part for part in own_params(model).values() if is_part(part)]
    roots = {type(part).__module__.partition(".")[0] for part in parts} - {"__main__", "builtins"}
    # What the model's libraries brought along in this process is what it was made with.
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
            # Slow, and hardly ever needed: a module named unlike its distribution.
            owners = owners or packages_distributions()
            pins += [f"{name}=={version(name)}" for name in owners.get(root, [])[:1]]
    return pins
