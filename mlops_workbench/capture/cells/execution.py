"""An execution of a cell."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_workbench.capture.kernel.cell_start import CellStart
from mlops_workbench.core.ids import new_id
from mlops_workbench.notebooks.source import parse_cell, unwrap_magics

if TYPE_CHECKING:
    from mlops_workbench.capture.run.active import ActiveRun


class Execution:
    """A running cell, or one that has just run.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    info : object or None
        IPython's ``ExecutionInfo``; None when this cell loaded the extension.
    source : str
        Source of the cell with its magics.
    start : CellStart, optional
        Its start, if it is observed later.

    Attributes
    ----------
    uid : str
        Id of this execution.
    count : int
        Execution count, 0 when it is not counted.
    cell_id : str
        Id of the cell in the notebook, empty when the client does not send it.
    started_ms : int
        Start, ms since the epoch.
    seconds : float
        Duration; 0 while it runs.
    error : BaseException or None
        Error of the cell; removed after all observers have run.
    run : ActiveRun or None
        Its run, when it is tracked.
    start : CellStart
        What was known when it started.
    """

    def __init__(self, shell: Any, info: Any, source: str, start: CellStart | None = None) -> None:
        self.uid = new_id()
        self.info = info
        self.source = source
        self.start = start or CellStart(shell, info)
        self.count = self.start.count
        self.cell_id: str = getattr(info, "cell_id", None) or ""
        self.started_ms = self.start.started_ms
        self.seconds = 0.0
        self.error: BaseException | None = None
        self.run: ActiveRun | None = None
        self._shell = shell

    @property
    def names(self) -> Mapping[str, Any]:
        """The notebook's namespace."""
        return self._shell.user_ns  # type: ignore[no-any-return]

    @cached_property
    def tree(self) -> ast.Module | None:
        """Syntax tree of the cell with transformed and unwrapped magics; None when it is not Python."""
        # The transformation of the text alone: the shell's own also looks up a single name in a line, by asking the
        # user's object for its class.
        transform = self._shell.input_transformer_manager.transform_cell
        # IPython 9 provides the transformed source, whose computation would take longer than everything else.
        transformed = getattr(self.info, "transformed_cell", None)
        return unwrap_magics(parse_cell(transformed or transform(self.source)), transform)

    def ids(self) -> dict[str, int]:
        """Return the ``id`` of the value of each name at its start; to be called when it starts."""
        if self.start.ids is not None:
            return self.start.ids
        names = self.names
        return dict(zip(names, map(id, names.values()), strict=False))

    def ended(self, error: BaseException | None) -> None:
        """Record the end of the cell's code."""
        self.start.end()
        self.seconds = self.start.seconds
        self.error = error
