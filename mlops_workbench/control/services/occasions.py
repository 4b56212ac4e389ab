"""What triggers noticed: each occasion is kept once, and starts one run when nothing holds it back."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from mlops_workbench.client.bodies import NotebookRunRequest
from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.services.pipelines import PipelineService
from mlops_workbench.control.tables import AlertRow, OccasionRow, ScheduleRow, TriggerRow
from mlops_workbench.core.errors import StorageError, Unavailable, WorkbenchError
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.schedules import Occasion
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.definition.nouns import StartLimits
from mlops_workbench.pipelines.runs.events import read_run_events
from mlops_workbench.pipelines.runs.folder import RunFolder
from mlops_workbench.pipelines.triggers.guards import held

#: Starts of one schedule that wait at a time; more are not remembered.
MOST_WAITING = 100
#: Time that a process has to start a run before another one may.
_LEASE_MS = 60_000
#: Time until a start is tried again that the disk or MLflow did not allow.
_RETRY_MS = 10_000
#: Time after which a run without any event is one whose process was never started: the control plane ended before.
_LAUNCH_MS = 20_000
#: What is kept of the past.
_KEPT_MS = 90 * 86_400_000
_DAY_MS = 86_400_000
#: Newest runs, among which active ones and those of ended control planes are looked for.
_MOST_RUNS = 200


def remembered_since_ms() -> int:
    """Time since which all occasions are known; what happened before may have started a run that is forgotten."""
    return now_ms() - _KEPT_MS + _DAY_MS


def noticed(
    session: Session,
    schedule: ScheduleRow,
    trigger: TriggerRow,
    key: str,
    detail: str,
    *,
    params: Mapping[str, object] | None = None,
    skipped: str = "",
    joins: bool = True,
) -> int:
    """Keep an occasion; one with the same key is the same.

    Parameters
    ----------
    session : Session
        Of a change, with which it is committed.
    schedule, trigger : ScheduleRow, TriggerRow
        Whose it is.
    key : str
        What tells it from others of the trigger.
    detail : str
        What happened, for people.
    params : mapping, optional
        Values for parameters.
    skipped : str
        The rule by which it starts nothing; empty: it does.
    joins : bool
        Whether a start that waits already, with the same parameters, serves it, too.

    Returns
    -------
    int
        Its number.
    """
    found = session.execute(
        select(OccasionRow.id).where(OccasionRow.trigger == trigger.id, OccasionRow.key == key)
    ).scalar()
    if found is not None:
        return found
    values = dict(params or {})
    state, message, other = "waiting", "", 0
    if skipped or schedule.paused:
        state, message = "skipped", skipped or "paused"
    else:
        waiting = session.execute(
            select(OccasionRow.id, OccasionRow.params)
            .where(OccasionRow.schedule == schedule.id, OccasionRow.state == "waiting")
            .order_by(OccasionRow.id)
        ).all()
        other = next((number for number, theirs in waiting if joins and _same(theirs, values)), 0)
        if other:
            state, message = "joined", f"the start of #{other}, which waits, serves this, too"
        elif len(waiting) >= MOST_WAITING:
            state, message = "skipped", f"{len(waiting)} starts wait already"
    # By a statement of its own: the copies of the database are for what users decided.
    number = session.execute(
        insert(OccasionRow)
        .values(
            schedule=schedule.id, trigger=trigger.id, key=key, kind=trigger.kind, reason="", params=values, state=state,
            message=message, run="", joins=other, at_ms=now_ms(), started_ms=0, owner="", lease_ms=0,
        )
        .returning(OccasionRow.id)
    ).scalar_one()  # fmt: skip
    reason = f"{trigger.kind}:{detail} #{number}"
    session.execute(update(OccasionRow).where(OccasionRow.id == number).values(reason=reason))
    return number


def _same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True, default=str)


def shown(row: OccasionRow) -> Occasion:
    """An occasion as others see it."""
    name = row.schedule.partition(":")[2]
    return Occasion(row.id, name, row.kind, row.reason, row.state, row.message, row.run, row.at_ms)  # type: ignore[arg-type]


class Occasions:
    """Starts the runs of occasions that wait, each once, also when a control plane ends in between."""

    def __init__(self, workspace: Workspace, database: Database, pipelines: PipelineService, hub: EventHub) -> None:
        self._workspace = workspace
        self._database = database
        self._pipelines = pipelines
        self._hub = hub
        own = ProcessIdentity.of()
        self._owner = json.dumps([platform.node(), own.pid if own else 0, own.started if own else 0, new_id()])
        self._pruned_ms = 0

    def of(self, schedule: str, limit: int) -> list[Occasion]:
        """Occasions of a schedule, newest first."""
        query = select(OccasionRow).where(OccasionRow.schedule == schedule).order_by(OccasionRow.id.desc()).limit(limit)
        with self._database.session() as session:
            return [shown(row) for row in session.scalars(query)]

    def get(self, number: int) -> Occasion:
        """An occasion by its number."""
        with self._database.session() as session:
            row = session.get(OccasionRow, number)
            assert row is not None
            return shown(row)

    def step(self) -> None:
        """Start what waits and is not held back; raise the first error that may pass, after all others."""
        self._prune()
        with self._database.session() as session:
            ready = or_(
                OccasionRow.state == "starting", and_(OccasionRow.state == "waiting", OccasionRow.lease_ms <= now_ms())
            )
            rows = session.scalars(select(OccasionRow).where(ready).order_by(OccasionRow.id)).all()
        if not rows:
            return
        runs = self._pipelines.newest_and_active(_MOST_RUNS)
        problem: WorkbenchError | None = None
        for row in rows:
            try:
                if row.state == "starting" and not self._may_take_over(row):
                    continue
                started = self._settle(row, runs)
            except (Unavailable, StorageError) as error:
                # One that was claimed stays so: its run may have been started, and is found by its reason then.
                self._change(row, message=f"tried again: {error.message}", lease_ms=now_ms() + _RETRY_MS)
                problem = error
            else:
                if started is not None:
                    runs.insert(0, started)
        if problem is not None:
            raise problem

    def _settle(self, row: OccasionRow, runs: Sequence[PipelineRun]) -> PipelineRun | None:
        """Start the run of an occasion, find the one that was started, or say what holds it back."""
        with self._database.session() as session:
            schedule = session.get(ScheduleRow, row.schedule)
            trigger = session.get(TriggerRow, row.trigger)
        if row.state == "starting":
            # The process that was to start it has ended: it may have done so before or after.
            run = next((run for run in runs if run.reason == row.reason and run.start_ms >= row.at_ms), None)
            if run is not None and self._was_launched(run):
                self._started(row, run)
                return None
            if run is not None and now_ms() - run.start_ms < _LAUNCH_MS:
                return None
        if schedule is None or schedule.removed or trigger is None:
            self._change(row, state="skipped", message="its trigger was removed before it could start")
            return None
        if schedule.paused:
            self._change(row, state="skipped", message="paused before it could start")
            return None
        if row.kind in ("drift", "metric") and self._is_resolved(row.key):
            self._change(row, state="skipped", message="the alert was resolved before it could start")
            return None
        if why := self._held(row, schedule, trigger, runs):
            if row.message != why or row.state != "waiting":
                self._change(row, state="waiting", message=why)
            return None
        return self._start(row, schedule)

    def _start(self, row: OccasionRow, schedule: ScheduleRow) -> PipelineRun | None:
        if not self._claim(row):
            return None
        try:
            run = self._run(row, schedule)
        except (Unavailable, StorageError):
            raise
        except WorkbenchError as error:
            self._change(row, state="failed", message=str(error))
            return None
        self._started(row, run)
        return run

    def _run(self, row: OccasionRow, schedule: ScheduleRow) -> PipelineRun:
        if schedule.kind == "pipeline":
            return self._pipelines.start(schedule.name, row.params, row.reason)
        notebook, params = schedule.definition["notebook"], schedule.definition["params"]
        request = NotebookRunRequest(notebook, params={**params, **row.params}, name=schedule.name)
        return self._pipelines.start_notebook(request, row.reason)

    def _claim(self, row: OccasionRow) -> bool:
        """Become the only one who starts it."""
        with self._database.change() as session:
            done = session.execute(
                update(OccasionRow)
                .where(OccasionRow.id == row.id, OccasionRow.state == row.state, OccasionRow.owner == row.owner)
                .values(state="starting", owner=self._owner, lease_ms=now_ms() + _LEASE_MS, message="")
            )
            return bool(done.rowcount)  # type: ignore[attr-defined]

    def _may_take_over(self, row: OccasionRow) -> bool:
        if row.lease_ms <= now_ms():
            return True
        try:
            node, pid, started, _ = json.loads(row.owner)
        except ValueError:
            return False
        return row.owner != self._owner and node == platform.node() and not ProcessIdentity(pid, started).alive()

    def _was_launched(self, run: PipelineRun) -> bool:
        """Whether a run got a process; one whose control plane ended before has no event."""
        return bool(read_run_events(RunFolder(self._workspace.pipeline_runs / run.id).events))

    def _held(self, row: OccasionRow, schedule: ScheduleRow, trigger: TriggerRow, runs: Sequence[PipelineRun]) -> str:
        definition = schedule.definition
        own = OccasionRow.schedule == row.schedule
        with self._database.session() as session:
            since = now_ms() - max(_DAY_MS, int(definition["limits"]["cooldown"] * 1000))
            starts = session.execute(
                select(OccasionRow.started_ms).where(own, OccasionRow.started_ms > since)
            ).scalars().all()  # fmt: skip
            last = session.execute(
                select(OccasionRow.started_ms)
                .where(OccasionRow.trigger == trigger.id, OccasionRow.started_ms > 0)
                .order_by(OccasionRow.started_ms.desc())
                .limit(1)
            ).scalar()
        name = schedule.name if schedule.kind == "pipeline" else definition["notebook"]
        active = [run for run in runs if run.active and run.kind == schedule.kind and run.pipeline == name]
        return held(
            now_ms(),
            active=len(active),
            max_active=definition["max_active"],
            starts_ms=starts,
            limits=StartLimits(definition["limits"]["cooldown"], definition["limits"]["per_day"]),
            last_ms=last or 0,
            cooldown=trigger.settings.get("cooldown", 0.0),
        )

    def _is_resolved(self, alert: str) -> bool:
        with self._database.session() as session:
            row = session.get(AlertRow, alert)
            return row is None or bool(row.resolved_ms)

    def _started(self, row: OccasionRow, run: PipelineRun) -> None:
        self._change(row, state="started", message="", run=run.id, started_ms=run.start_ms)
        with self._database.change() as session:
            session.execute(update(OccasionRow).where(OccasionRow.joins == row.id).values(run=run.id))

    def _change(self, row: OccasionRow, **values: object) -> None:
        with self._database.change() as session:
            session.execute(update(OccasionRow).where(OccasionRow.id == row.id).values(**values))
        self._hub.publish("pipelines", row.schedule.partition(":")[2])

    def _prune(self) -> None:
        """Forget what is old, once an hour."""
        now = now_ms()
        if now - self._pruned_ms < 3_600_000:
            return
        self._pruned_ms = now
        with self._database.change() as session:
            ended = OccasionRow.state.notin_(("waiting", "starting"))
            session.execute(delete(OccasionRow).where(OccasionRow.at_ms < now - _KEPT_MS, ended))


def schedules_with(session: Session, kinds: Sequence[str]) -> Iterator[tuple[ScheduleRow, TriggerRow]]:
    """Triggers of these kinds, with their schedules, that are not paused."""
    query = (
        select(ScheduleRow, TriggerRow)
        .join(TriggerRow, TriggerRow.schedule == ScheduleRow.id)
        .where(TriggerRow.kind.in_(kinds), ScheduleRow.removed.is_(False), ScheduleRow.paused.is_(False))
        .order_by(TriggerRow.id)
    )
    for row in session.execute(query):
        yield row[0], row[1]
