"""What starts by itself: schedules, changes of files and data, ends of pipelines, webhooks, alerts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.services.file_changes import FileChanges
from mlops_workbench.control.services.monitors import MonitorService
from mlops_workbench.control.services.observers import Observers, keep_times, move_on
from mlops_workbench.control.services.occasions import Occasions, noticed
from mlops_workbench.control.services.pipelines import PipelineService
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.control.services.schedule_files import ScheduleFiles
from mlops_workbench.control.tables import OccasionRow, ScheduleRow, TriggerRow
from mlops_workbench.core.errors import InvalidInput, NotFound, Unauthorized, WorkbenchError, did_you_mean
from mlops_workbench.core.ids import new_id, now_ms
from mlops_workbench.core.schedules import Occasion, Schedule, Trigger
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines.triggers.cron import Cron
from mlops_workbench.pipelines.triggers.due import due
from mlops_workbench.pipelines.triggers.targets import trigger_text
from mlops_workbench.pipelines.triggers.webhook import check_caller, params_of

#: Headers by which a sender tells that a delivery is one that it has made before.
_DELIVERIES = ("idempotency-key", "x-github-delivery", "x-gitlab-event-uuid")


class ScheduleService:
    """Reads what starts by itself from files, notices what happens, and starts runs.

    Each thing that happened is a row before anything is started for it, so that the end of a control plane at any
    moment neither loses nor doubles a run.
    """

    def __init__(
        self,
        workspace: Workspace,
        database: Database,
        pipelines: PipelineService,
        monitors: MonitorService,
        runs: RunService,
        hub: EventHub,
    ) -> None:
        self._database = database
        self._pipelines = pipelines
        self._hub = hub
        self._files = ScheduleFiles(workspace, database, hub)
        self._changes = FileChanges(workspace, database)
        self._observers = Observers(database, pipelines, monitors, runs)
        self._occasions = Occasions(workspace, database, pipelines, hub)

    def step(self) -> None:
        """Read the files, notice what happened, and start what waits; raise the first error after all of that."""
        problem: WorkbenchError | None = None
        for step in (self._files.step, self._observers.step, self._changes.step, self._occasions.step):
            try:
                step()
            except WorkbenchError as error:
                problem = problem or error
        if problem is not None:
            raise problem

    def close(self) -> None:
        """Watch no folder any more."""
        self._changes.close()

    @property
    def notice(self) -> str:
        """What is wrong with the watching of files, empty for nothing."""
        return self._changes.problem

    def schedules(self) -> list[Schedule]:
        """All that starts by itself, by name."""
        with self._database.session() as session:
            rows = session.scalars(
                select(ScheduleRow).where(ScheduleRow.removed.is_(False)).order_by(ScheduleRow.name, ScheduleRow.kind)
            ).all()
        return [self._shown(row) for row in rows]

    def schedule(self, name: str) -> Schedule:
        """What starts a pipeline or a notebook; raises NotFound."""
        return self._shown(self._row(name))

    def occasions(self, name: str, limit: int = 100) -> list[Occasion]:
        """What happened to a schedule, newest first; raises NotFound."""
        return self._occasions.of(self._row(name, removed=True).id, limit)

    def pause(self, name: str) -> Schedule:
        """Start nothing any more until it is resumed; what waits is not started either."""
        row = self._row(name)
        with self._database.change() as session:
            found = session.get(ScheduleRow, row.id)
            assert found is not None
            found.paused = True
            waiting = (OccasionRow.schedule == row.id, OccasionRow.state == "waiting")
            values = {"state": "skipped", "message": "paused before it could start"}
            session.execute(update(OccasionRow).where(*waiting).values(**values))
        self._hub.publish("pipelines", row.name)
        return self.schedule(name)

    def resume(self, name: str) -> Schedule:
        """Start again; what happened during the pause starts nothing."""
        row = self._row(name)
        now = datetime.now(UTC)
        with self._database.change() as session:
            found = session.get(ScheduleRow, row.id)
            assert found is not None
            if found.paused:
                for trigger in session.scalars(select(TriggerRow).where(TriggerRow.schedule == row.id)).all():
                    if trigger.kind == "schedule" and trigger.next_ms:
                        cron = Cron(trigger.settings["cron"], trigger.settings["timezone"])
                        planned = datetime.fromtimestamp(trigger.next_ms / 1000, UTC)
                        missed = due(cron, planned, now, "skip", timedelta(microseconds=-1))
                        if move_on(session, trigger, missed):
                            keep_times(session, row, trigger, missed, "it was paused")
                    values = {"since_ms": now_ms(), "seen": None}
                    session.execute(update(TriggerRow).where(TriggerRow.id == trigger.id).values(**values))
                found.paused = False
        self._hub.publish("pipelines", row.name)
        return self.schedule(name)

    def hook(self, pipeline: str, headers: Mapping[str, str], body: bytes) -> Occasion:
        """Start a pipeline for a caller who knows the secret of its webhook.

        Parameters
        ----------
        pipeline : str
            Its name.
        headers : mapping
            Of the request, in lower case.
        body : bytes
            Of the request, as it was sent.

        Raises
        ------
        Unauthorized
            The secret is wrong, or there is no such webhook.
        InvalidInput
            The pipeline cannot start with these values.
        """
        with self._database.session() as session:
            schedule = session.get(ScheduleRow, f"pipeline:{pipeline}")
            query = select(TriggerRow).where(
                TriggerRow.schedule == f"pipeline:{pipeline}", TriggerRow.kind == "webhook"
            )
            triggers = session.scalars(query).all()
        authorization, signature = headers.get("authorization", ""), headers.get("x-hub-signature-256", "")
        known: TriggerRow | None = None
        refused = Unauthorized("wrong or missing secret of the webhook")
        # An unknown pipeline is answered like a wrong secret.
        secrets: list[tuple[TriggerRow | None, str]] = [
            (row, os.environ.get(row.settings["secret"], "")) for row in triggers
        ]
        for trigger, secret in secrets or [(None, "")]:
            try:
                check_caller(secret, authorization, signature, body)
                known = trigger
            except Unauthorized as error:
                refused = error
        if known is None or schedule is None or schedule.removed:
            raise refused
        self._database.check_leads()
        params = params_of(body)
        self._pipelines.check(pipeline, params)
        delivery = next((headers[name] for name in _DELIVERIES if headers.get(name)), "")
        if len(delivery) > 200:
            raise InvalidInput("the id of the delivery is too long", hint="send at most 200 characters")
        with self._database.change() as session:
            current = session.get(ScheduleRow, schedule.id)
            assert current is not None
            names = f"with {', '.join(sorted(params))}" if params else "without parameters"
            number = noticed(session, current, known, f"delivery {delivery or new_id()}", names, params=params)
        return self._occasions.get(number)

    def _row(self, name: str, *, removed: bool = False) -> ScheduleRow:
        with self._database.session() as session:
            rows = list(session.scalars(select(ScheduleRow).order_by(ScheduleRow.removed)))
        known = [row for row in rows if removed or not row.removed]
        found = [row for row in known if row.id == name] or [row for row in known if row.name == name]
        if not found:
            hint = did_you_mean(name, [row.name for row in known])
            raise NotFound(f"nothing starts '{name}' by itself", hint=hint)
        kinds = {row.kind for row in found if not row.removed}
        if len(kinds) > 1:
            hint = f"give 'pipeline:{name}' or 'notebook:{name}'"
            raise InvalidInput(f"'{name}' is both a pipeline and the schedule of a notebook", hint=hint)
        return found[0]

    def _shown(self, row: ScheduleRow) -> Schedule:
        with self._database.session() as session:
            rows = session.scalars(
                select(TriggerRow).where(TriggerRow.schedule == row.id).order_by(TriggerRow.id)
            ).all()
        triggers = [
            Trigger(
                trigger.kind,
                trigger_text(trigger.kind, trigger.settings, row.name),  # type: ignore[arg-type]
                dict(trigger.settings),
                trigger.next_ms,
                trigger.problem or _without_secret(trigger),
            )
            for trigger in rows
        ]
        found = Schedule(
            row.name,
            row.kind,  # type: ignore[arg-type]
            row.path,
            row.definition.get("notebook", ""),
            triggers,
            row.paused,
            row.problem,
        )
        times = [trigger.next_ms for trigger in triggers if trigger.next_ms]
        last = self._occasions.of(row.id, 1)
        return replace(found, next_ms=0 if row.paused else min(times, default=0), last=last[0] if last else None)


def _without_secret(trigger: TriggerRow) -> str:
    if trigger.kind == "webhook" and not os.environ.get(trigger.settings["secret"]):
        return f"nobody can call it: the control plane has no ${trigger.settings['secret']} in its environment"
    return ""
