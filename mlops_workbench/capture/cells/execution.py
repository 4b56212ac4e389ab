"""One execution of a cell, from before it runs until what it left was looked at."""

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
    """What is known of a cell that runs, or has just run.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    info : object or None
        IPython's ``ExecutionInfo``; None when the extension was loaded by this very cell.
    source : str
        The cell as typed, with its magics.

    Attributes
    ----------
    uid : str
        Id of this execution.
    count : int
        Execution count, 0 when it is not counted.
    cell_id : str
        Id of the cell in the notebook, empty when the client does not send it.
    started_ms : int
        When it began, ms since the epoch.
    seconds : float
        How long it ran; 0 while it runs.
    error : BaseException or None
        What ended it; forgotten when all have had their look.
    run : ActiveRun or None
        The run it is, when it is tracked.
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
        """Syntax tree of the cell, magics transformed and unwrapped; None when it is not Python."""
        transform = self._shell.transform_cell
        # IPython 9 tells what it made of the source; to make it again would take longer than all the rest.
        transformed = getattr(self.info, "transformed_cell", None)
        return unwrap_magics(parse_cell(transformed or transform(self.source)), transform)

    def ended(self, error: BaseException | None) -> None:
        """Note that the cell's code is done."""
        self.seconds = time.perf_counter() - self._began
        self.error = error


def _count(shell: Any, *, begun: bool) -> int:
    """Number of the cell that begins now, or has begun.

    IPython 9 raises its own counter before a cell's beginning is announced, IPython 8 after its end; the history
    takes the cell in between, in all versions.
    """
    history = getattr(getattr(shell, "history_manager", None), "input_hist_raw", None)
    return len(history) - begun if history else int(getattr(shell, "execution_count", 0))
