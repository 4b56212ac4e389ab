"""The proof of a model: its schema, and the golden set with the answers of the object that was fitted."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from mlops_workbench.core.errors import first_line
from mlops_workbench.core.model_schema import InputSpec, ModelSchema
from mlops_workbench.core.personal import is_personal
from mlops_workbench.data.digest import len_of
from mlops_workbench.data.digest_cost import take_rows
from mlops_workbench.data.fitted.answers import PREDICT, PREDICT_PROBA, TRANSFORM
from mlops_workbench.data.fitted.describe import describe_inputs
from mlops_workbench.data.fitted.evaluation import evaluation_parquet, evaluation_rows
from mlops_workbench.data.fitted.golden import TRAINING, golden_parquet, make_golden
from mlops_workbench.data.fitted.replaced import hidden_secrets, other_values
from mlops_workbench.data.reference import FitData, hides_target, holds_secrets

_SEED = 20_260_302
_MOST_CLASSES = 10_000
#: Columns of what a transformer makes.
_WIDEST = 200


@dataclass(frozen=True)
class ModelProof:
    """What proves a model.

    Attributes
    ----------
    schema : ModelSchema
        The schema.
    golden : bytes
        The golden set as Parquet; empty without one.
    evaluation : bytes
        The rows that it was tested on as Parquet; empty without any.
    rows : list of ndarray
        Rows of the training data as the wire has them, without secrets and personal data; empty without a golden set.
    """

    schema: ModelSchema
    golden: bytes = field(default=b"", repr=False)
    evaluation: bytes = field(default=b"", repr=False)
    rows: list[Any] = field(default_factory=list, repr=False)


def prove_model(model: Any, data: FitData, personal: Sequence[str]) -> ModelProof:
    """Describe what a model was fitted on, and ask it about rows.

    Parameters
    ----------
    model : object
        The fitted object.
    data : FitData
        Its training data.
    personal : sequence of str
        Patterns of the names of personal columns.
    """
    hidden = {name for name, part in zip(_labels(data), _parts(data), strict=True) if holds_secrets(name, part)}
    named = {name for name in _labels(data) if is_personal(name, personal)}

    def hides(name: str, _: Any) -> bool:
        return name in hidden or name in named

    schema = describe_inputs(data.given, data.columns, hides)
    secret_target = hides_target(data, personal)
    classes = [] if secret_target else _classes(model)
    schema = msgspec.structs.replace(schema, targets=data.targets, classes=classes)
    if schema.problem or not (hasattr(model, PREDICT) or _is_narrow_transformer(model, data.given)):
        return ModelProof(schema)
    random = np.random.default_rng(_SEED)

    def replace(spec: InputSpec, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if spec.name in hidden:
            return hidden_secrets(spec, values)
        return other_values(spec, values, random) if spec.name in named else values

    try:
        with warnings.catch_warnings():
            # The user has seen what the model says about its own data.
            warnings.simplefilter("ignore")
            schema, golden = make_golden(schema, data.given, lambda rows: answers_of(model, rows), replace)
            content = golden_parquet(golden, schema) if golden else b""
    except Exception as error:  # noqa: BLE001 code of a user's model
        problem = f"it has no answers to its own training data: {type(error).__name__}: {first_line(error)}"
        return ModelProof(msgspec.structs.replace(schema, problem=problem))
    rows = next((found.columns for found in golden if found.kind == TRAINING), [])
    not_kept = [*hidden, *named, *([data.targets[0].name or "the target"] if secret_target and data.targets else [])]
    evaluation, untested = _evaluated(model, schema, data.test, not_kept)
    return ModelProof(msgspec.structs.replace(schema, untested=untested), content, evaluation, rows)


def _evaluated(model: Any, schema: ModelSchema, test: FitData | None, hidden: Sequence[str]) -> tuple[bytes, str]:
    """The rows that a model was tested on, or why they are not kept."""
    if test is None:
        return b"", "no predictions were compared with true values where it was fitted"
    if hidden:
        return b"", f"column '{hidden[0]}' holds secrets or personal data"
    if test.y is None:
        return b"", "the true values are not one column"
    if schema.problem or not schema.outputs:
        return b"", schema.problem or "it has no answers"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = evaluation_rows(schema, test.given, test.y, lambda given: answers_of(model, given))
            return evaluation_parquet(rows, schema), ""
    except Exception as error:  # noqa: BLE001 code of a user's model
        return b"", f"{type(error).__name__}: {first_line(error)}"


def answers_of(model: Any, rows: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Return the answers of a model by method; probabilities only if it gives them, or what a transformer makes.

    Raises
    ------
    Exception
        What the model raises, or `ValueError` for what are no answers to the rows.
    """
    count = len_of(rows)
    if not hasattr(model, PREDICT):
        return {TRANSFORM: asked(model, TRANSFORM, rows, count)}
    found = {PREDICT: asked(model, PREDICT, rows, count)}
    classes = getattr(model, "classes_", None)
    if isinstance(classes, np.ndarray) and classes.ndim == 1 and len(classes) and hasattr(model, PREDICT_PROBA):
        try:
            found[PREDICT_PROBA] = asked(model, PREDICT_PROBA, rows, count)
        except Exception:  # noqa: BLE001 code of a user's model, which may have the method and not support it
            return found
    return found


def _is_narrow_transformer(model: Any, given: Any) -> bool:
    """Whether a model only transforms, to so few columns that they can be kept for many rows."""
    if not hasattr(model, TRANSFORM):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = model.transform(_copied(take_rows(given, np.zeros(1, dtype=int))))
    except Exception:  # noqa: BLE001 code of a user's model
        return False
    return len(getattr(found, "shape", ())) == 2 and found.shape[1] <= _WIDEST


def asked(model: Any, method: str, rows: Any, count: int) -> np.ndarray[Any, Any]:
    """Return the answers of a method, one for each row.

    Raises
    ------
    ValueError
        It returned something else.
    Exception
        What the model raises.
    """
    # A copy: a model may change what it is asked about, and the rows are used again.
    given = getattr(model, method)(_copied(rows), **(silent(model) if method == PREDICT else {}))
    answers = np.asarray(given.toarray() if hasattr(given, "toarray") else given)
    if answers.ndim not in (1, 2) or len(answers) != count:
        shape = f" of shape {answers.shape}" if answers.ndim else ""
        raise ValueError(f"{method} returned {type(given).__name__}{shape} for {count} rows")
    if answers.dtype.kind == "f" and answers.dtype.itemsize > 8:
        return answers.astype(np.float64)
    return answers.astype(answers.dtype.newbyteorder("="), copy=False)


def _copied(rows: Any) -> Any:
    if isinstance(rows, list):
        return list(rows)
    # Tables of Arrow and polars do not change.
    kind = type(rows).__module__.partition(".")[0]
    return rows.copy() if kind in ("pandas", "numpy", "scipy") or isinstance(rows, np.ndarray) else rows


def silent(model: Any) -> dict[str, int]:
    """Return the argument that disables the progress output of ``predict``, if it has one."""
    try:
        verbose = inspect.signature(type(model).predict).parameters.get("verbose")
    except (TypeError, ValueError):
        return {}
    is_set = verbose is not None and verbose.default not in (inspect.Parameter.empty, None, False, 0)
    return {"verbose": 0} if is_set else {}


def _labels(data: FitData) -> list[str]:
    return [column.name for column in data.columns]


def _parts(data: FitData) -> list[Any]:
    from mlops_workbench.data.reference import column_of

    return [column_of(data.X, i) for i in range(len(data.columns))]


def _classes(model: Any) -> list[Any]:
    try:
        classes = getattr(model, "classes_", None)
    except Exception:  # noqa: BLE001 code of a user's model
        return []
    if not isinstance(classes, np.ndarray) or classes.ndim != 1 or len(classes) > _MOST_CLASSES:
        return []
    # JSON has no number for NaN and infinity.
    listed = [str(v) if isinstance(v, float) and not np.isfinite(v) else v for v in classes.tolist()]
    return listed if all(isinstance(label, str | int | float | bool) for label in listed) else list(map(str, listed))
