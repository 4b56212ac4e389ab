"""Papermill engine ``mlops_workbench``: few atomic saves, correct status, one event per cell.

Papermill's own engine writes the whole notebook 2N+3 times, not atomically, and records a dead kernel or a
timeout as success. This one can be used with plain papermill, too: ``papermill --engine mlops_workbench in out``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager
from papermill.iorw import LocalHandler, papermill_io, write_ipynb
from papermill.log import logger

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import write_atomic

CellStatus = Literal["started", "completed", "failed"]
#: Called with the index of a code cell and its status.
CellListener = Callable[[int, CellStatus], None]

#: Saving takes at most this share of the time.
_SAVE_SHARE = 0.05

_DEAD = "the kernel died: it was killed, ran out of memory, or a library crashed"


class WorkbenchEngine(NBClientEngine):
    """Runs a notebook in a kernel and records its execution.

    Besides the arguments of papermill's engine, `execute_notebook` takes ``on_cell``, a `CellListener`, and
    ``autosave_cell_every``: seconds between two saves while cells run, extended when saving is slow.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: float = 2,
        on_cell: CellListener | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the notebook; errors of cells are recorded in it, from where papermill raises them."""
        record = ExecutionRecord(nb, output_path, log_output, progress_bar, autosave_cell_every, on_cell)
        record.notebook_start()
        try:
            cls.execute_managed_notebook(record, kernel_name, log_output=log_output, **kwargs)
        except BaseException:
            record.nb.metadata.papermill["exception"] = True
            raise
        finally:
            record.notebook_complete()
        return record.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: ExecutionRecord,
        kernel_name: str,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the cells; arguments with another name in papermill are translated."""
        kwargs.pop("input_path", None)
        kwargs.pop("startup_timeout", None)
        timeout = kwargs.pop("timeout", None)
        # Output may arrive after the reply of its cell; the default of four seconds is too short on a busy machine.
        kwargs.setdefault("iopub_timeout", 60)
        client = WorkbenchClient(
            nb_man,
            timeout=execution_timeout or timeout,
            startup_timeout=start_timeout,
            kernel_name=kernel_name,
            log=logger,
            log_output=log_output,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
            **kwargs,
        )
        return client.execute()


class WorkbenchClient(PapermillNotebookClient):
    """Papermill's client, which records a dead kernel and a timeout as failures of their cell."""

    def execute(self, **kwargs: Any) -> Any:
        """Run all cells up to the first that fails."""
        self.reset_execution_trackers()
        with self.setup_kernel(**kwargs):
            try:
                healthy = self.papermill_execute_cells()
            except BaseException:
                self.shutdown_kernel = "immediate"  # without waiting for a busy kernel
                raise
            if healthy:
                info = self.wait_for_reply(self.kc.kernel_info())
                self.nb.metadata["language_info"] = info["content"]["language_info"]
                self.set_widgets_metadata()
            else:
                self.shutdown_kernel = "immediate"
        return self.nb

    def papermill_execute_cells(self) -> bool:
        """Run the cells; False if the kernel cannot be used any more."""
        for index, cell in enumerate(self.nb.cells):
            self.nb_man.cell_start(cell, index)
            failure: tuple[str, str] | None = None
            try:
                self.execute_cell(cell, index)
                continue
            except CellExecutionError as error:
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
                return True
            except DeadKernelError:
                failure = ("DeadKernelError", _DEAD)
                return False
            except CellTimeoutError as error:
                failure = ("CellTimeoutError", str(error).splitlines()[0])
                return False
            except BaseException as error:
                failure = (type(error).__name__, str(error) or "the run was stopped")
                raise
            finally:
                if failure is not None:
                    self.nb_man.cell_crash(self.nb.cells[index], index, *failure)
                self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)
        return True


class ExecutionRecord(NotebookExecutionManager):
    """State of a run in papermill's metadata of the notebook, and the notebook on disk.

    Parameters
    ----------
    nb : NotebookNode
        Notebook that runs.
    output_path : str or None
        Where it is saved; None saves nothing.
    log_output, progress_bar
        See papermill.
    autosave_cell_every : float
        Seconds between two saves; 0 saves only at the start, at a failure and at the end.
    on_cell : CellListener, optional
        Called for every code cell.
    """

    def __init__(
        self,
        nb: Any,
        output_path: str | None,
        log_output: bool,
        progress_bar: bool | dict[str, Any],
        autosave_cell_every: float,
        on_cell: CellListener | None,
    ) -> None:
        super().__init__(nb, output_path, log_output, progress_bar, autosave_cell_every)
        self._on_cell = on_cell
        self._due = 0.0

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Record the start of a cell."""
        super().cell_start(cell, cell_index, **kwargs)
        self._notify(cell, cell_index, "started")

    def cell_crash(self, cell: Any, cell_index: int, name: str, message: str) -> None:
        """Record in the output of a cell that the kernel could not finish it."""
        self.cell_exception(cell, cell_index=cell_index)
        text = f"{name}: {message}"
        cell.outputs.append(
            nbformat.v4.new_output("error", ename=name, evalue=message, traceback=[f"\x1b[0;31m{text}\x1b[0m"])
        )

    def cell_complete(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """Record the end of a cell."""
        super().cell_complete(cell, cell_index, **kwargs)
        failed = cell.metadata.papermill["status"] == self.FAILED
        if failed:
            self.save(force=True)
        self._notify(cell, cell_index, "failed" if failed else "completed")

    def notebook_complete(self, **kwargs: Any) -> None:
        """Record the end of the run; cells that were not reached stay ``pending``."""
        self.end_time = self.now()
        self.nb.metadata.papermill["end_time"] = self.end_time.isoformat()
        if self.start_time is not None:
            self.nb.metadata.papermill["duration"] = (self.end_time - self.start_time).total_seconds()
        self.cleanup_pbar()
        self.save(force=True)

    def autosave_cell(self, **kwargs: Any) -> None:
        """Save output of a running cell, if a save is due."""
        self.save()

    def save(self, *, force: bool = False, nb: Any = None, **kwargs: Any) -> None:
        """Save the notebook if a save is due, or if `force` is set; only then a failure is raised."""
        self.nb = nb or self.nb
        begin = time.monotonic()
        if not self.output_path or (begin < self._due and not force):
            return
        try:
            write_executed(self.nb, str(self.output_path))
        except StorageError:
            if force:
                raise
            logger.warning("the running notebook could not be saved", exc_info=True)
        cost = time.monotonic() - begin
        pause = max(self.autosave_cell_every, cost / _SAVE_SHARE) if self.autosave_cell_every else float("inf")
        self._due = begin + cost + pause

    def _notify(self, cell: Any, index: int | None, status: CellStatus) -> None:
        if self._on_cell and index is not None and cell.cell_type == "code" and cell.source.strip():
            self._on_cell(index, status)


def write_executed(notebook: Any, path: str) -> None:
    """Save a notebook where papermill would, atomically if that is a local file."""
    handler = papermill_io.get_handler(path)
    if isinstance(handler, LocalHandler):
        # The handler has the folder in which papermill was called, before it changed to that of the kernel.
        write_atomic(Path(handler._cwd or "") / path, nbformat.writes(notebook))
    else:
        write_ipynb(notebook, path)
