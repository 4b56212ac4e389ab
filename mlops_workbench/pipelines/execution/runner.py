"""The process of a run: ``python -m mlops_workbench.pipelines.execution.runner <run folder>``.

It does not depend on the process that requested the run.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.files import file_lock
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.shown.log_lines import log_to_stderr
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.execution.run_execution import RunExecution
from mlops_workbench.pipelines.executors.local import LocalExecutor
from mlops_workbench.pipelines.executors.resources import Schedule
from mlops_workbench.pipelines.runs.events import RunEnded, append_event, read_run_events
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.progress import has_ended

if TYPE_CHECKING:
    from mlops_workbench.pipelines.execution.sweep_runner import SweepRunner

log = logging.getLogger("mlops_workbench.pipelines")

#: A runner that was killed may hold its lock for a moment longer.
_LOCK_SECONDS = 5.0


class Runner:
    """Executes a run on this machine.

    Parameters
    ----------
    folder : RunFolder
        Folder with the request.
    """

    def __init__(self, folder: RunFolder) -> None:
        request = folder.read_request()
        self._workspace = Workspace.open(Path(request.workspace))
        self._executor = LocalExecutor(self._workspace)
        self._session = Session(self._workspace)
        schedule = Schedule(self._executor.capacity, request.workers)
        self._execution = RunExecution(self._workspace, folder, self._executor, schedule, self._session)

    def run(self) -> str:
        """Run to the end and return the final state."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            self._execution.begin()
            while not (state := self._execution.advance()):
                due = self._execution.due
                self._executor.wait(None if due == float("inf") else max(0.0, due - time.monotonic()))
            return state
        finally:
            self._execution.kill()
            self._session.close()

    def _stop(self, number: int, frame: object) -> None:
        self._execution.cancel()
        self._executor.wake()


def main(arguments: list[str]) -> int:
    """Run the pipeline run in a folder; 0 when all stages succeeded."""
    log_to_stderr()
    folder = RunFolder(Path(arguments[0]))
    with file_lock(folder.runner_lock, wait=_LOCK_SECONDS) as alone:
        if not alone or has_ended(read_run_events(folder.events)):
            log.warning("the run has another runner, or has ended")
            return 1
        return _run(folder)


def _run(folder: RunFolder) -> int:
    try:
        return 0 if _runner(folder).run() == "succeeded" else 1
    except Exception as error:  # the outermost frame of the process: any error must be recorded
        log.exception("the runner failed")
        message = error.message if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
        append_event(folder.events, RunEnded(now_ms(), "failed", f"the runner failed: {message}"))
        return 1


def _runner(folder: RunFolder) -> Runner | SweepRunner:
    if folder.read_request().kind != "sweep":
        return Runner(folder)
    from mlops_workbench.pipelines.execution.sweep_runner import SweepRunner

    return SweepRunner(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
