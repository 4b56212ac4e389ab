"""An attempt at a stage, as the runner sees it: its files, its time limits and its result."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.notebooks.document import INJECTED_TAG, read_notebook, tagged_cell, write_notebook
from mlops_workbench.pipelines.cache.entries import StageKey
from mlops_workbench.pipelines.cells.reasons import signal_name
from mlops_workbench.pipelines.execution.choice import Choice
from mlops_workbench.pipelines.executors.base import Handle
from mlops_workbench.pipelines.runs.events import AttemptEnded, read_stage_events
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.requests import StageJob, StageRequest

#: After a stage was asked to stop: for its kernel and what that has started to end, and for its notebook to be saved.
KERNEL_SECONDS = 1.0
SAVE_SECONDS = 15.0
#: For a stage to end itself after its timeout.
_TIMEOUT_SECONDS = 30.0
_LOG = "process.log"
_LONGEST_PAUSE = 24 * 3600.0


@dataclass
class Attempt:
    """A running attempt; `ends` are the times at which the runner intervenes, on the monotonic clock."""

    stage: StageRequest
    number: int
    handle: Handle
    run: ActiveRun
    choices: dict[str, Choice]
    key: StageKey | None
    started_ms: int
    timeout_at: float
    stopped: bool = False
    kill_notebook_at: float = float("inf")
    kill_at: float = field(default=float("inf"))

    @property
    def due(self) -> float:
        """When `enforce` has something to do."""
        return min(self.timeout_at, self.kill_notebook_at, self.kill_at)

    def stop(self) -> None:
        """Ask it to end; what it started ends soon, and its notebook is saved."""
        if self.stopped:
            return
        self.stopped = True
        self.handle.terminate()
        self.kill_notebook_at = time.monotonic() + KERNEL_SECONDS
        self.kill_at = time.monotonic() + SAVE_SECONDS

    def enforce(self) -> None:
        """Intervene where a limit is exceeded."""
        now = time.monotonic()
        if now >= self.timeout_at:
            self.timeout_at = float("inf")
            self.stop()
        if now >= self.kill_notebook_at:
            self.kill_notebook_at = float("inf")
            self.handle.kill_notebook()
        if now >= self.kill_at:
            self.kill_at = float("inf")
            self.handle.kill()


class LostJob:
    """The handle of a job of an earlier runner, after the end of its processes."""

    def poll(self) -> int:
        """Return an exit code; that of the process is not known."""
        return -signal.SIGKILL

    def terminate(self) -> None:
        """Do nothing."""

    def kill_notebook(self) -> None:
        """Do nothing."""

    def kill(self) -> None:
        """Do nothing."""


def timeout_of(stage: StageRequest) -> float:
    """When the runner ends an attempt that begins now and does not end itself after its timeout."""
    return time.monotonic() + stage.timeout + _TIMEOUT_SECONDS if stage.timeout else float("inf")


def log_of(folder: RunFolder, stage: StageRequest, number: int) -> Path:
    """Output of the process of an attempt."""
    return folder.attempt(stage.name, number) / _LOG


def kept_file(folder: RunFolder, stage: StageRequest, number: int) -> Path:
    """File in which the process of an attempt leaves what the cache needs."""
    return folder.attempt(stage.name, number) / "kept.json"


def write_job(folder: RunFolder, stage: StageRequest, number: int, choices: dict[str, Choice]) -> Path:
    """Prepare the folders of an attempt, and write the notebook and the job of its process.

    Raises
    ------
    StorageError
        They cannot be written.
    """
    attempt = folder.attempt(stage.name, number)
    # One that is there is of a runner that was killed before it recorded the start.
    shutil.rmtree(attempt, ignore_errors=True)
    attempt.mkdir(parents=True)
    shutil.rmtree(folder.outputs(stage.name), ignore_errors=True)
    folder.outputs(stage.name).mkdir(parents=True)
    for output in stage.outputs.values():
        Path(output.path).parent.mkdir(parents=True, exist_ok=True)
    copy = folder.copy(stage.name)
    if choices:
        copy = _with_choices(copy, attempt / copy.name, choices)
        chosen = {name: msgspec.structs.replace(stage.inputs[name], files=[one.path]) for name, one in choices.items()}
        stage = msgspec.structs.replace(stage, inputs={**stage.inputs, **chosen})
    runner = ProcessIdentity.of()
    job = StageJob(
        stage=stage,
        copy=str(copy),
        executed=str(folder.executed(stage.name, number)),
        events=str(folder.attempt_events(stage.name, number)),
        runner_pid=runner.pid if runner else os.getpid(),
        runner_started=runner.started if runner else 0.0,
        kept=str(kept_file(folder, stage, number)) if stage.cache.enabled else "",
    )
    write_struct(attempt / "stage.json", job)
    return attempt / "stage.json"


def _with_choices(copy: Path, path: Path, choices: dict[str, Choice]) -> Path:
    """Write a copy of the notebook in which the injected cell assigns the chosen values, too."""
    notebook = read_notebook(copy)
    injected = tagged_cell(notebook, INJECTED_TAG)
    assert injected is not None, "a notebook with inputs to be chosen has an injected cell"
    cell = notebook.cells[injected]
    cell.source = "\n".join([cell.source, *(choice.source for choice in choices.values())])
    write_notebook(notebook, path)
    return path


def reported(folder: RunFolder, stage: StageRequest, number: int) -> AttemptEnded | None:
    """What the process of an attempt has recorded as its result."""
    events = read_stage_events(folder.attempt_events(stage.name, number))
    return next((event for event in events if isinstance(event, AttemptEnded)), None)


def result(folder: RunFolder, attempt: Attempt, *, cancelled: bool) -> AttemptEnded:
    """What became of an attempt whose process has ended: as it reported, else as its process ended.

    What it reports after it was asked to stop, such as a dead kernel, is a consequence of that.
    """
    stage = attempt.stage
    found = reported(folder, stage, attempt.number)
    if found is not None and (found.state == "succeeded" or (found.state == "failed" and not attempt.stopped)):
        return found
    if cancelled:
        return AttemptEnded(now_ms(), "cancelled", "cancelled", "cancelled")
    written = log_of(folder, stage, attempt.number).read_text(errors="replace")[-10_000:]
    if attempt.stopped:
        message = f"the stage took longer than its timeout of {stage.timeout:g} s"
        return AttemptEnded(now_ms(), "failed", message, message, written, cause="timeout")
    code = attempt.handle.poll() or 0
    reason = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with code {code}"
    message = f"the process of the stage {reason}"
    return AttemptEnded(now_ms(), "failed", message, message, written, cause="process_died")


def retry_pause(stage: StageRequest, number: int, ended: AttemptEnded) -> float | None:
    """Seconds after which attempt `number`, which has ended so, is followed by another one; None for never."""
    retries = stage.retries
    if ended.state != "failed" or number > retries.max or ended.cause not in retries.on:
        return None
    # The exponent is bounded, since a float is.
    return min(_LONGEST_PAUSE, retries.backoff * 2.0 ** min(number - 1, 64))
