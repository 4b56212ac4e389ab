"""The process of one attempt at a stage: ``python -m mlops_workbench.pipelines.execution.stage <stage.json>``.

It is a process of its own because papermill changes the working folder of the process, and because its memory and file
descriptors are then freed, and a crash contained.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.shown.log_lines import log_to_stderr
from mlops_workbench.core.shown.plain_text import without_sequences
from mlops_workbench.pipelines.runs.events import AttemptEnded, CellEnded, CellStarted, append_event
from mlops_workbench.pipelines.runs.folder import read_struct
from mlops_workbench.pipelines.runs.requests import StageJob, StageRequest

_START_TIMEOUT = 180  # seconds for a kernel to start, on a machine that starts many
_MESSAGE = 2000


class StageStopped(KeyboardInterrupt):
    """The attempt was asked to end; a KeyboardInterrupt, since an event loop passes on no other exception."""


def main(arguments: list[str]) -> int:
    """Run the stage that the file describes; 0 when it succeeded."""
    # Papermill announces every cell at INFO.
    log_to_stderr(logging.WARNING)
    job = read_struct(Path(arguments[0]), StageJob)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    _watch(ProcessIdentity(job.runner_pid, job.runner_started))
    try:
        ended = _run(job)
    except KeyboardInterrupt:
        ended = AttemptEnded(now_ms(), "cancelled", "stopped")
    except Exception as error:  # noqa: BLE001 - the outermost frame of the process: any error must be recorded
        message = error.message if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
        ended = AttemptEnded(now_ms(), "failed", message[:_MESSAGE], message[:_MESSAGE], traceback.format_exc())
    append_event(Path(job.events), ended)
    return 0 if ended.state == "succeeded" else 1


def _run(job: StageJob) -> AttemptEnded:
    # These take a second to import, and are used only for nbformat's check of URLs and papermill's HDFS paths, which
    # pipelines do not have.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from papermill.iorw import LocalHandler, papermill_io

    from mlops_workbench.notebooks.document import read_notebook

    class AtomicHandler(LocalHandler):
        def write(self, buf: str, path: str) -> None:
            write_atomic(Path(path), buf)

    papermill_io.register("/", AtomicHandler())  # every absolute path
    stage = job.stage
    try:
        papermill.execute_notebook(
            read_notebook(Path(job.copy)),
            # papermill formats paths with the parameters, so braces in it must be doubled.
            job.executed.replace("{", "{{").replace("}", "}}"),
            engine_name="mlops_workbench",
            kernel_name=stage.kernel,
            progress_bar=False,
            start_timeout=_START_TIMEOUT,
            cwd=str(Path(stage.source).parent),
            on_cell=_listener(Path(job.events)),
            timeout_func=_deadline(stage.timeout),
        )
    except PapermillExecutionError as error:
        return _failure(stage, error)
    missing = [f"'{name}' ({file.path})" for name, file in stage.outputs.items() if not Path(file.path).exists()]
    if missing:
        message = f"{stage.notebook} did not write its output {' and '.join(missing)}"
        return AttemptEnded(now_ms(), "failed", message, message)
    return AttemptEnded(now_ms(), "succeeded")


def _listener(events: Path) -> Callable[[int, str], None]:
    def on_cell(index: int, status: str) -> None:
        at_ms = now_ms()
        append_event(events, CellStarted(at_ms, index) if status == "started" else CellEnded(at_ms, index, status))

    return on_cell


def _deadline(timeout: float | None) -> Callable[[Any], float | None]:
    """For each cell, the seconds that are left of the stage's timeout."""
    end = time.monotonic() + timeout if timeout else None
    # nbclient takes 0 for no limit.
    return lambda cell: None if end is None else max(0.001, end - time.monotonic())


def _failure(stage: StageRequest, error: Any) -> AttemptEnded:
    name, value = str(error.ename), str(error.evalue)
    if name == "CellTimeoutError" and stage.timeout:
        value = f"the stage took longer than its timeout of {stage.timeout:g} s"
    # Cells are numbered from 1 as in the user's notebook, which has no injected cell.
    cell = error.cell_index + (0 if error.cell_index > stage.injected else 1)
    what = value if name in ("DeadKernelError", "CellTimeoutError") else f"{name}: {value}" if value else name
    message = without_sequences(f"{stage.notebook}, cell {cell}: {what}")[:_MESSAGE]
    return AttemptEnded(
        now_ms(), "failed", message, f"{name}: {value}"[:_MESSAGE], without_sequences("\n".join(error.traceback))
    )


def _stop(number: int, frame: object) -> None:
    # Once only, since the clean-up that follows must not be interrupted.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise StageStopped(f"stopped by {signal.Signals(number).name}")


def _watch(runner: ProcessIdentity) -> None:
    """End this process when the runner ends, so that a killed run leaves no kernel behind."""

    def watch() -> None:
        while runner.alive():
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="runner-watch").start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
