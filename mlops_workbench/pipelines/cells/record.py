"""The record of a notebook that runs: papermill's metadata in it, its copy on disk, the events of its cells."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson
from papermill.engines import NotebookExecutionManager
from papermill.iorw import LocalHandler, papermill_io
from papermill.log import logger

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.notebooks.format import nbformat
from mlops_workbench.pipelines.cells.secret_values import SecretValues
from mlops_workbench.pipelines.definition.nouns import Cause
from mlops_workbench.pipelines.runs.events import CellEnded, CellStarted, ProcessStarted, append_event
from mlops_workbench.pipelines.runs.folder import TAIL
from mlops_workbench.pipelines.runs.tail import OutputTail

#: Least pause between two saves in seconds. A running notebook is saved within two seconds.
PAUSE = 1.0
#: Saving takes at most this share of the time.
_SAVE_SHARE = 0.1


@dataclass(frozen=True)
class CellFailure:
    """Why a notebook could not run to its end.

    Attributes
    ----------
    cell : int
        Index of the cell.
    name, value, traceback : str, str, list of str
        The exception, as the kernel reported it.
    cause : str
        ``error``, ``kernel_died`` or ``timeout``; ``stopped`` if the run was stopped from outside.
    """

    cell: int
    name: str
    value: str
    traceback: list[str]
    cause: Cause | Literal["stopped"]


class ExecutionRecord(NotebookExecutionManager):
    """State of a run in papermill's metadata of the notebook, the notebook on disk, and the events of its cells.

    A cell is ``pending`` until it is begun, also after the end of the run: it did not run.

    Parameters
    ----------
    nb : NotebookNode
        Notebook that runs.
    output_path : str or None
        Where it is saved; None saves nothing.
    log_output, progress_bar
        See papermill.
    autosave_cell_every : float
        Least seconds between two saves while a cell runs; 0 saves only between cells.
    events : Path, optional
        File to which the events of code cells are appended, see `mlops_workbench.pipelines.runs.events`.
    secrets : SecretValues, optional
        What is kept out of the notebook on disk.

    Attributes
    ----------
    failure : CellFailure or None
        Why it did not run to its end.
    left_at : tuple of int and str, or None
        Cell with which the notebook ended itself without an error, and how: ``sys.exit()``, ``exit``.
    before_save : callable
        Called before the notebook is saved; completes outputs that are being received.
    """

    def __init__(
        self,
        nb: Any,
        output_path: str | None = None,
        log_output: bool = False,
        progress_bar: bool | dict[str, Any] = False,
        autosave_cell_every: float = PAUSE,
        events: Path | None = None,
        secrets: SecretValues | None = None,
    ) -> None:
        super().__init__(nb, output_path, log_output, progress_bar, autosave_cell_every)
        self.failure: CellFailure | None = None
        self.left_at: tuple[int, str] | None = None
        self.before_save: Callable[[], None] = lambda: None
        self._events = events
        self._secrets = secrets
        self._tail = OutputTail(events.with_name(TAIL)) if events else None
        self._saved = self._due = 0.0
        self._changed = True

    def kernel_started(self, pid: int) -> None:
        """Record the process of the kernel."""
        process = ProcessIdentity.of(pid)
        if self._events and process is not None:
            append_event(self._events, ProcessStarted(now_ms(), process))

    def cell_start(self, cell: Any, cell_index: int | None = None, at: datetime | None = None, **kwargs: Any) -> None:
        """Record the start of a cell, by default now."""
        at = at or datetime.now(UTC)
        super().cell_start(cell, cell_index, **kwargs)
        cell.metadata.papermill["start_time"] = at.isoformat()
        if self._events and cell_index is not None and _runs(cell):
            append_event(self._events, CellStarted(_ms(at), cell_index))

    def cell_fail(self, failure: CellFailure) -> None:
        """Record that a cell failed; an exception that is not among its outputs is added to them."""
        cell = self.nb.cells[failure.cell]
        self.failure = failure
        self.cell_exception(cell, cell_index=failure.cell)
        shown = [output for output in cell.get("outputs", []) if output.output_type == "error"]
        if cell.cell_type == "code" and not any(output.ename == failure.name for output in shown):
            error: Any = nbformat.v4.new_output("error", ename=failure.name, evalue=failure.value)  # type: ignore[no-untyped-call]
            error.traceback = failure.traceback
            cell.outputs.append(error)

    def cell_complete(
        self, cell: Any, cell_index: int | None = None, at: datetime | None = None, **kwargs: Any
    ) -> None:
        """Record the end of a cell, by default now."""
        at = at or datetime.now(UTC)
        super().cell_complete(cell, cell_index, **kwargs)
        failed = cell.metadata.papermill["status"] == self.FAILED
        if failed:
            self.save(force=True)
        if self._events and cell_index is not None and _runs(cell):
            append_event(self._events, CellEnded(_ms(at), cell_index, "failed" if failed else "completed"))

    def notebook_complete(self, nb: Any = None, **kwargs: Any) -> None:
        """Record the end of the run, and save the notebook."""
        self.nb = nb or self.nb
        self.end_time = self.now()
        self.nb.metadata.papermill["end_time"] = self.end_time.isoformat()
        if self.start_time is not None:
            self.nb.metadata.papermill["duration"] = (self.end_time - self.start_time).total_seconds()
        if self.failure is None and self.left_at is None and not self.nb.metadata.papermill.get("exception"):
            self.complete_pbar()
        self.cleanup_pbar()
        self.save(force=True)
        if self._tail is not None:
            self._tail.remove()

    def mark_failure(self) -> None:
        """Insert papermill's notes: one at the top with a link to the cell that failed, one above that cell."""
        if self.failure is None:
            return
        # It imports the engines, which import this module.
        from papermill.execute import ERROR_ANCHOR_MSG, ERROR_MARKER_TAG, ERROR_MESSAGE_TEMPLATE

        count = self.nb.cells[self.failure.cell].get("execution_count")
        notes = [(self.failure.cell, ERROR_ANCHOR_MSG), (0, ERROR_MESSAGE_TEMPLATE % count)]
        for index, text in notes:
            note: Any = nbformat.v4.new_markdown_cell(text, metadata={"tags": [ERROR_MARKER_TAG]})  # type: ignore[no-untyped-call]
            if (self.nb.nbformat, self.nb.nbformat_minor) < (4, 5):
                del note["id"]  # formats before 4.5 do not allow cell ids
            self.nb.cells.insert(index, note)

    def changed(self) -> None:
        """Note that the running cell has other outputs than before."""
        self._changed = True

    def printed(self, text: str) -> None:
        """Note what the running cell printed, without values of secrets."""
        if self._tail is not None:
            self._tail.add(text)

    def autosave_cell(self, **kwargs: Any) -> None:
        """Save the outputs of a running cell, if there are new ones and a save is due."""
        if self._tail is not None:
            self._tail.write()
        due = self._saved + self.autosave_cell_every
        if self._changed and self.autosave_cell_every and time.monotonic() >= due:
            self.save()

    def save(self, *, force: bool = False, nb: Any = None, **kwargs: Any) -> None:
        """Save the notebook if a save is due, or if `force` is set; only then a failure is raised."""
        self.nb = nb or self.nb
        self._changed = True
        begin = time.monotonic()
        if not self.output_path or (begin < self._due and not force):
            return
        try:
            write_executed(str(self.output_path), self.text(final=force))
            self._changed = False
        except StorageError:
            if force:
                raise
            logger.warning("the running notebook could not be saved", exc_info=True)
        self._saved = time.monotonic()
        self._due = self._saved + max(PAUSE, (self._saved - begin) / _SAVE_SHARE)

    def text(self, *, final: bool = True) -> str:
        """The notebook as it is now, without values of secrets.

        Parameters
        ----------
        final : bool
            Whether to check it against the format, and to write it as Jupyter does; this takes ten times as long.
        """
        self.before_save()
        return _text(self._without_secrets() if self._secrets else self.nb, final)

    def _without_secrets(self) -> Any:
        """The notebook without values of secrets in its code; they were kept out of its outputs as these arrived."""
        secrets = self._secrets or SecretValues({})
        papermill = self.nb.metadata.get("papermill", {})
        parameters = secrets.mask_all(papermill.get("parameters", {}))
        metadata = {**self.nb.metadata, "papermill": {**papermill, "parameters": parameters}}
        cells = [{**cell, "source": secrets.mask(cell.source)} for cell in self.nb.cells]
        return nbformat.from_dict({**self.nb, "metadata": metadata, "cells": cells})  # type: ignore[no-untyped-call]


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _runs(cell: Any) -> bool:
    return bool(cell.cell_type == "code" and cell.source.strip())


def write_executed(path: str, text: str) -> None:
    """Save the text of a notebook where papermill would, atomically if that is a local file."""
    handler = papermill_io.get_handler(path)
    if isinstance(handler, LocalHandler):
        # The handler has the folder in which papermill was called, before it changed to that of the kernel.
        write_atomic(Path(handler._cwd or "") / path, text)
    else:
        papermill_io.write(text, path)


def _text(notebook: Any, final: bool) -> str:
    if not final:
        try:
            return orjson.dumps(notebook, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
        except orjson.JSONEncodeError:
            pass  # Integers and nesting that only the standard library writes.
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    try:
        text.encode()
    except UnicodeEncodeError:
        # Halves of surrogate pairs, which UTF-8 cannot express but JSON can.
        text = json.dumps(json.loads(text), indent=1, sort_keys=True)
    return text + ("" if text.endswith("\n") else "\n")
