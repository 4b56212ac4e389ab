"""What a training tells of its epochs: in what ``fit`` gave, or in the model and its trainer afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_workbench.capture.observe.fit import CellFit
from mlops_workbench.capture.observe.metric_values import number
from mlops_workbench.capture.observe.scope import Names
from mlops_workbench.core.members import has, own

#: Attributes in which boosted trees keep the losses on the data they were watched on.
_EVALUATIONS = ("evals_result_", "_evals_result")
_MAX_METRICS = 300


def learning_curves(fit: CellFit, names: Names) -> Mapping[str, Any]:
    """Losses and metrics by name and epoch, empty when the training keeps none.

    Those of the object that ``fit`` returned (``result.history``), of the one that the model keeps
    (``model.history.history``), or those of data that boosting was watched on.
    """
    attributes = own(fit.model)
    for kept in (names.get(fit.result), attributes.get("history")):
        curves = own(kept).get("history")
        if isinstance(curves, dict):
            return curves
    for name in _EVALUATIONS:
        if isinstance(curves := attributes.get(name), dict):
            return curves
    return {}


def last_metrics(trainer: Any) -> dict[str, float | int]:
    """Numbers that a trainer has last told its callbacks (``callback_metrics``)."""
    if not has(trainer, "callback_metrics"):
        return {}
    told = trainer.callback_metrics
    if not isinstance(told, Mapping) or len(told) > _MAX_METRICS:
        return {}
    found = {str(name): number(value) for name, value in told.items()}
    return {name: value for name, value in found.items() if value is not None}
