"""Metrics of epochs in the result of ``fit``, the model or its trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_workbench.capture.observe.fit import CellFit
from mlops_workbench.capture.observe.metric_values import number
from mlops_workbench.capture.observe.scope import Names
from mlops_workbench.core.members import has, own

#: Attributes with the losses of boosted trees on evaluation data.
_EVALUATIONS = ("evals_result_", "_evals_result")
_MAX_METRICS = 300


def learning_curves(fit: CellFit, names: Names) -> Mapping[str, Any]:
    """Return losses and metrics by name and epoch, or an empty mapping.

    They are those of the result of ``fit`` (``result.history``), of the model (``model.history.history``), or of the
    evaluation data of boosted trees.
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
    """Return the last metrics that a trainer passed to its callbacks (``callback_metrics``)."""
    metrics = trainer.callback_metrics if has(trainer, "callback_metrics") else None
    if not isinstance(metrics, Mapping) or len(metrics) > _MAX_METRICS:
        return {}
    found = {str(name): number(value) for name, value in metrics.items()}
    return {name: value for name, value in found.items() if value is not None}
