"""The process of one attempt at a stage: ``python -m mlops_workbench.pipelines.stages.stage <stage.json>``.

It is a process of its own because its memory and file descriptors are then freed, and a crash contained.
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
from typing import TYPE_CHECKING, Any, TextIO, cast

import msgspec

from mlops_workbench.core.errors import InvalidInput, Unavailable, WorkbenchError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.reads import READS_VARIABLE
from mlops_workbench.core.secrets.registered import NAMES_VARIABLE
from mlops_workbench.core.shown.log_lines import log_to_stderr
from mlops_workbench.core.stage_io import STAGE_VARIABLE, StageInput, StageOutput, write_stage_io
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cells.secret_values import MaskedStream, SecretValues
from mlops_workbench.pipelines.inputs.materialise import materialise
from mlops_workbench.pipelines.inputs.query import IN_ENVIRONMENT
from mlops_workbench.pipelines.runs.events import AttemptEnded, ProcessStarted, append_event
from mlops_workbench.pipelines.runs.folder import read_struct
from mlops_workbench.pipelines.runs.requests import StageJob, StageRequest
from mlops_workbench.pipelines.stages.kept import keep_files
from mlops_workbench.pipelines.stages.result import ended_as, failed

if TYPE_CHECKING:
    from mlops_workbench.pipelines.cells.record import ExecutionRecord

_START_TIMEOUT = 180  # seconds for a kernel to start, on a machine that starts many
#: Kinds of inputs that are written as Parquet.
_TABLES = ("dataset", "sql")
_STAGE_IO = "stage-io.json"
_READS = "reads.json"
#: Has the kernel write what it has read, which it observes when it is told the name of the file.
_WRITE_REPORT = '__import__("mlops_workbench.capture.provenance.file_reads", fromlist=["_"]).write_report()'

log = logging.getLogger("mlops_workbench.pipelines")


class StageStopped(KeyboardInterrupt):
    """The attempt was asked to end; a KeyboardInterrupt, since an event loop passes on no other exception."""


def main(arguments: list[str]) -> int:
    """Run the stage that the file describes; 0 when it succeeded."""
    job = read_struct(Path(arguments[0]), StageJob)
    names = _secret_names(job.stage)
    secrets = SecretValues.of(names)
    os.environ[NAMES_VARIABLE] = ",".join(names)
    errors = MaskedStream(sys.stderr, secrets)
    sys.stderr = cast(TextIO, errors)
    log_to_stderr(logging.WARNING)  # papermill announces every cell at INFO
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    runner = ProcessIdentity(job.runner_pid, job.runner_started)
    # Before the look at the runner: the next runner either finds this process, or this process does nothing.
    append_event(Path(job.events), ProcessStarted(now_ms(), ProcessIdentity.of() or ProcessIdentity(os.getpid(), 0.0)))
    if not runner.alive():
        return 1
    _watch(runner)
    try:
        ended = _run(job, secrets)
    except KeyboardInterrupt:
        ended = AttemptEnded(now_ms(), "cancelled", "stopped")
    except WorkbenchError as error:
        cause = "kernel_died" if isinstance(error, Unavailable) else "error"
        ended = failed(job.stage, error, cause, mask=secrets.mask)
    except Exception as error:  # noqa: BLE001 - the outermost frame of the process: any error must be recorded
        ended = failed(job.stage, error, "error", traceback.format_exc(), secrets.mask)
    if ended.state == "failed" and signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        # It was asked to end: what failed after that, such as the kernel, failed for that.
        ended = AttemptEnded(now_ms(), "cancelled", "stopped")
    texts = {name: secrets.mask(getattr(ended, name)) for name in ("message", "error", "traceback")}
    append_event(Path(job.events), msgspec.structs.replace(ended, **texts))
    errors.finish()
    return 0 if ended.state == "succeeded" else 1


def _run(job: StageJob, secrets: SecretValues) -> AttemptEnded:
    stage = job.stage
    try:
        _check_secrets(stage)
        workspace = Workspace.find()
        paths = {name: materialise(workspace, name, entry) for name, entry in stage.inputs.items()}
    except WorkbenchError as error:
        return failed(stage, error, "input", mask=secrets.mask)
    described = Path(job.executed).with_name(_STAGE_IO)
    inputs = {
        name: StageInput(found, "table" if stage.inputs[name].kind in _TABLES else "") for name, found in paths.items()
    }
    outputs = {
        name: StageOutput(entry.path, "" if entry.type == "file" else entry.type)
        for name, entry in stage.outputs.items()
    }
    write_stage_io(described, inputs, outputs, stage.params, stage.source)
    os.environ[STAGE_VARIABLE] = str(described)
    observed = Path(job.executed).with_name(_READS)
    if job.kept:
        os.environ[READS_VARIABLE] = str(observed)
    ended = ended_as(stage, _execute(job, secrets, workspace))
    if job.kept and ended.state == "succeeded":
        try:
            keep_files(workspace, stage, Path(job.executed), observed, Path(job.kept))
        except WorkbenchError as error:
            # The stage has done its work; it runs again the next time.
            log.warning("its result is not kept for another run: %s", error)
    return ended


def _secret_names(stage: StageRequest) -> list[str]:
    """Environment variables with secrets: those of parameters and of connections."""
    connections = [entry.connection for entry in stage.inputs.values() if entry.connection.startswith(IN_ENVIRONMENT)]
    return sorted({*stage.secrets.values(), *(connection.removeprefix(IN_ENVIRONMENT) for connection in connections)})


def _check_secrets(stage: StageRequest) -> None:
    missing = [f"{name} ({variable})" for name, variable in stage.secrets.items() if variable not in os.environ]
    if missing:
        raise InvalidInput(
            f"the environment variables of its secrets are not set where the stage runs: {', '.join(missing)}",
            hint="set them for the control plane, and start it again",
        )


def _execute(job: StageJob, secrets: SecretValues, workspace: Workspace) -> ExecutionRecord:
    from mlops_workbench.pipelines.stages.papermill_import import papermill  # isort: skip - before others import it

    from papermill.log import logger

    from mlops_workbench.notebooks.document import read_notebook
    from mlops_workbench.pipelines.cells.client import WorkbenchClient, installed_kernel
    from mlops_workbench.pipelines.cells.record import ExecutionRecord

    stage = job.stage
    notebook = read_notebook(Path(job.copy))
    notebook.metadata["papermill"] = {
        "default_parameters": {},
        "environment_variables": {},
        "input_path": stage.source,
        "output_path": job.executed,
        "parameters": dict(stage.params),
        "version": papermill.__version__,
    }
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])  # as papermill writes it
    record = ExecutionRecord(notebook, job.executed, events=Path(job.events), secrets=secrets)
    folder = Path(stage.source).parent
    client = WorkbenchClient(
        record,
        kernel_name=installed_kernel(notebook, stage.kernel),
        startup_timeout=_START_TIMEOUT,
        timeout_func=_deadline(stage.timeout),
        # Output may arrive after the reply of its cell; the default of four seconds is too short on a busy machine.
        iopub_timeout=60,
        log=logger,
        resources={"metadata": {"path": str(folder)}},
        extension=True,
        closing=_WRITE_REPORT if job.kept else "",
        max_output=int(workspace.settings.pipelines.max_output_mb * 1e6),
        secrets=secrets,
    )
    record.notebook_start()
    try:
        client.execute()
    except BaseException:
        notebook.metadata.papermill["exception"] = True
        raise
    finally:
        record.mark_failure()
        record.notebook_complete()
    return record


def _deadline(timeout: float | None) -> Callable[[Any], float | None]:
    """For each cell, the seconds that are left of the stage's timeout."""
    end = time.monotonic() + timeout if timeout else None
    # nbclient takes 0 for no limit.
    return lambda cell: None if end is None else max(0.001, end - time.monotonic())


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
