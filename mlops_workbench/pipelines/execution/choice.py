"""Which instance of a stage with a matrix an input comes from; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mlops_workbench.core.errors import InvalidInput, did_you_mean
from mlops_workbench.core.records import Number
from mlops_workbench.core.shown.formats import number
from mlops_workbench.pipelines.runs.requests import InputRequest


@dataclass(frozen=True)
class Choice:
    """The chosen instance of an input.

    Attributes
    ----------
    instance : str
        Such as ``train@lr=0.1``.
    path : str
        Its output.
    source : str
        Code that assigns the value for the notebook.
    reason : str
        Such as ``max auc: 0.93``.
    """

    instance: str
    path: str
    source: str
    reason: str


def choose(name: str, entry: InputRequest, metrics: Mapping[str, Mapping[str, Number]]) -> Choice:
    """Choose the instance with the highest or lowest metric; NaN never wins, and of equal ones the first does.

    Parameters
    ----------
    name : str
        Name of the input.
    entry : InputRequest
        The input, with `choose` and `candidates`.
    metrics : mapping
        Metrics by instance.

    Raises
    ------
    InvalidInput
        No instance has a value of the metric.
    """
    direction, _, metric = entry.choose.partition(" ")
    values = {instance: metrics.get(instance, {}).get(metric) for instance in entry.candidates}
    numbers = {instance: value for instance, value in values.items() if value is not None and not _nan(value)}
    if not numbers:
        seen = {other for found in metrics.values() for other in found}
        if metric in seen:
            raise InvalidInput(f"input '{name}' cannot be chosen: '{metric}' is NaN in all of {_listed(values)}")
        raise InvalidInput(
            f"input '{name}' cannot be chosen: none of {_listed(values)} has a metric '{metric}'",
            hint=did_you_mean(metric, seen),
        )
    best = (max if direction == "max" else min)(numbers, key=lambda instance: numbers[instance])
    path, source = entry.candidates[best]
    return Choice(best, path, source, f"{entry.choose}: {number(numbers[best])}")


def _nan(value: Number) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _listed(instances: Mapping[str, object]) -> str:
    names = list(instances)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def in_words(choices: Mapping[str, Choice]) -> list[str]:
    """What was chosen for the inputs of a stage, in words."""
    return [f"{name} is of {choice.instance} ({choice.reason})" for name, choice in choices.items()]
