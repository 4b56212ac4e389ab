"""Permutation importance of the inputs of a model, computed when it is saved.

A column is permuted, and the importance is how much the score falls (Breiman, Random Forests, 2001; the form for any
model is that of Fisher, Rudin and Dominici, 2019). It is on training data, so a model that overfits has it too.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from mlops_workbench.capture.run.proof import ModelProof, silent
from mlops_workbench.core.model_card import ColumnImportance, ModelImportance, Score
from mlops_workbench.data.fitted.answers import PREDICT
from mlops_workbench.data.fitted.inputs import ModelInputs
from mlops_workbench.data.reference import FitData

Array = np.ndarray[Any, Any]

_ROWS, _REPEATS, _COLUMNS = 1000, 3, 200
#: No column is begun after these seconds.
SECONDS = 3.0
#: Rows and repeats are chosen so that all columns take about these seconds: saving must stay quick.
_PLANNED = 0.2
#: Seconds of a question after which a model is not asked about four times as many rows.
_SLOW = 0.1
#: Fewest rows of a permutation, and rows that are asked about first.
_FEWEST_ROWS, _FIRST_ROWS = 100, 20
#: Limits of one question to the model: cells, and seconds; and of the cells of all questions.
_CELLS, _ASKED_SECONDS, _ALL_CELLS = 1_000_000, 0.2, 20_000_000
_SEED = 20_261_128


def importance_json(model: Any, data: FitData, proof: ModelProof) -> bytes | None:
    """Return the importance of the inputs of a model as JSON; None if it has none or the model raises.

    Parameters
    ----------
    model : object
        The fitted object.
    data : FitData
        Its training data.
    proof : ModelProof
        Its schema and golden set.
    """
    schema = proof.schema
    score = _score_of(proof)
    if data.y is None or score is None or not proof.golden or len(schema.columns) > _COLUMNS:
        return None
    inputs = ModelInputs(schema)

    def predict(columns: Sequence[Array]) -> Array:
        return np.asarray(model.predict(inputs.restore(columns), **silent(model))).ravel()

    try:
        with warnings.catch_warnings():
            # The user has seen what the model says about its own data.
            warnings.simplefilter("ignore")
            names = [spec.name for spec in schema.columns]
            found = permutation_importance(names, inputs.wire(data.given), np.asarray(data.y), predict, score)
    except Exception:  # noqa: BLE001 code of a user's model
        return None
    return msgspec.json.format(msgspec.json.encode(found), indent=1) if found is not None else None


def permutation_importance(
    names: Sequence[str],
    columns: Sequence[Array],
    target: Array,
    predict: Callable[[Sequence[Array]], Array],
    metric: Score,
    clock: Callable[[], float] = time.monotonic,
) -> ModelImportance | None:
    """Return the importance of columns.

    Parameters
    ----------
    names, columns : sequence
        Names and values, of shape (rows,), of the columns.
    target : ndarray of shape (rows,)
        What is predicted.
    predict : callable
        Gives a prediction of shape (rows,) for such columns; raises what the model raises.
    metric : str
        ``accuracy`` or ``r2``.
    clock : callable
        Gives seconds.

    Returns
    -------
    ModelImportance or None
        None if the score is not a finite number.
    """
    deadline = clock() + SECONDS
    rows, repeats = _plan(columns, predict, clock)
    score = _accuracy if metric == "accuracy" else _r2
    chosen = _spread(len(target), rows)
    columns, target = [values[chosen] for values in columns], target[chosen]
    begun = clock()
    base = score(target, predict(columns))
    if not np.isfinite(base):
        return None
    seconds = max(clock() - begun, 1e-6)
    together = max(1, min(_CELLS // (repeats * rows * len(columns)), int(_ASKED_SECONDS / (seconds * repeats))))
    found: list[ColumnImportance] = []
    while len(found) < len(names) and clock() < deadline:
        group = range(len(found), min(len(found) + together, len(names)))
        answers = predict(_permuted(columns, group, repeats)).reshape(len(group), repeats, rows)
        for position, answer in zip(group, answers, strict=True):
            falls = [base - score(target, repeat) for repeat in answer]
            found.append(ColumnImportance(names[position], float(np.mean(falls)), float(np.std(falls))))
    return ModelImportance(metric, float(base), rows, repeats, found, list(names[len(found) :]))


def _score_of(proof: ModelProof) -> Score | None:
    """The score of a classifier or a regressor of one target; None for other models."""
    schema = proof.schema
    answer = next((output for output in schema.outputs if output.name == PREDICT), None)
    if schema.problem or len(schema.targets) != 1 or answer is None or answer.width > 1:
        return None
    if schema.classes:
        return "accuracy"
    # Clusters and outliers are whole numbers.
    return "r2" if answer.dtype.startswith("float") else None


def _plan(
    columns: Sequence[Array], predict: Callable[[Sequence[Array]], Array], clock: Callable[[], float]
) -> tuple[int, int]:
    """Number of rows and of repeats, by the time of a few rows and of more."""

    def seconds(rows: int) -> float:
        sample = _spread(count, rows)
        begun = clock()
        predict([values[sample] for values in columns])
        return max(clock() - begun, 1e-6)

    count = len(columns[0])
    asked, last = min(_FIRST_ROWS, count), 0.0
    each = (last := seconds(asked)) / asked
    # Much of the time of a quick model does not depend on the rows, and they are asked about together. A slow one is
    # not asked about more rows.
    while asked < min(_ROWS, count) and last < _SLOW:
        before, fewer = last, asked
        asked = min(4 * asked, count, _ROWS)
        last = seconds(asked)
        each = max((last - before) / (asked - fewer), last / asked / 3)
    # Each column is asked about in rows of all columns.
    affordable = min(_PLANNED / each / len(columns), _ALL_CELLS / len(columns) ** 2)
    fewest = min(_FEWEST_ROWS, count)
    for repeats in range(_REPEATS, 0, -1):
        rows = min(_ROWS, count, int(affordable / repeats))
        if rows >= fewest:
            return rows, repeats
    return fewest, 1


def _permuted(columns: Sequence[Array], positions: range, repeats: int) -> list[Array]:
    """All columns once for each of `positions` and each repeat, one below the other; that one is permuted."""
    rows, times = len(columns[0]), len(positions) * repeats
    tiled = [np.concatenate([values] * times) for values in columns]
    for number, position in enumerate(positions):
        # A generator for each column, so that its result does not depend on the others.
        random = np.random.default_rng([_SEED, position])
        for repeat in range(repeats):
            start = (number * repeats + repeat) * rows
            tiled[position][start : start + rows] = columns[position][random.permutation(rows)]
    return tiled


def _spread(count: int, rows: int) -> Array:
    return np.linspace(0, count - 1, min(rows, count)).astype(int)


def _accuracy(target: Array, answer: Array) -> float:
    return float(np.mean(np.asarray(target == answer)))


def _r2(target: Array, answer: Array) -> float:
    truth = target.astype(float)
    spread = float(np.sum((truth - truth.mean()) ** 2))
    return 1 - float(np.sum((truth - answer) ** 2)) / spread if spread else float("nan")
