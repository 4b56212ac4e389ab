"""The process of a pipeline run: ``python -m mlops_workbench.pipelines.execution.runner <run folder>``.

It starts a process per stage, as many at a time as allowed, and writes events to the run's log and to the journal.
It does not depend on the process that requested the run.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import WorkbenchError
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.shown.log_lines import log_to_stderr
from mlops_workbench.core.tags import ATTEMPT, INPUT_PREFIX, PIPELINE, PIPELINE_RUN, REASON, STAGE
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.runs.events import (
    AttemptEnded,
    CancelRequested,
    RunEnded,
    RunStarted,
    StageEnded,
    StageStarted,
    append_event,
    read_run_events,
    read_stage_events,
)
from mlops_workbench.pipelines.runs.folder import RunFolder, write_struct
from mlops_workbench.pipelines.runs.requests import RunRequest, StageJob, StageRequest

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 15.0  # for a stopped stage to end its kernel and save its notebook
_TIMEOUT_GRACE_SECONDS = 60.0  # for a stage to end itself after its timeout
_STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
_LOG = "process.log"

log = logging.getLogger("mlops_workbench.pipelines")


@dataclass
class _Attempt:
    """A running attempt at a stage."""

    stage: StageRequest
    number: int
    process: subprocess.Popen[bytes]
    run: ActiveRun
    deadline: float
    kill_at: float = 0.0


class Runner:
    """Runs the stages of one pipeline run.

    Parameters
    ----------
    folder : RunFolder
        Folder with the request.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._request: RunRequest = folder.read_request()
        self._workspace = Workspace.open(Path(self._request.workspace))
        self._states: dict[str, str] = {stage.name: "pending" for stage in self._request.stages}
        self._messages: dict[str, str] = {}
        self._running: list[_Attempt] = []
        self._stopping = False
        self._session = Session(self._workspace)
        self._parent: ActiveRun

    def run(self) -> str:
        """Run to the end and return the final state."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            return self._run()
        finally:
            for attempt in self._running:
                attempt.process.kill()
            self._session.close()

    def _run(self) -> str:
        request = self._request
        self._parent = self._session.start_run(
            request.pipeline,
            experiment=request.experiment,
            kind="pipeline",
            notebook="",
            tags={PIPELINE: request.pipeline, PIPELINE_RUN: request.id, REASON: request.reason},
        )
        append_event(self._folder.events, RunStarted(now_ms(), self._parent.uid))
        # A run may be cancelled before it has a process that can receive a signal.
        if any(isinstance(event, CancelRequested) for event in read_run_events(self._folder.events)):
            self._stopping = True
        try:
            self._parent.log_params(dict(request.params))
            if self._folder.spec.exists():
                self._parent.log_artifact(
                    self._folder.spec, f"{request.pipeline}.yaml", kind="code", media_type="application/yaml"
                )
            self._work()
        except Exception as error:
            self._parent.end("FAILED", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
            raise
        return self._conclude()

    def _work(self) -> None:
        while True:
            self._skip()
            if self._stopping:
                self._cancel()
            else:
                self._start_ready()
            if not self._running:
                return
            time.sleep(_POLL_SECONDS)
            for attempt in list(self._running):
                if attempt.process.poll() is not None:
                    self._running.remove(attempt)
                    self._finish(attempt)
                else:
                    self._enforce(attempt)

    def _start_ready(self) -> None:
        for stage in self._request.stages:
            if len(self._running) >= self._request.workers:
                return
            ready = all(self._states[needed] == "succeeded" for needed in stage.needs)
            if self._states[stage.name] == "pending" and ready:
                self._start(stage, 1)

    def _skip(self) -> None:
        """Skip stages whose needed stages did not succeed; one pass, since the order is topological."""
        for stage in self._request.stages:
            lost = [needed for needed in stage.needs if self._states[needed] in ("failed", "skipped", "cancelled")]
            if self._states[stage.name] == "pending" and lost:
                self._set(stage.name, "skipped", f"stage '{lost[0]}' did not succeed")

    def _start(self, stage: StageRequest, number: int) -> None:
        job = self._write_job(stage, number)
        run = self._start_run(stage, number)
        append_event(self._folder.events, StageStarted(now_ms(), stage.name, number, run.uid))
        process = self._start_process(job, run)
        limit = stage.timeout + _TIMEOUT_GRACE_SECONDS if stage.timeout else float("inf")
        self._states[stage.name] = "running"
        self._running.append(_Attempt(stage, number, process, run, time.monotonic() + limit))

    def _write_job(self, stage: StageRequest, number: int) -> Path:
        """Prepare the folders of an attempt, and write the job of its process."""
        folder, name = self._folder, stage.name
        attempt = folder.attempt(name, number)
        attempt.mkdir(parents=True)
        shutil.rmtree(folder.outputs(name), ignore_errors=True)
        folder.outputs(name).mkdir(parents=True)
        for output in stage.outputs.values():
            Path(output.path).parent.mkdir(parents=True, exist_ok=True)
        runner = ProcessIdentity.of()
        job = StageJob(
            stage=stage,
            copy=str(folder.copy(name)),
            executed=str(folder.executed(name, number)),
            events=str(folder.attempt_events(name, number)),
            runner_pid=runner.pid if runner else os.getpid(),
            runner_started=runner.started if runner else 0.0,
        )
        write_struct(attempt / "stage.json", job)
        return attempt / "stage.json"

    def _start_run(self, stage: StageRequest, number: int) -> ActiveRun:
        tags = {PIPELINE: self._request.pipeline, PIPELINE_RUN: self._request.id, STAGE: stage.name}
        tags |= {f"{INPUT_PREFIX}{name}": entry.source for name, entry in stage.inputs.items()}
        run = self._session.start_run(
            stage.name,
            experiment=self._request.experiment,
            kind="stage",
            parent_uid=self._parent.uid,
            notebook=stage.source,
            tags=tags | ({ATTEMPT: str(number)} if number > 1 else {}),
        )
        run.log_params(dict(stage.params))
        return run

    def _start_process(self, job: Path, run: ActiveRun) -> subprocess.Popen[bytes]:
        environment = {
            # Stages run beside each other, an endpoint and a kernel: with threads that spin while they wait, the same
            # training took ten times as long.
            "OMP_WAIT_POLICY": "PASSIVE",
            **os.environ,
            "MLOPS_WORKSPACE": str(self._workspace.root),
            "MLOPS_RUN_UID": run.uid,
            "MLOPS_EXPERIMENT": self._request.experiment,
        }
        with open(job.with_name(_LOG), "ab") as output:
            # -P: a module beside the notebook must not shadow an installed one.
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "mlops_workbench.pipelines.execution.stage", str(job)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=job.parent,
                env=environment,
            )

    def _enforce(self, attempt: _Attempt) -> None:
        now = time.monotonic()
        if now > attempt.deadline and not attempt.kill_at:
            self._terminate(attempt)
        if attempt.kill_at and now > attempt.kill_at:
            attempt.process.kill()

    def _terminate(self, attempt: _Attempt) -> None:
        attempt.process.terminate()
        attempt.kill_at = time.monotonic() + _GRACE_SECONDS

    def _cancel(self) -> None:
        for attempt in self._running:
            if not attempt.kill_at:
                self._terminate(attempt)
        for name, state in self._states.items():
            if state == "pending":
                self._set(name, "cancelled", "")

    def _finish(self, attempt: _Attempt) -> None:
        stage, number = attempt.stage, attempt.number
        ended = self._ended(attempt)
        executed = self._folder.executed(stage.name, number)
        if executed.exists():
            attempt.run.log_artifact(
                executed, f"notebook/{stage.name}.ipynb", kind="notebook", media_type="application/x-ipynb+json"
            )
        attempt.run.end(_STATUS[ended.state], error=ended.error, traceback=ended.traceback)
        if ended.state == "failed" and number <= stage.retries.max and not self._stopping:
            self._start(stage, number + 1)
            return
        tries = f" (attempt {number} of {number})" if number > 1 and ended.state == "failed" else ""
        self._set(stage.name, ended.state, ended.message + tries)

    def _ended(self, attempt: _Attempt) -> AttemptEnded:
        stage, number = attempt.stage, attempt.number
        events = read_stage_events(self._folder.attempt_events(stage.name, number))
        reported = next((event for event in events if isinstance(event, AttemptEnded)), None)
        if reported is not None and reported.state != "cancelled":
            return reported
        if self._stopping:
            return AttemptEnded(now_ms(), "cancelled", "cancelled", "cancelled")
        if time.monotonic() > attempt.deadline:
            message = f"the stage took longer than its timeout of {stage.timeout:g} s"
        else:
            code = attempt.process.returncode
            reason = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            message = f"the process of the stage {reason}"
        written = self._folder.attempt(stage.name, number).joinpath(_LOG)
        return AttemptEnded(now_ms(), "failed", message, message, written.read_text(errors="replace")[-10_000:])

    def _set(self, name: str, state: str, message: str) -> None:
        self._states[name] = state
        self._messages[name] = message
        append_event(self._folder.events, StageEnded(now_ms(), name, state, message))

    def _conclude(self) -> str:
        failed = [stage.name for stage in self._request.stages if self._states[stage.name] == "failed"]
        if failed:
            state = "failed"
            message = "; ".join(f"stage '{name}' failed: {self._messages[name]}" for name in failed)
        elif all(value == "succeeded" for value in self._states.values()):
            state, message = "succeeded", ""
        else:
            state, message = "cancelled", "cancelled"
        self._parent.end(_STATUS[state], error=message)
        append_event(self._folder.events, RunEnded(now_ms(), state, message))
        return state

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True


def main(arguments: list[str]) -> int:
    """Run the pipeline run in a folder; 0 when it succeeded."""
    log_to_stderr()
    folder = RunFolder(Path(arguments[0]))
    try:
        return 0 if Runner(folder).run() == "succeeded" else 1
    except Exception as error:  # the outermost frame of the process: any error must be recorded
        log.exception("the runner failed")
        message = error.message if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
        append_event(folder.events, RunEnded(now_ms(), "failed", f"the runner failed: {message}"))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
