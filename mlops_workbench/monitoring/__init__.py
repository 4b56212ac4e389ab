"""Monitoring: windows of live predictions, drift, quality once true labels are known, and alerts.

Names are loaded on first use, so that a report in a kernel does not import DuckDB and SciPy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_workbench.monitoring.alerts import decide, should_trigger
    from mlops_workbench.monitoring.monitor import evaluate

_EXPORTS = {
    "decide": "alerts",
    "evaluate": "monitor",
    "should_trigger": "alerts",
}

__all__ = ["decide", "evaluate", "should_trigger"]


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'mlops_workbench.monitoring' has no attribute '{name}'")
    return getattr(import_module(f"mlops_workbench.monitoring.{module}"), name)
