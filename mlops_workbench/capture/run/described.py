"""The files beside a model that say what it was fitted on, and prove what it answers."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.run.importance import importance_json
from mlops_workbench.capture.run.model_tests import model_tests
from mlops_workbench.capture.run.proof import ModelProof, asked, prove_model
from mlops_workbench.core.model_card import IMPORTANCE_FILE
from mlops_workbench.core.model_schema import (
    EVALUATION_FILE,
    GOLDEN_FILE,
    QUALITY_FILE,
    SCHEMA_FILE,
    TESTS_FILE,
    encode_schema,
)
from mlops_workbench.core.personal import is_personal
from mlops_workbench.core.records import Column
from mlops_workbench.core.secrets.columns import mask_texts
from mlops_workbench.data.describe import describe_dataset
from mlops_workbench.data.fitted.answers import PREDICT
from mlops_workbench.data.fitted.golden import example_values
from mlops_workbench.data.reference import (
    EXAMPLE_ROWS,
    FitData,
    example_json,
    input_example,
    output_columns,
    reference_parquet,
)
from mlops_workbench.data.schema import schema_json
from mlops_workbench.data.tables.columns import is_frame

_REFERENCE, _EXAMPLE = "mlops/reference.parquet", "input_example.json"
Result = TypeVar("Result")


@dataclass
class DescribedModel:
    """Files by their path in the model folder, columns of input and output, and why no endpoint can serve the model."""

    inputs: list[Column]
    outputs: list[Column] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    problem: str = ""


def describe_model(
    model: Any, data: FitData, run_uid: str, personal: Sequence[str], *, is_network: bool
) -> DescribedModel:
    """Describe a model by its training data, without an exception and with the user's random state as it was.

    Parameters
    ----------
    model : object
        The fitted object, or what answers tables for it.
    data : FitData
        Its training data.
    run_uid : str
        Its run.
    personal : sequence of str
        Patterns of the names of personal columns.
    is_network : bool
        Whether it is a neural network, which endpoints do not serve.
    """
    found = DescribedModel(data.columns)
    with _same_random_state():
        _describe(found, model, data, run_uid, personal, is_network=is_network)
    return found


def _describe(
    found: DescribedModel, model: Any, data: FitData, run_uid: str, personal: Sequence[str], *, is_network: bool
) -> None:
    failed: list[str] = []

    def attempt(what: str, work: Callable[[], Result]) -> Result | None:
        try:
            return work()
        except Exception as error:  # noqa: BLE001 values and code of users; the model is saved in any case
            failed.append(f"{what}: {_said(error)}")
            return None

    prediction = _predict(model, data)
    if prediction is not None:
        found.outputs = attempt("the type of its answers", lambda: output_columns(prediction)) or []
    files = {
        _REFERENCE: attempt("a sample of its data", lambda: reference_parquet(data, prediction, personal)),
        _EXAMPLE: attempt("an example of its input", lambda: input_example(data, personal)),
    }
    if not is_network:
        proof = attempt("its schema", lambda: prove_model(model, data, personal))
        files[QUALITY_FILE] = attempt("checks of new data", lambda: _quality(run_uid, data, personal))
        files[TESTS_FILE] = model_tests().encode() or None
        if proof is not None:
            files |= attempt("its schema", lambda: _proof_files(proof)) or {}
            files[IMPORTANCE_FILE] = attempt("importance", lambda: importance_json(model, data, proof))
        if proof is None or SCHEMA_FILE not in files:
            found.problem = f"what it was fitted on cannot be described: {failed[-1]}"
        else:
            found.problem = proof.schema.problem
            if not found.problem:
                found.inputs = [Column(spec.name, spec.type, spec.required) for spec in proof.schema.columns]
    found.files = {path: content for path, content in files.items() if content is not None}
    if failed:
        notify(f"this {type(model).__name__} is saved without {'; '.join(dict.fromkeys(failed))}")


def _proof_files(proof: ModelProof) -> dict[str, bytes]:
    schema = proof.schema
    found = {SCHEMA_FILE: encode_schema(schema)}
    if proof.golden:
        found[GOLDEN_FILE] = proof.golden
    if proof.evaluation:
        found[EVALUATION_FILE] = proof.evaluation
    if proof.rows:
        columns = example_values(schema, proof.rows, EXAMPLE_ROWS)
        names = [column.name for column in schema.columns] if schema.is_named else []
        found[_EXAMPLE] = example_json(names, list(map(mask_texts, columns)))
    return found


def _quality(run_uid: str, data: FitData, personal: Sequence[str]) -> bytes | None:
    """What new training data is checked against, without personal columns."""
    X = data.X
    if is_frame(X):
        # By place: labels that are booleans would be taken for a mask.
        X = X.iloc[:, [place for place, label in enumerate(X.columns) if not is_personal(label, personal)]]
    elif any(is_personal(column.name, personal) for column in data.columns):
        return None
    return schema_json(describe_dataset(run_uid, X).profile, data.rows)


def _predict(model: Any, data: FitData) -> Any:
    if not hasattr(model, PREDICT):
        return None
    try:
        return asked(model, PREDICT, data.given, data.X.shape[0])
    except Exception as error:  # noqa: BLE001 code of a user's model
        notify(
            f"this {type(model).__name__} cannot predict its own training data ({_said(error)});\n"
            "  it is saved without reference predictions. Check that X was passed to fit"
        )
        return None


def _said(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 errors of users
        text = ""
    return f"{type(error).__name__}: {text}"[:300]


@contextmanager
def _same_random_state() -> Iterator[None]:
    """Leave the random states of Python and NumPy as they were: a model may draw numbers when it is asked."""
    numpy: Any = sys.modules["numpy"]
    python, legacy = random.getstate(), numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        numpy.random.set_state(legacy)
