"""The proof of a model: its schema, and the golden set with the answers of the object that was fitted."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from mlops_workbench.core.model_schema import InputSpec, ModelSchema
from mlops_workbench.core.personal import is_personal
from mlops_workbench.data.fitted.answers import PREDICT, PREDICT_PROBA
from mlops_workbench.data.fitted.describe import describe_inputs
from mlops_workbench.data.fitted.evaluation import evaluation_parquet, evaluation_rows
from mlops_workbench.data.fitted.golden import TRAINING, golden_parquet, make_golden
from mlops_workbench.data.fitted.replaced import hidden_secrets, other_values
from mlops_workbench.data.reference import FitData, hides_target, holds_secrets

_SEED = 20_260_302
_MOST_CLASSES = 10_000


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
    if schema.problem or not hasattr(model, PREDICT):
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
        problem = f"it has no answers to its own training data: {type(error).__name__}: {_first_line(error)}"
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
        return b"", f"{type(error).__name__}: {_first_line(error)}"


def answers_of(model: Any, rows: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Return the answers of a model by method.

    Raises
    ------
    Exception
        What the model raises.
    """
    found = {PREDICT: np.asarray(model.predict(rows, **silent(model)))}
    if isinstance(getattr(model, "classes_", None), np.ndarray) and callable(getattr(model, PREDICT_PROBA, None)):
        found[PREDICT_PROBA] = np.asarray(model.predict_proba(rows))
    return found


def silent(model: Any) -> dict[str, int]:
    """Return the argument that disables the progress output of ``predict``, if it has one."""
    try:
        verbose = inspect.signature(type(model).predict).parameters.get("verbose")
    except (TypeError, ValueError):
        return {}
    return {"verbose": 0} if verbose is not None and verbose.default else {}


def _labels(data: FitData) -> list[str]:
    return [column.name for column in data.columns]


def _parts(data: FitData) -> list[Any]:
    from mlops_workbench.data.reference import column_of

    return [column_of(data.X, i) for i in range(len(data.columns))]


def _classes(model: Any) -> list[Any]:
    classes = getattr(model, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1 or len(classes) > _MOST_CLASSES:
        return []
    listed = classes.tolist()
    return listed if all(isinstance(label, str | int | float | bool) for label in listed) else list(map(str, listed))


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:300] if lines else ""
