"""Cells that fit a model become runs by themselves."""

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
    """Makes a run of every cell that is going to fit a model, before it runs.

    A cell that is tracked already, with ``%%track`` or a block of ``with track(...)``, stays as it is.

    Parameters
    ----------
    track : callable
        ``track(options)`` makes the cell that is about to run a run.
    on : bool, default=False
        Whether it begins at once.

    Attributes
    ----------
    on : bool
        Whether cells are tracked.
    """

    what = "whether it fits a model"

    def __init__(self, track: Callable[[CellOptions], None], *, on: bool = False) -> None:
        self.on = on
        self._track = track

    def before(self, execution: Execution) -> None:
        """Begin a run if the cell is going to fit a model."""
        if not self.on or execution.run is not None or _TRACKED.match(execution.source):
            return
        tree = execution.tree
        models = foreseen_models(tree, execution.names)
        if models and not tracks_itself(tree, execution.names):
            self._track(CellOptions(name_of(models), {AUTOTRACK: "true"}, numbered=True))

    def after(self, execution: Execution) -> None:
        """Nothing: the watch ends the run with the cell."""


def name_of(models: list[str]) -> str:
    """Name of a run in which these models are fitted: ``Ridge``, ``Ridge+Lasso``."""
    more = f"+{len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
    return "+".join(models[:_SHOWN]) + more


def tracks_itself(tree: ast.Module | None, names: Names) -> bool:
    """Whether a cell begins a run of its own with ``track``."""
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Call) and called_name(node) == "track":
            value = resolve(node.func, names)
            module = getattr(value, "__module__", "")
            # What the cell itself imports is not known yet; whose else would it be.
            if value is None or str(module).startswith("mlops_workbench"):
                return True
    return False
