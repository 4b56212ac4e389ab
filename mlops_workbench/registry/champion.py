"""A version beside the champion, on the rows that the version was tested on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlops_workbench.core.model_gates import ChampionGate
from mlops_workbench.core.model_schema import ModelSchema
from mlops_workbench.core.models import GateCheck
from mlops_workbench.core.shown.formats import number
from mlops_workbench.data.fitted.answers import PREDICT, PREDICT_PROBA
from mlops_workbench.data.fitted.evaluation import EvaluationRows, slices_of
from mlops_workbench.registry.statistics import Difference, accuracy_difference, auc_difference, loss_difference

Array = np.ndarray[Any, Any]
#: Compares the answers in some rows, a mask, at a level of confidence.
Comparison = Callable[[Array, float], Difference]

#: Smallest number of rows of a comparison, and of a slice; most slices of a column.
_FEWEST, _FEWEST_OF_SLICE, _MOST_SLICES = 20, 30, 20
_FEWEST_OF_CLASS = 2
_LEAST_PROBABILITY = 1e-15


def compare(
    gate: ChampionGate,
    condition: str,
    schema: ModelSchema,
    rows: EvaluationRows,
    champion: Mapping[str, Any],
    classes: Sequence[Any],
    version: int,
) -> list[GateCheck]:
    """Return the checks: one for all rows, one for each column of slices.

    Parameters
    ----------
    gate : ChampionGate
        What is compared.
    condition : str
        Text of the first check.
    schema : ModelSchema
        Schema of the candidate.
    rows : EvaluationRows
        Rows with their true values, and the candidate's answers.
    champion : mapping or pyarrow.Table
        The champion's answers to the same rows.
    classes : sequence
        The champion's classes in the order of its probabilities.
    version : int
        Version of the champion.

    Raises
    ------
    ValueError
        The metric does not fit the answers, or there are too few rows.
    """
    compared = _comparison(gate.metric, schema, rows, champion, classes)
    everything = np.ones(len(rows.truth), dtype=bool)
    if len(everything) < _FEWEST:
        raise ValueError(f"{len(everything)} rows are too few; {_FEWEST} are needed")
    found = compared(everything, gate.confidence)
    where = f" of version {version} in {len(everything):,} rows"
    checks = [GateCheck(condition, found.low >= -gate.margin, _shown(found, gate.confidence, where), "champion")]
    return [*checks, *(_slices(gate, name, schema, rows, compared) for name in gate.slices)]


def _slices(
    gate: ChampionGate, name: str, schema: ModelSchema, rows: EvaluationRows, compared: Comparison
) -> GateCheck:
    margin = gate.slice_margin if gate.slice_margin is not None else 2 * gate.margin
    condition = f"{gate.metric} in no slice of '{name}' worse by more than {margin:g}"
    found = slices_of(schema.columns, rows.columns, name, _MOST_SLICES)
    large = [(value, mask) for value, mask in found if int(mask.sum()) >= _FEWEST_OF_SLICE]
    if not large:
        raise ValueError(f"no value of '{name}' has {_FEWEST_OF_SLICE} rows")
    # Bonferroni: one of many slices would look worse by chance.
    confidence = 1 - (1 - gate.confidence) / len(large)
    results = []
    for value, mask in large:
        try:
            results.append((value, int(mask.sum()), compared(mask, confidence)))
        except ValueError:
            # The rows of a slice may nearly all be of one class, of which there is no area under a curve.
            continue
    if not results:
        raise ValueError(f"{gate.metric} cannot be computed in any slice of '{name}'")
    value, count, worst = min(results, key=lambda result: result[2].high)
    where = f" in its {count:,} rows, the worst of {len(results)} slices"
    detail = f"{value[:60]}: {_shown(worst, confidence, where)}"
    return GateCheck(condition, worst.high >= -margin, detail, "champion")


def _shown(found: Difference, confidence: float, where: str) -> str:
    better = f"better by {number(found.better)}" if found.better >= 0 else f"worse by {number(-found.better)}"
    p_value = f", p {found.p_value:.2g}" if found.p_value is not None else ""
    return (
        f"{number(found.candidate)} against {number(found.champion)}{where}: {better} "
        f"({100 * confidence:.4g} % interval: {number(found.low)} to {number(found.high)}; {found.method}{p_value})"
    )


def _comparison(
    metric: str, schema: ModelSchema, rows: EvaluationRows, champion: Mapping[str, Any], classes: Sequence[Any]
) -> Comparison:
    if metric == "accuracy":
        mine, theirs = (_right(rows.truth, answers[PREDICT]) for answers in _both(PREDICT, rows, champion))
        return lambda mask, level: accuracy_difference(mine[mask], theirs[mask], level)
    if metric in ("mae", "rmse"):
        truth = _numbers(rows.truth, "the true values")
        errors = [truth - _numbers(answers[PREDICT], "the answers") for answers in _both(PREDICT, rows, champion)]
        if metric == "mae":
            return lambda mask, level: loss_difference(np.abs(errors[0][mask]), np.abs(errors[1][mask]), level)
        return lambda mask, level: loss_difference(errors[0][mask] ** 2, errors[1][mask] ** 2, level, np.sqrt)
    if list(map(_label, classes)) != list(map(_label, schema.classes)):
        raise ValueError("the version and the champion have other classes")
    return _of_probabilities(metric, schema, rows, champion)


def _of_probabilities(
    metric: str, schema: ModelSchema, rows: EvaluationRows, champion: Mapping[str, Any]
) -> Comparison:
    classes = [_label(label) for label in schema.classes]
    names = [f"{PREDICT_PROBA}:{i}" for i in range(len(classes))]
    if len(classes) < 2 or (metric == "auc" and len(classes) > 2):
        raise ValueError(f"{metric} needs the probabilities of {'two' if metric == 'auc' else 'the'} classes")
    both = [
        np.stack([_numbers(answers[name], "the probabilities") for name in names], axis=1)
        for answers in _both(names[-1], rows, champion)
    ]
    codes = {label: code for code, label in enumerate(classes)}
    truth = np.array([codes.get(_label(value), -1) for value in rows.truth.to_pylist()])
    if (truth < 0).any():
        raise ValueError("a true value is none of the classes")
    if metric == "auc":

        def areas(mask: Array, level: float) -> Difference:
            positive = truth[mask] == 1
            if min(positive.sum(), (~positive).sum()) < _FEWEST_OF_CLASS:
                raise ValueError(f"{_FEWEST_OF_CLASS} rows of each class are needed")
            return auc_difference(positive, both[0][mask, 1], both[1][mask, 1], level)

        return areas
    if metric == "log_loss":
        chosen = [probabilities[np.arange(len(truth)), truth] for probabilities in both]
        losses = [-np.log(np.maximum(one, _LEAST_PROBABILITY)) for one in chosen]
    else:
        hot = np.eye(len(classes))[truth]
        # Of two classes, the usual form counts one of them.
        losses = [((one - hot) ** 2).sum(axis=1) / (2 if len(classes) == 2 else 1) for one in both]
    return lambda mask, level: loss_difference(losses[0][mask], losses[1][mask], level)


def _both(name: str, rows: EvaluationRows, champion: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    known = [list(rows.answers), list(getattr(champion, "column_names", None) or champion)]
    for who, columns in zip(("the version", "the champion"), known, strict=True):
        if name not in columns:
            raise ValueError(f"{who} does not answer with {name.partition(':')[0]}")
    return [rows.answers, champion]


def _right(truth: Any, answers: Any) -> Array:
    return np.array([_label(a) == _label(b) for a, b in zip(truth.to_pylist(), answers.to_pylist(), strict=True)])


def _label(value: Any) -> Any:
    """A label that is equal to itself in another type: 1, 1.0 and True, but not the text 1."""
    return float(value) if isinstance(value, bool | int | float) else value


def _numbers(column: Any, what: str) -> Array:
    try:
        values = np.array(column.to_pylist(), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} are not numbers") from error
    if not np.isfinite(values).all():
        raise ValueError(f"some of {what} are missing")
    return values
