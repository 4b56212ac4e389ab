"""Papermill engine ``mlops_workbench``: few atomic saves, a true record of every end, one event per cell.

Papermill's own engine writes the whole notebook 2N+3 times, not atomically, and records a dead kernel or a
timeout as success. This one can be used with plain papermill, too: ``papermill --engine mlops_workbench in out``. The
run is then tracked like any other.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from papermill.engines import NBClientEngine
from papermill.log import logger

from mlops_workbench.pipelines.cells.client import WorkbenchClient
from mlops_workbench.pipelines.cells.record import PAUSE, ExecutionRecord
from mlops_workbench.pipelines.stages.tracked import TrackedRun, track_run


class WorkbenchEngine(NBClientEngine):
    """Runs a notebook in a kernel and records its execution.

    Besides the arguments of papermill's engine, `execute_notebook` takes

    * ``events``: path of a file to which the events of cells are appended;
    * ``track``: False to not track the run; a run in a stage, whose ``MLOPS_RUN_UID`` is set, is that of the stage;
    * ``max_output``: bytes of output that are kept of a cell;
    * ``autosave_cell_every``: least seconds between two saves while a cell runs, extended when saving is slow.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool | dict[str, Any] = True,
        log_output: bool = False,
        autosave_cell_every: float = PAUSE,
        events: str | Path | None = None,
        track: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Run the notebook; errors of cells are recorded in it, from where papermill raises them."""
        record = ExecutionRecord(
            nb, output_path, log_output, progress_bar, autosave_cell_every, Path(events) if events else None
        )
        run = track_run(nb, kwargs.get("input_path")) if track and not os.environ.get("MLOPS_RUN_UID") else None
        error: BaseException | None = None
        record.notebook_start()
        try:
            cls.execute_managed_notebook(record, kernel_name, log_output=log_output, run=run, **kwargs)
        except BaseException as caught:
            error = caught
            record.nb.metadata.papermill["exception"] = True
            raise
        finally:
            record.notebook_complete()
            if run is not None:
                run.end(record, error)
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
        run: TrackedRun | None = None,
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
            extension=run is not None or bool(os.environ.get("MLOPS_RUN_UID")),
            **kwargs,
        )
        return client.execute(**({"env": run.environment} if run else {}))
