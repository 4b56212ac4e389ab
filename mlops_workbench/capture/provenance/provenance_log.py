"""Provenance of runs: the executions they depend on, and whether the notebook reproduces them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from mlops_workbench.capture.cells.execution import Execution
from mlops_workbench.capture.kernel.deferred import DeferredWork
from mlops_workbench.capture.provenance.cell_log import CellLog
from mlops_workbench.capture.provenance.notebook_file import NotebookFile
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.records import Artifact, CellExecuted, Provenance
from mlops_workbench.core.secrets import mask
from mlops_workbench.notebooks.lineage.reproducibility import objections

#: Artifact path of the executed cells.
EXECUTED_CELLS = "executed_cells.ipynb"
_MEDIA_TYPE = "application/x-ipynb+json"
_LOADING = {
    "cell_type": "code",
    "id": "load-mlops-workbench",
    "metadata": {},
    "execution_count": None,
    "outputs": [],
    "source": ["%load_ext mlops_workbench"],
}
_USES = re.compile(r"^\s*(%%track|%mlops|with\b.*\btrack\()|^@track\b", re.MULTILINE)


class ProvenanceLog:
    """Writes a `Provenance` for every run that ended in a cell, and saves the cells it depends on.

    Parameters
    ----------
    session : Session
        Recorder.
    cells : CellLog
        The log of the cells, an observer before this one.
    deferred : DeferredWork
        Queue of work after the reply.
    """

    what = "the provenance of this run"

    def __init__(self, session: Session, cells: CellLog, deferred: DeferredWork) -> None:
        self._session = session
        self._cells = cells
        self._deferred = deferred
        self._file = NotebookFile()

    def before(self, execution: Execution) -> None:
        """Do nothing."""

    def after(self, execution: Execution) -> None:
        """Record the provenance of the runs of a cell; the run of the cell itself shows the warnings on its card."""
        runs = self._cells.runs_of(execution)
        if not runs:
            return
        lineage = self._cells.lineage
        warnings = objections(
            lineage, execution.uid, self._file.read(), given=self._cells.given, names_of=self._cells.names_of
        )
        uids = lineage.upstream(execution.uid)
        for run in runs:
            self._session.write(Provenance(run, uids, warnings))
        if execution.run is not None:
            execution.run.notes.extend(warnings)
        executed = [lineage.steps[uid].execution for uid in uids]
        self._deferred.add(self.what, lambda: self._keep(runs, executed))

    def _keep(self, runs: Sequence[str], executed: Sequence[CellExecuted]) -> None:
        content = executed_notebook(executed)
        for run in runs:
            digest = self._session.store(run, content, wait=False)
            if digest is not None:
                self._session.write(
                    Artifact(run, EXECUTED_CELLS, digest, len(content), _MEDIA_TYPE, "notebook", "observed")
                )


def executed_notebook(executed: Sequence[CellExecuted]) -> bytes:
    """Return executions as a notebook of format 4.5, in their order, that runs from the top.

    The metadata of each cell under ``mlops`` describes its execution; sources are masked. A cell before them loads the
    extension unless they do. Cells that failed are marked, so that programs run the cells after them.
    """
    cells: list[dict[str, Any]] = [] if _loads_extension(executed) else [dict(_LOADING)]
    cells += [
        {
            "cell_type": "code",
            "id": execution.uid,
            "metadata": {
                "mlops": _metadata(execution),
                **({"tags": ["raises-exception"]} if execution.status in ("failed", "interrupted") else {}),
            },
            "execution_count": execution.count or None,
            "outputs": [],
            "source": mask(execution.source).splitlines(keepends=True),
        }
        for execution in executed
    ]
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(notebook, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def _loads_extension(executed: Sequence[CellExecuted]) -> bool:
    """Whether the extension is loaded before a cell needs it."""
    for execution in executed:
        loads = re.search(r"\b(load|reload)_ext\b.*\bmlops_workbench\b", execution.source)
        uses = _USES.search(execution.source)
        if loads or uses:
            return bool(loads and (uses is None or loads.start() < uses.start()))
    return False


def _metadata(execution: CellExecuted) -> dict[str, Any]:
    found: dict[str, Any] = {
        "uid": execution.uid,
        "status": execution.status,
        "started_ms": execution.started_ms,
        "seconds": execution.duration_us / 1e6,
    }
    if execution.cell_id:
        found["cell_id"] = execution.cell_id
    if execution.error:
        found["error"] = execution.error
    return found
