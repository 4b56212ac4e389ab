"""An execution of a cell."""

from __future__ import annotations

import ast
import time
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlops_workbench.core.ids import new_id, now_ms
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
    """

    def __init__(self, shell: Any, info: Any, source: str) -> None:
        self.uid = new_id()
        self.info = info
        self.source = source
        self.count = _count(shell, begun=info is None) if getattr(info, "store_history", True) else 0
        self.cell_id: str = getattr(info, "cell_id", None) or ""
        self.started_ms = now_ms()
        self.seconds = 0.0
        self.error: BaseException | None = None
        self.run: ActiveRun | None = None
        self._shell = shell
        self._began = time.perf_counter()

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

    def ended(self, error: BaseException | None) -> None:
        """Record the end of the cell's code."""
        self.seconds = time.perf_counter() - self._began
        self.error = error


def _count(shell: Any, *, begun: bool) -> int:
    """Return the number of the starting or started cell.

    IPython 9 increments its counter before the event of a cell's start, IPython 8 after its end; the history adds the
    cell in between, in all versions.
    """
    history = getattr(getattr(shell, "history_manager", None), "input_hist_raw", None)
    return len(history) - begun if history else int(getattr(shell, "execution_count", 0))
