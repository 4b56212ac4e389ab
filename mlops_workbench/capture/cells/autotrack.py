"""Automatic tracking of cells that fit a model."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from mlops_workbench.capture.cells.execution import Execution
from mlops_workbench.capture.cells.watch import CellOptions
from mlops_workbench.capture.observe.foresight import foreseen_models
from mlops_workbench.capture.observe.scope import Names, resolve
from mlops_workbench.core.tags import AUTOTRACK
from mlops_workbench.notebooks.source import called_name

_TRACKED = re.compile(r"\s*%%?track\b")
_SHOWN = 3


class Autotrack:
    """Starts a run for every cell that will fit a model, unless the cell uses ``%%track`` or ``track(...)``.

    Parameters
    ----------
    track : callable
        ``track(options)`` makes the next cell a run.
    on : bool, default=False
        Whether cells are tracked.
    """

    what = "whether it fits a model"

    def __init__(self, track: Callable[[CellOptions], None], *, on: bool = False) -> None:
        self.on = on
        self._track = track

    def before(self, execution: Execution) -> None:
        """Start a run if the cell will fit a model."""
        if not self.on or execution.run is not None or _TRACKED.match(execution.source):
            return
        tree = execution.tree
        models = foreseen_models(tree, execution.names)
        if models and not tracks_itself(tree, execution.names):
            self._track(CellOptions(name_of(models), {AUTOTRACK: "true"}, numbered=True))

    def after(self, execution: Execution) -> None:
        """Do nothing: `CellWatch` ends the run."""


def name_of(models: list[str]) -> str:
    """Return the name of a run that fits these models: ``Ridge``, ``Ridge+Lasso``."""
    more = f"+{len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
    return "+".join(models[:_SHOWN]) + more


def tracks_itself(tree: ast.Module | None, names: Names) -> bool:
    """Whether a cell starts a run with ``track``."""
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and called_name(node) == "track":
            value = resolve(node.func, names)
            module = getattr(value, "__module__", "")
            # None: the cell itself imports it.
            if value is None or str(module).startswith("mlops_workbench"):
                return True
    return False
