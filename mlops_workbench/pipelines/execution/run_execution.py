"""The execution of one run: its stages start when what they need is there, and end as they end."""

from __future__ import annotations

import logging
import time
import traceback
from pathlib import Path

import msgspec

from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import InvalidInput, StorageError
from mlops_workbench.core.files import write_atomic
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.records import Number
from mlops_workbench.core.tags import ATTEMPT, INPUT_PREFIX, PIPELINE, PIPELINE_RUN, REASON, STAGE
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cells.interrupted import record_death
from mlops_workbench.pipelines.definition.nouns import ResourceSpec
from mlops_workbench.pipelines.execution.attempts import (
    Attempt,
    log_of,
    result,
    retry_pause,
    timeout_of,
    write_job,
)
from mlops_workbench.pipelines.execution.choice import Choice, choose
from mlops_workbench.pipelines.execution.verdict import judge, lacking
from mlops_workbench.pipelines.executors.base import Executor, Job
from mlops_workbench.pipelines.executors.resources import Schedule, Share, excess
from mlops_workbench.pipelines.runs.events import (
    AttemptEnded,
    AttemptFailed,
    CancelRequested,
    RunEnded,
    RunStarted,
    StageEnded,
    StageStarted,
    append_event,
    read_run_events,
)
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.metrics import read_metrics
from mlops_workbench.pipelines.runs.requests import RunRequest, StageRequest

_STATUS = {
    "succeeded": "FINISHED",
    "refused": "FINISHED",
    "not_published": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
}
#: Ends of a stage after which those that need it are skipped.
_LOST = ("failed", "skipped", "cancelled", "refused")

log = logging.getLogger("mlops_workbench.pipelines")


class RunExecution:
    """Executes the stages of one run, with resources that it may share with other runs.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the run.
    folder : RunFolder
        Folder with the request.
    executor : Executor
        Runs the attempts.
    schedule : Schedule
        Gives them their resources.
    session : Session
        Records the runs of the stages.
    parent_uid : str
        Run in the tracking store that this one belongs to, empty for none.
    """

    def __init__(
        self,
        workspace: Workspace,
        folder: RunFolder,
        executor: Executor,
        schedule: Schedule,
        session: Session,
        parent_uid: str = "",
    ) -> None:
        self._workspace = workspace
        self._folder = folder
        self._executor = executor
        self._schedule = schedule
        self._session = session
        self._parent_uid = parent_uid
        self._request: RunRequest = folder.read_request()
        self._stages = {stage.name: stage for stage in self._request.stages}
        self._states: dict[str, str] = dict.fromkeys(self._stages, "pending")
        self._messages: dict[str, str] = {}
        self._ready: dict[str, int] = {}  # stages that wait for resources to the number of their attempt, oldest first
        self._pausing: dict[str, tuple[float, int]] = {}  # stages that wait to be tried again: when, and the attempt
        self._running: list[Attempt] = []
        self._runs: dict[str, tuple[str, int]] = {}  # stages to the uid and the start of their last attempt's run
        self._stopping = False
        self._parent: ActiveRun | None = None

    def begin(self) -> None:
        """Record the start."""
        if self._request.kind == "pipeline":
            self._parent = self._start_parent()
        append_event(self._folder.events, RunStarted(now_ms(), self._parent.uid if self._parent else ""))
        # A run may be cancelled before it has a process that can receive a signal.
        if any(isinstance(event, CancelRequested) for event in read_run_events(self._folder.events)):
            self._stopping = True

    def advance(self) -> str:
        """Note which attempts have ended, and start what can start now.

        Returns
        -------
        str
            The final state when the run has ended, else empty.
        """
        try:
            for attempt in list(self._running):
                if attempt.handle.poll() is None:
                    attempt.enforce()
                else:
                    self._running.remove(attempt)
                    self._finish(attempt)
            states: dict[str, str] = {}
            while states != self._states:  # a stage that ends without a process decides about others
                states = dict(self._states)
                self._skip()
                if self._stopping:
                    self._cancel()
                else:
                    self._queue()
                    self._start_ready()
        except Exception as error:
            if self._parent is not None:
                self._parent.end("FAILED", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
            raise
        return "" if self._running or self._pausing or self._ready else self._conclude()

    @property
    def due(self) -> float:
        """When there is something to do although no job ends, on the monotonic clock."""
        return min(
            [*(one.due for one in self._running), *(at for at, _ in self._pausing.values())], default=float("inf")
        )

    @property
    def waits(self) -> bool:
        """Whether a stage waits for resources."""
        return bool(self._ready)

    @property
    def run_uids(self) -> list[str]:
        """Its runs in the tracking store: that of the pipeline, if it is one, and the last ones of the stages."""
        return [*([self._parent.uid] if self._parent else []), *(uid for uid, _ in self._runs.values())]

    @property
    def message(self) -> str:
        """Why it ended as it did."""
        return self._outcome()[1]

    def cancel(self) -> None:
        """Let the next `advance` end what runs; may be called by a signal handler."""
        self._stopping = True

    def kill(self) -> None:
        """Kill what runs."""
        for attempt in self._running:
            attempt.handle.kill()

    def _start_parent(self) -> ActiveRun:
        request = self._request
        parent = self._session.start_run(
            request.name or request.pipeline,
            experiment=request.experiment,
            kind="pipeline",
            parent_uid=self._parent_uid,
            notebook="",
            tags={PIPELINE: request.pipeline, PIPELINE_RUN: request.id, REASON: request.reason},
        )
        parent.log_params(dict(request.params))
        if self._folder.spec.exists():
            parent.log_artifact(
                self._folder.spec, f"{request.pipeline}.yaml", kind="code", media_type="application/yaml"
            )
        return parent

    def _skip(self) -> None:
        """Skip stages whose needed stages did not succeed; one pass, since the order is topological."""
        for stage in self._request.stages:
            lost = [needed for needed in stage.needs if self._states[needed] in _LOST]
            if self._states[stage.name] == "pending" and lost:
                self._set(stage.name, "skipped", f"stage '{lost[0]}' did not succeed")

    def _queue(self) -> None:
        """Queue the stages that have become ready, and those whose pause before another attempt is over."""
        for stage in self._request.stages:
            if self._states[stage.name] != "pending" or stage.name in self._ready or stage.name in self._pausing:
                continue
            if all(self._states[needed] == "succeeded" for needed in stage.needs):
                if found := excess(stage.resources, self._executor.capacity):
                    self._set(stage.name, "failed", f"it asks for more than its runs may take: {found}")
                else:
                    self._ready[stage.name] = 1
        now = time.monotonic()
        for name, (due, number) in sorted(self._pausing.items(), key=lambda item: item[1][0]):
            if due <= now:
                del self._pausing[name]
                self._ready[name] = number

    def _start_ready(self) -> None:
        needs = [(self._key(name), self._stages[name].resources) for name in self._ready]
        names = {self._key(name): name for name in self._ready}
        for key, share in self._schedule.start(needs).items():
            name = names[key]
            stage, number = self._stages[name], self._ready.pop(name)
            try:
                self._start(stage, number, share)
            except InvalidInput as error:
                # No instance can be chosen; it has no run.
                self._schedule.end(key)
                self._set(name, "failed", " ".join(filter(None, (error.message, error.hint and f"({error.hint})"))))

    def _key(self, stage: str) -> str:
        """Name of a stage in the schedule, which other runs may share."""
        return f"{self._request.id}/{stage}"

    def _start(self, stage: StageRequest, number: int, share: Share) -> None:
        choices = self._choices(stage)
        file = write_job(self._folder, stage, number, choices)
        started_ms = now_ms()
        run = self._start_run(stage, number, choices)
        self._runs[stage.name] = (run.uid, started_ms)
        chosen = {name: choice.instance for name, choice in choices.items()}
        append_event(self._folder.events, StageStarted(started_ms, stage.name, number, run.uid, chosen))
        declared = stage.resources.cpu != ResourceSpec().cpu
        job = Job(
            run_uid=run.uid,
            experiment=self._request.experiment,
            workspace=self._workspace.root,
            file=file,
            log=log_of(self._folder, stage, number),
            threads=max(1, int(share.cpu)) if declared else 0,
            gpus=tuple(share.gpus),
        )
        self._states[stage.name] = "running"
        handle = self._executor.submit(job)
        self._running.append(Attempt(stage, number, handle, run, choices, timeout_of(stage)))

    def _choices(self, stage: StageRequest) -> dict[str, Choice]:
        entries = {name: entry for name, entry in stage.inputs.items() if entry.candidates}
        if not entries:
            return {}
        metrics = self._metrics({instance for entry in entries.values() for instance in entry.candidates})
        return {name: choose(name, entry, metrics) for name, entry in entries.items()}

    def _metrics(self, names: set[str]) -> dict[str, dict[str, Number]]:
        """Metrics of the runs of stages."""
        runs = {name: self._runs[name] for name in names if name in self._runs}
        since = min((started for _, started in runs.values()), default=0)
        found = read_metrics(self._workspace.journal, [uid for uid, _ in runs.values()], since)
        return {name: found[uid] for name, (uid, _) in runs.items()}

    def _start_run(self, stage: StageRequest, number: int, choices: dict[str, Choice]) -> ActiveRun:
        request, parent = self._request, self._parent
        tags = {PIPELINE_RUN: request.id}
        tags |= {REASON: request.reason} if parent is None else {PIPELINE: request.pipeline, STAGE: stage.name}
        tags |= {f"{INPUT_PREFIX}{name}": entry.source for name, entry in stage.inputs.items()}
        for name, choice in choices.items():
            output = stage.inputs[name].source.rpartition(".")[2]
            tags[f"{INPUT_PREFIX}{name}"] = f"{choice.instance}.{output} ({choice.reason})"
        run = self._session.start_run(
            (request.name if parent is None else "") or stage.name,
            experiment=request.experiment,
            kind="notebook" if parent is None else "stage",
            parent_uid=parent.uid if parent else self._parent_uid,
            notebook=stage.source,
            tags=tags | ({ATTEMPT: str(number)} if number > 1 else {}),
        )
        run.log_params(dict(stage.params))
        return run

    def _cancel(self) -> None:
        for attempt in self._running:
            attempt.stop()
        self._ready.clear()
        self._pausing.clear()
        for name, state in self._states.items():
            if state == "pending":
                self._set(name, "cancelled", "")

    def _finish(self, attempt: Attempt) -> None:
        stage, number = attempt.stage, attempt.number
        self._schedule.end(self._key(stage.name))
        ended = self._judged(attempt, result(self._folder, attempt, cancelled=self._stopping))
        if ended.state not in ("succeeded", "refused"):
            # A notebook that ends well may leave a process behind on purpose, as in Jupyter.
            attempt.handle.kill()
        record_death(self._folder.executed(stage.name, number), ended.message)
        self._keep_notebook(attempt)
        attempt.run.end(_STATUS[ended.state], error=ended.error, traceback=ended.traceback)
        pause = None if self._stopping else retry_pause(stage, number, ended)
        if pause is not None:
            ended_ms = now_ms()
            retry_ms = ended_ms + int(pause * 1000)
            append_event(self._folder.events, AttemptFailed(ended_ms, stage.name, number, ended.message, retry_ms))
            self._states[stage.name] = "pending"
            self._pausing[stage.name] = (time.monotonic() + pause, number + 1)
            return
        tries = f" (attempt {number} of {number})" if number > 1 and ended.state == "failed" else ""
        chosen = [f"{name} is of {choice.instance} ({choice.reason})" for name, choice in attempt.choices.items()]
        self._set(stage.name, ended.state, ended.message + tries, "; ".join(chosen))

    def _judged(self, attempt: Attempt, ended: AttemptEnded) -> AttemptEnded:
        """The result, in view of the metrics that the stage must have and of its gate."""
        stage = attempt.stage
        if ended.state != "succeeded" or not (stage.metrics or stage.gate):
            return ended
        metrics = self._metrics({stage.name})[stage.name]
        if message := lacking(stage.metrics, metrics):
            return AttemptEnded(now_ms(), "failed", f"{stage.notebook}: {message}", message, cause="missing_output")
        if message := judge(stage.gate, metrics, self._request.champion, now_ms(), stage.metrics):
            return msgspec.structs.replace(ended, state="refused", message=message)
        return ended

    def _keep_notebook(self, attempt: Attempt) -> None:
        stage = attempt.stage
        executed = self._folder.executed(stage.name, attempt.number)
        if not executed.exists():
            return
        attempt.run.log_artifact(
            executed, f"notebook/{stage.name}.ipynb", kind="notebook", media_type="application/x-ipynb+json"
        )
        if self._request.output:
            try:
                write_atomic(Path(self._request.output), executed.read_bytes())
            except (OSError, StorageError) as error:
                # The notebook is kept with the run all the same.
                log.warning("the executed notebook cannot be written to %s: %s", self._request.output, error)

    def _set(self, name: str, state: str, message: str, note: str = "") -> None:
        """Record the end of a stage; the message of the run repeats `message`, not `note`."""
        self._states[name] = state
        self._messages[name] = message
        append_event(self._folder.events, StageEnded(now_ms(), name, state, "; ".join(filter(None, (message, note)))))

    def _conclude(self) -> str:
        state, message = self._outcome()
        if self._parent is not None:
            self._parent.end(_STATUS[state], error="" if state == "not_published" else message)
        append_event(self._folder.events, RunEnded(now_ms(), state, message))
        return state

    def _outcome(self) -> tuple[str, str]:
        states = set(self._states.values())
        if "failed" in states:
            return "failed", "; ".join(self._reasons("failed", "failed"))
        if "cancelled" in states:
            return "cancelled", "cancelled"
        if "refused" in states:
            return "not_published", "; ".join(self._reasons("refused", "was refused"))
        return "succeeded", ""

    def _reasons(self, state: str, verb: str) -> list[str]:
        names = [name for name, found in self._states.items() if found == state]
        if self._parent is None:
            return [self._messages[name] for name in names]
        return [f"stage '{name}' {verb}: {self._messages[name]}" for name in names]
