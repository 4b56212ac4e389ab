"""The process of a sweep: its trials are runs that share resources, and end as they end.

What was started and what has ended is in the event log of the sweep, from which a later process goes on.
"""

from __future__ import annotations

import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from mlops_workbench.capture.resources.cost import money_of
from mlops_workbench.capture.run.active import ActiveRun
from mlops_workbench.capture.session.session import Session
from mlops_workbench.core.errors import WorkbenchError, did_you_mean
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.records import RunStart
from mlops_workbench.core.shown.formats import number as shown_number
from mlops_workbench.core.sweeps import Trial
from mlops_workbench.core.tags import PIPELINE, PIPELINE_RUN, REASON
from mlops_workbench.core.wire.json_numbers import json_number
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.parameters.shown import shown
from mlops_workbench.pipelines.execution.run_execution import RunExecution
from mlops_workbench.pipelines.execution.trials import TrialPlanner
from mlops_workbench.pipelines.executors.local import LocalExecutor
from mlops_workbench.pipelines.executors.resources import Schedule
from mlops_workbench.pipelines.runs.events import (
    CancelRequested,
    Launched,
    Resumed,
    RunEnded,
    RunEvent,
    RunStarted,
    TrialEnded,
    TrialStarted,
    append_event,
    read_run_events,
)
from mlops_workbench.pipelines.runs.folder import RunFolder, read_struct
from mlops_workbench.pipelines.runs.metrics import MetricsReader
from mlops_workbench.pipelines.sweeps.limits import Stop, stop_reason
from mlops_workbench.pipelines.sweeps.methods import make_sampler
from mlops_workbench.pipelines.sweeps.results import best_trial, seconds_of, trials_of, value_of
from mlops_workbench.pipelines.sweeps.samplers import Proposal
from mlops_workbench.pipelines.sweeps.stored import FILE, TRIALS, StoredSweep

_STATES = {"not_published": "refused"}
_STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}


@dataclass
class _Running:
    """A trial that runs."""

    trial: Trial
    folder: RunFolder
    execution: RunExecution


class SweepRunner:
    """Executes a sweep on this machine.

    Parameters
    ----------
    folder : RunFolder
        Folder with its request.
    """

    def __init__(self, folder: RunFolder) -> None:
        run = folder.read_request()
        self._folder = folder
        self._run = run
        self._workspace = Workspace.open(Path(run.workspace))
        sweep = read_struct(folder.path / FILE, StoredSweep)
        self._request = sweep.request
        self._planner = TrialPlanner(self._workspace, sweep, folder)
        self._sampler = make_sampler(sweep.request, self._planner.space)
        self._executor = LocalExecutor(self._workspace)
        self._schedule = Schedule(self._executor.capacity, run.workers)
        self._session = Session(self._workspace)
        self._metrics = MetricsReader(self._workspace.journal, now_ms())
        self._running: list[_Running] = []
        self._ended: list[Trial] = []
        self._started = 0
        self._again: list[tuple[int, Proposal]] = []  # trials that an earlier process of the sweep did not finish
        self._earlier_seconds = 0.0
        self._begun = time.monotonic()
        self._parent: ActiveRun | None = None
        self._signalled = self._cancelling = False
        self._stop: Stop | None = None

    def run(self) -> str:
        """Run to the end and return the final state."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            self._begin()
            while self._step():
                due = min((one.execution.due for one in self._running), default=math.inf)
                self._executor.wait(None if due == math.inf else max(0.0, due - time.monotonic()))
            return self._conclude()
        except BaseException as error:
            if self._parent is not None:
                self._parent.end("FAILED", error=error)
            raise
        finally:
            for one in self._running:
                one.execution.kill()
            self._session.close()

    def _on_signal(self, number: int, frame: object) -> None:
        self._signalled = True
        self._executor.wake()

    def _begin(self) -> None:
        events = read_run_events(self._folder.events)
        self._parent = self._start_parent(events)
        append_event(self._folder.events, RunStarted(now_ms(), self._parent.uid, ProcessIdentity.of()))
        self._replay(events)
        # A sweep may be cancelled before it has a process that can receive a signal.
        self._cancelling = _cancel_requested(events)

    def _start_parent(self, events: list[RunEvent]) -> ActiveRun:
        run = self._run
        tags = {PIPELINE: run.pipeline, PIPELINE_RUN: run.id, REASON: run.reason}
        earlier = next((event for event in events if isinstance(event, RunStarted)), None)
        if earlier is not None:
            return self._session.begin(
                RunStart(
                    run_uid=earlier.run_uid, name=run.name, experiment=run.experiment, start_ms=earlier.at_ms,
                    kind="sweep", tags=tags,
                )
            )  # fmt: skip
        parent = self._session.start_run(run.name, experiment=run.experiment, kind="sweep", notebook="", tags=tags)
        given = {"method": self._request.method, "seed": self._request.seed, "metric": self._request.metric}
        parent.log_params({**run.params, **{f"sweep.{key}": value for key, value in given.items() if value != ""}})
        return parent

    def _replay(self, events: list[RunEvent]) -> None:
        """Build the state of the sampler from what an earlier process has logged."""
        self._earlier_seconds = seconds_of(events)
        values: dict[int, dict[str, object]] = {}
        for event in events:
            if isinstance(event, TrialStarted) and event.number not in values:
                values[event.number] = self._planner.values(event.params)
                self._sampler.replay(values[event.number])
                self._started = max(self._started, event.number)
            elif isinstance(event, TrialEnded) and event.number in values:
                self._tell(event)
        trials = trials_of(events)
        order = {event.number: event.at_ms for event in events if isinstance(event, TrialEnded)}
        self._ended = sorted((one for one in trials if one.state != "running"), key=lambda one: order[one.number])
        for one in trials:
            if one.state == "running":
                self._again.append((one.number, Proposal(values[one.number], one.rung)))
                log = RunFolder(self._folder.path / TRIALS / one.run)
                if log.path.exists():
                    append_event(log.events, RunEnded(now_ms(), "failed", "the process of its sweep ended"))

    def _step(self) -> bool:
        """Note what has ended and start what can start; False at the end of the sweep."""
        self._note_signal()
        for one in list(self._running):
            self._advance(one)
        if self._stop is None:
            self._stop = self._reason()
        if self._cancelling or (self._stop is not None and self._stop.failed):
            for one in list(self._running):
                one.execution.cancel()
                self._advance(one)
        else:
            self._start_trials()
        return bool(self._running)

    def _note_signal(self) -> None:
        """A signal cancels the trials that a user has cancelled, else the sweep."""
        if not self._signalled:
            return
        self._signalled = False
        chosen = [one for one in self._running if _cancel_requested(read_run_events(one.folder.events))]
        if not chosen or _cancel_requested(read_run_events(self._folder.events)):
            self._cancelling = True
        for one in chosen:
            one.execution.cancel()

    def _reason(self) -> Stop | None:
        prices = self._workspace.settings.prices
        return stop_reason(self._request, self._ended, self._started, self._seconds, money_of(prices, 3600.0, None))

    @property
    def _seconds(self) -> float:
        return self._earlier_seconds + time.monotonic() - self._begun

    def _start_trials(self) -> None:
        while self._schedule.has_room(self._planner.first_need) and not any(
            one.execution.waits for one in self._running
        ):
            if self._again:
                number, proposal = self._again.pop(0)
            else:
                self._stop = self._stop or self._reason()
                found = None if self._stop is not None else self._sampler.ask()
                if found is None:
                    return
                self._started += 1
                number, proposal = self._started, found
            self._start(number, proposal)

    def _start(self, number: int, proposal: Proposal) -> None:
        folder = RunFolder(self._folder.path / TRIALS / new_id())
        params = {name: shown(value) for name, value in proposal.values.items()}
        event = TrialStarted(now_ms(), number, params, folder.path.name, proposal.rung)
        append_event(self._folder.events, event)
        (trial,) = trials_of([event])
        try:
            self._planner.write(folder, proposal.values, number)
            append_event(folder.events, Launched(now_ms(), ProcessIdentity.of() or ProcessIdentity(os.getpid(), 0.0)))
            assert self._parent is not None, "the sweep has begun"
            execution = RunExecution(
                self._workspace, folder, self._executor, self._schedule, self._session, self._parent.uid
            )
            execution.begin()
        except WorkbenchError as error:
            self._end(TrialEnded(now_ms(), number, "failed", message=str(error)), trial)
            return
        one = _Running(trial, folder, execution)
        self._running.append(one)
        self._advance(one)

    def _advance(self, one: _Running) -> None:
        try:
            state = one.execution.advance()
            for uid in one.execution.run_uids:
                self._metrics.watch(uid)
        except WorkbenchError as error:
            one.execution.kill()
            append_event(one.folder.events, RunEnded(now_ms(), "failed", error.message))
            self._running.remove(one)
            self._end(TrialEnded(now_ms(), one.trial.number, "failed", message=str(error)), one.trial)
            return
        if state:
            self._running.remove(one)
            if not (self._cancelling and state == "cancelled"):
                self._end(self._result(one, state), one.trial)

    def _result(self, one: _Running, state: str) -> TrialEnded:
        uids = one.execution.run_uids
        found = self._metrics.take(uids)
        metrics = {name: value for uid in uids for name, value in found[uid].items()} | one.execution.reused_metrics
        wanted, message = self._request.metric, one.execution.message
        if state == "succeeded" and wanted and wanted not in metrics:
            hint = did_you_mean(wanted, metrics) if metrics else "it has logged none"
            state, message = "failed", f"there is no metric '{wanted}' ({hint})"
        return TrialEnded(
            now_ms(),
            one.trial.number,
            _STATES.get(state, state),
            uids[0] if uids else "",
            json_number(metrics[wanted]) if wanted in metrics else None,
            {name: json_number(value) for name, value in metrics.items()},
            message,
        )

    def _end(self, event: TrialEnded, trial: Trial) -> None:
        append_event(self._folder.events, event)
        before = best_trial(self._ended, self._request.direction)
        started = TrialStarted(trial.start_ms, trial.number, trial.params, trial.run, trial.rung)
        self._ended += trials_of([started, event])
        self._tell(event)
        best = best_trial(self._ended, self._request.direction)
        if best is not None and best != before and self._parent is not None:
            self._parent.log({self._request.metric: value_of(best)}, step=best.number)

    def _tell(self, event: TrialEnded) -> None:
        (trial,) = trials_of([TrialStarted(0, event.number, {}, ""), event])
        self._sampler.tell(event.number - 1, value_of(trial) if event.state in ("succeeded", "refused") else None)

    def _conclude(self) -> str:
        best = best_trial(self._ended, self._request.direction)
        good = [one for one in self._ended if one.state in ("succeeded", "refused")]
        refused = sum(one.state == "refused" for one in good)
        texts = [f"{len(good) - refused} of {len(self._ended)} trials succeeded"]
        if refused:
            texts.append(f"{refused} refused by a gate")
        if best is not None:
            texts.append(f"best {self._request.metric} {shown_number(value_of(best))} (trial {best.number})")
        if self._cancelling:
            state = "cancelled"
        elif (self._stop is not None and self._stop.failed) or not good:
            state = "failed"
        else:
            state = "succeeded"
        if self._stop is not None:
            texts.append(self._stop.reason)
        elif state == "failed" and self._ended:
            texts.append(f"the last one: {self._ended[-1].message}")
        message = "; ".join(reversed(texts) if state == "failed" else texts)
        if self._parent is not None:
            self._parent.end(_STATUS[state], error=message if state == "failed" else "")
        append_event(self._folder.events, RunEnded(now_ms(), state, message))
        return state


def _cancel_requested(events: list[RunEvent]) -> bool:
    """Whether a user has asked to stop a run since it was last resumed."""
    asked = False
    for event in events:
        if isinstance(event, CancelRequested):
            asked = True
        elif isinstance(event, Resumed) and event.by_hand:
            asked = False
    return asked
