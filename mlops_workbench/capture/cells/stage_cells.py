"""The cells of a stage: what each of them does is recorded into the run of the stage."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from mlops_workbench.capture.cells.cell_run import ObservedCell, warnings_text
from mlops_workbench.capture.cells.execution import Execution
from mlops_workbench.capture.cells.output import OutputTail
from mlops_workbench.capture.kernel.deferred import DeferredWork, quietly
from mlops_workbench.capture.kernel.notices import notify
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.stage_io import STAGE_VARIABLE, read_stage_io
from mlops_workbench.core.tags import WARNINGS

_TRACKED = re.compile(r"\s*%%?track\b")
#: Number of warnings of a stage, in the order of their first occurrence.
_MAX_WARNINGS = 100


class StageCells:
    """Observes every cell of the kernel of a stage, except for those that are runs themselves.

    Parameters
    ----------
    shell : InteractiveShell
        The IPython session.
    session : Session
        Recorder, whose run is that of the stage.
    deferred : DeferredWork
        Queue of work after the reply.
    """

    what = "what this cell of the stage did"

    def __init__(self, shell: Any, session: Session, deferred: DeferredWork) -> None:
        self._shell = shell
        self._session = session
        self._deferred = deferred
        self._cells: dict[str, ObservedCell] = {}
        self._warnings: Counter[str] = Counter()
        self._params = _recorded_params()
        #: Those of them that a cell has assigned with their value, and that later cells may change.
        self._assigned: set[str] = set()
        self._expected = False

    def before(self, execution: Execution) -> None:
        """Begin to observe a cell."""
        run = self._session.run_of_stage()
        if run is None or execution.run is not None or _TRACKED.match(execution.source):
            return
        if not self._expected:
            self._expected = True
            run.expect_params(self._params)
        run.begin_part()
        output = OutputTail(self._shell)
        cell = ObservedCell(self._session, run, execution, output, self._deferred, self._settled)
        self._cells[execution.uid] = cell
        cell.begin()

    def after(self, execution: Execution) -> None:
        """Record what the cell did."""
        cell = self._cells.pop(execution.uid, None)
        if cell is None:
            return
        if execution.run is not None:
            # It became a run while it ran.
            cell.output.stop()
            return
        cell.observe(complete=execution.error is None)
        cell.keep_displays()
        quietly("its warnings", lambda: self._add_warnings(cell))

    def _settled(self, literals: dict[str, Any]) -> dict[str, Any]:
        """Return the literals without the defaults of injected parameters, and without the injected values again."""
        run = self._session.run_of_stage()
        known = run.params if run is not None else {}
        found = {}
        for name, value in literals.items():
            if name in self._params:
                if _same(value, self._params[name]):
                    self._assigned.add(name)
                if name not in self._assigned or _same(value, known.get(name)):
                    continue
            found[name] = value
        return found

    def _add_warnings(self, cell: ObservedCell) -> None:
        if cell.output.warnings:
            self._warnings.update(cell.output.warnings)
            cell.run.tag({WARNINGS: warnings_text(dict(list(self._warnings.items())[:_MAX_WARNINGS]))})


def _recorded_params() -> dict[str, Any]:
    """Return the parameters that the process of the stage has recorded."""
    path = os.environ.get(STAGE_VARIABLE)
    if not path:
        return {}
    try:
        return read_stage_io(Path(path)).params
    except WorkbenchError as error:
        notify(str(error))
        return {}


def _same(value: Any, recorded: Any) -> bool:
    # A parameter that is neither a number nor text is recorded as its text.
    return (type(value) is type(recorded) and value == recorded) or str(value) == recorded
