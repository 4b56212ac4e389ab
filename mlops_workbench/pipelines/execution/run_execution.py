"""The execution of one run: its stages start when what they need is there, and end as they end."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Sequence

import msgspec

from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import InvalidInput
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.records import Number
from mlops_workbench.core.wire.json_numbers import real_number
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.cells.interrupted import record_death
from mlops_workbench.pipelines.definition.nouns import ResourceSpec
from mlops_workbench.pipelines.execution.attempts import (
    Attempt,
    LostJob,
    log_of,
    reported,
    result,
    retry_pause,
    timeout_of,
    write_job,
)
from mlops_workbench.pipelines.execution.choice import Choice, choose, in_words
from mlops_workbench.pipelines.execution.reuse import Reuse
from mlops_workbench.pipelines.execution.stage_runs import StageRuns
from mlops_workbench.pipelines.execution.verdict import judge, lacking, outcome
from mlops_workbench.pipelines.executors.base import Executor, Job
from mlops_workbench.pipelines.executors.resources import Schedule, Share, excess
from mlops_workbench.pipelines.runs.events import (
    AttemptEnded,
    AttemptFailed,
    AttemptInterrupted,
    RunEnded,
    RunStarted,
    StageEnded,
    StageReused,
    StageStarted,
    append_event,
    drop_partial,
    read_run_events,
)
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.runs.metrics import read_metrics
from mlops_workbench.pipelines.runs.requests import RunRequest, StageRequest
from mlops_workbench.pipelines.runs.resumption import Progress, progress_of

_STATUS = {
    "succeeded": "FINISHED",
    "refused": "FINISHED",
    "not_published": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
}
#: Ends of a stage after which those that need it are skipped.
_LOST = ("failed", "skipped", "cancelled", "refused")
_INTERRUPTED = "the runner of the run ended"

log = logging.getLogger("mlops_workbench.pipelines")


class RunExecution:
    """Executes the stages of one run, with resources that it may share with other runs.

    A run that an earlier process has begun goes on where its log ends.

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
        self._request: RunRequest = folder.read_request()
        self._store_runs = StageRuns(session, folder, self._request, parent_uid)
        self._stages = {stage.name: stage for stage in self._request.stages}
        self._states: dict[str, str] = dict.fromkeys(self._stages, "pending")
        self._messages: dict[str, str] = {}
        self._ready: dict[str, int] = {}  # stages that wait for resources to the number of their attempt, oldest first
        self._pausing: dict[str, tuple[float, int]] = {}  # stages that wait to be tried again: when, and the attempt
        self._running: list[Attempt] = []
        self._runs: dict[str, tuple[str, int]] = {}  # stages to the uid and the start of their last attempt's run
        self._attempts: dict[str, int] = {}  # stages to the number of their last attempt
        self._uncounted: dict[str, int] = {}  # stages to the number of attempts that were no tries
        self._reuse = Reuse(workspace, folder, self._request.pipeline, self._request.spec)
        self._reused: dict[str, dict[str, Number]] = {}  # stages from the cache to their metrics
        self._stopping = False
        self._parent: ActiveRun | None = None

    def begin(self) -> None:
        """Record the start, and take up what an earlier process has done."""
        log_file = self._folder.events
        drop_partial(log_file)
        # Each run is announced in the log before it is started, so that none is started twice.
        uid = progress_of(read_run_events(log_file)).run_uid
        uid = uid or (new_id() if self._request.kind == "pipeline" else "")
        append_event(log_file, RunStarted(now_ms(), uid, ProcessIdentity.of()))
        if uid:
            self._parent = self._store_runs.of_pipeline(uid)
        # After the process is on record: it gets a signal if the run is cancelled later.
        self._take_up(progress_of(read_run_events(log_file)))

    def _take_up(self, progress: Progress) -> None:
        self._stopping = self._stopping or progress.cancelled
        for name, end in progress.ended.items():
            self._states[name], self._messages[name] = end.state, end.message
        for name, start in progress.started.items():
            self._runs[name] = (start.run_uid, start.at_ms)
            self._attempts[name] = start.attempt
        for name, reused in progress.reused.items():
            self._reused[name] = {metric: real_number(value) for metric, value in reused.metrics.items()}
        self._uncounted = progress.uncounted
        for name, due_ms in progress.due_ms.items():
            due = time.monotonic() + max(0, due_ms - now_ms()) / 1000
            self._pausing[name] = (due, self._attempts[name] + 1)
        for name in sorted(progress.running):
            self._take_over(self._stages[name])

    def _take_over(self, stage: StageRequest) -> None:
        """End an attempt that has lost its runner; an end that it has recorded itself counts."""
        number, (uid, started_ms) = self._attempts[stage.name], self._runs[stage.name]
        ended = reported(self._folder, stage, number)
        if ended is None or ended.state != "succeeded":
            # A notebook that ends well may leave a process behind on purpose.
            self._executor.end(uid, self._folder.attempt(stage.name, number))
            ended = reported(self._folder, stage, number)
        choices = self._choices(stage)
        run = self._store_runs.of_attempt(uid, stage, number, choices)
        attempt = Attempt(stage, number, LostJob(), run, choices, None, started_ms, float("inf"))
        if ended is not None and ended.state != "cancelled":
            self._finish(attempt)
            return
        record_death(self._folder.executed(stage.name, number), _INTERRUPTED)
        self._store_runs.keep_notebook(attempt.run, attempt.stage, attempt.number)
        run.end("KILLED", error=_INTERRUPTED)
        append_event(self._folder.events, AttemptInterrupted(now_ms(), stage.name, number))
        self._uncounted[stage.name] = self._uncounted.get(stage.name, 0) + 1

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
                    self._schedule.end(self._key(attempt.stage.name))
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
    def reused_metrics(self) -> dict[str, Number]:
        """Metrics of the stages whose results were taken from the cache."""
        return {name: value for metrics in self._reused.values() for name, value in metrics.items()}

    @property
    def message(self) -> str:
        """Why it ended as it did."""
        return self._outcome[1]

    @property
    def _outcome(self) -> tuple[str, str]:
        return outcome(self._states, self._messages, named=self._parent is not None)

    def cancel(self) -> None:
        """Let the next `advance` end what runs; may be called by a signal handler."""
        self._stopping = True

    def kill(self) -> None:
        """Kill what runs."""
        for attempt in self._running:
            attempt.handle.kill()

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
                if self._is_reused(stage):
                    continue
                if found := excess(stage.resources, self._executor.capacity):
                    self._set(stage.name, "failed", f"it asks for more than its runs may take: {found}")
                else:
                    self._ready[stage.name] = self._attempts.get(stage.name, 0) + 1
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

    def _is_reused(self, stage: StageRequest) -> bool:
        """End a stage with a result from the cache, if there is one."""
        try:
            choices = self._choices(stage)
        except InvalidInput:
            return False  # its start reports the error
        taken = self._reuse.take(stage, choices)
        if taken is None:
            if stage.reuse == "always":
                self._set(stage.name, "failed", "it has no kept result")
            return stage.reuse == "always"
        metrics, result = taken.metrics, taken.result
        self._reused[stage.name] = metrics
        chosen = {name: choice.instance for name, choice in choices.items()}
        append_event(
            self._folder.events,
            StageReused(now_ms(), stage.name, result.run_uid, result.run_id, chosen, dict(result.metrics)),
        )
        # The champion may be another one than when the result was made.
        refusal = judge(stage.gate, metrics, self._request.champion, now_ms(), stage.metrics) if stage.gate else ""
        self._set(
            stage.name, "refused" if refusal else "succeeded", refusal, "; ".join([*taken.changes, *in_words(choices)])
        )
        return True

    def _key(self, stage: str) -> str:
        """Name of a stage in the schedule, which other runs may share."""
        return f"{self._request.id}/{stage}"

    def _start(self, stage: StageRequest, number: int, share: Share) -> None:
        choices = self._choices(stage)
        key = self._reuse.begin(stage, choices)
        file = write_job(self._folder, stage, number, choices)
        uid, started_ms = new_id(), now_ms()
        self._runs[stage.name], self._attempts[stage.name] = (uid, started_ms), number
        chosen = {name: choice.instance for name, choice in choices.items()}
        append_event(self._folder.events, StageStarted(started_ms, stage.name, number, uid, chosen))
        run = self._store_runs.of_attempt(uid, stage, number, choices)
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
        self._running.append(Attempt(stage, number, handle, run, choices, key, started_ms, timeout_of(stage)))

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
        reused = {name: self._reused[name] for name in names if name in self._reused}
        return {**{name: found[uid] for name, (uid, _) in runs.items()}, **reused}

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
        ended = self._judged(attempt, result(self._folder, attempt, cancelled=self._stopping))
        if ended.state not in ("succeeded", "refused"):
            # A notebook that ends well may leave a process behind on purpose, as in Jupyter.
            attempt.handle.kill()
        record_death(self._folder.executed(stage.name, number), ended.message)
        self._store_runs.keep_notebook(attempt.run, attempt.stage, attempt.number)
        attempt.run.end(_STATUS[ended.state], error=ended.error, traceback=ended.traceback)
        pause = None if self._stopping else retry_pause(stage, number - self._uncounted.get(stage.name, 0), ended)
        if pause is not None:
            ended_ms = now_ms()
            retry_ms = ended_ms + int(pause * 1000)
            append_event(self._folder.events, AttemptFailed(ended_ms, stage.name, number, ended.message, retry_ms))
            self._states[stage.name] = "pending"
            self._pausing[stage.name] = (time.monotonic() + pause, number + 1)
            return
        tries = f" (attempt {number} of {number})" if number > 1 and ended.state == "failed" else ""
        notes = []
        if ended.state in ("succeeded", "refused"):
            notes = self._reuse.keep(attempt, lambda: self._metrics({stage.name})[stage.name])
        self._set(stage.name, ended.state, ended.message + tries, "; ".join(in_words(attempt.choices)), notes)

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

    def _set(self, name: str, state: str, message: str, note: str = "", notes: Sequence[str] = ()) -> None:
        """Record the end of a stage; the message of the run repeats `message`, not `note`."""
        self._states[name] = state
        self._messages[name] = message
        text = "; ".join(filter(None, (message, note)))
        append_event(self._folder.events, StageEnded(now_ms(), name, state, text, list(notes)))

    def _conclude(self) -> str:
        state, message = self._outcome
        if self._parent is not None:
            self._parent.end(_STATUS[state], error="" if state == "not_published" else message)
        append_event(self._folder.events, RunEnded(now_ms(), state, message))
        return state
