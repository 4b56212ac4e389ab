"""Triggers other than files: times, versions of data sets, ends of pipelines, alerts."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mlops_workbench.control.database import Database
from mlops_workbench.control.services.monitors import MonitorService
from mlops_workbench.control.services.occasions import noticed, remembered_since_ms, schedules_with
from mlops_workbench.control.services.pipelines import PipelineService
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.control.tables import OccasionRow, ScheduleRow, TriggerRow
from mlops_workbench.core.ids import now_ms, short_id
from mlops_workbench.core.pipelines import PipelineRun
from mlops_workbench.pipelines.triggers.alerts import matches
from mlops_workbench.pipelines.triggers.cron import Cron
from mlops_workbench.pipelines.triggers.due import Due, due
from mlops_workbench.pipelines.triggers.targets import trigger_text

log = logging.getLogger("mlops_workbench.control")

#: Seconds between two looks at the index of data sets.
_DATASETS_SECONDS = 3.0
#: Newest runs among which those that have ended are looked for.
_MOST_RUNS = 200


class Observers:
    """Keeps what happened since the last step."""

    def __init__(
        self, database: Database, pipelines: PipelineService, monitors: MonitorService, runs: RunService
    ) -> None:
        self._database = database
        self._pipelines = pipelines
        self._monitors = monitors
        self._runs = runs
        self._datasets_at = 0.0

    def step(self) -> None:
        """Look at times, data sets, pipelines and alerts."""
        self._times()
        self._datasets()
        self._ends()
        self._alerts()

    def _times(self) -> None:
        now = now_ms()
        with self._database.session() as session:
            rows = [row for row in schedules_with(session, ["schedule"]) if 0 < row[1].next_ms <= now]
        for schedule, trigger in rows:
            settings = trigger.settings
            cron = Cron(settings["cron"], settings["timezone"])
            found = due(cron, _moment(trigger.next_ms), _moment(now), settings["catchup"])
            with self._database.change() as session:
                if move_on(session, trigger, found):
                    keep_times(session, schedule, trigger, found, f"catchup is {settings['catchup']}")

    def _datasets(self) -> None:
        if time.monotonic() < self._datasets_at:
            return
        self._datasets_at = time.monotonic() + _DATASETS_SECONDS
        with self._database.session() as session:
            rows = list(schedules_with(session, ["dataset"]))
        # An index that catches up lacks versions, which would be new later.
        if not rows or not self._runs.catch_up():
            return
        for schedule, trigger in rows:
            known = set(trigger.seen["digests"]) if trigger.seen else None
            versions = {name: self._runs.data_versions(name) for name in trigger.settings["names"]}
            digests = {version.digest for found in versions.values() for version in found}
            if known is not None and digests <= known:
                continue
            with self._database.change() as session:
                seen = {"digests": sorted(digests | (known or set()))}
                session.execute(update(TriggerRow).where(TriggerRow.id == trigger.id).values(seen=seen))
                for name, found in versions.items() if known is not None else ():
                    # A pipeline is not started by the data that it makes itself.
                    news = [v for v in found if v.digest not in (known or ()) and v.pipeline != schedule.name]
                    if news:
                        newest = news[-1]
                        detail = f"{name}@{newest.digest[:12]} (first in run {newest.run})"
                        noticed(session, schedule, trigger, newest.digest, detail)

    def _ends(self) -> None:
        with self._database.session() as session:
            rows = list(schedules_with(session, ["pipeline"]))
        if not rows:
            return
        runs = [
            run for run in self._pipelines.runs(_MOST_RUNS) if run.end_ms and not run.active and run.kind == "pipeline"
        ]
        for schedule, trigger in rows:
            wanted = [run for run in reversed(runs) if _is_end(trigger, run) and run.end_ms > remembered_since_ms()]
            for run in self._new(trigger, wanted):
                with self._database.change() as session:
                    detail = f"{run.pipeline} {run.state} (run {short_id(run.id)})"
                    noticed(session, schedule, trigger, run.id, detail)

    def _new(self, trigger: TriggerRow, runs: list[PipelineRun]) -> Iterable[PipelineRun]:
        known = self._keys(trigger, [run.id for run in runs])
        return [run for run in runs if run.id not in known]

    def _alerts(self) -> None:
        with self._database.session() as session:
            rows = list(schedules_with(session, ["drift", "metric"]))
        for schedule, trigger in rows:
            endpoint = trigger.settings["monitor"]
            since_ms = max(trigger.since_ms, remembered_since_ms())
            alerts = [alert for alert in self._monitors.alerts(endpoint) if alert.at_ms >= since_ms]
            known = self._keys(trigger, [alert.id for alert in alerts])
            new = [alert for alert in alerts if alert.id not in known and not alert.resolved_ms]
            if not new:
                continue
            windows = self._monitors.report(endpoint).windows
            for alert in new:
                if text := matches(trigger.kind, trigger.settings, alert, windows):  # type: ignore[arg-type]
                    detail = f"{trigger_text(trigger.kind, trigger.settings)} ({text} in {alert.window})"  # type: ignore[arg-type]
                    with self._database.change() as session:
                        noticed(session, schedule, trigger, alert.id, detail)

    def _keys(self, trigger: TriggerRow, keys: list[str]) -> set[str]:
        query = select(OccasionRow.key).where(OccasionRow.trigger == trigger.id, OccasionRow.key.in_(keys))
        with self._database.session() as session:
            return set(session.scalars(query))


def move_on(session: Session, trigger: TriggerRow, found: Due) -> bool:
    """Set the next time of a schedule; False if another process has done so."""
    done = session.execute(
        update(TriggerRow)
        .where(TriggerRow.id == trigger.id, TriggerRow.next_ms == trigger.next_ms)
        .values(next_ms=int(found.next.timestamp() * 1000) if found.next is not None else 0)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


def keep_times(session: Session, schedule: ScheduleRow, trigger: TriggerRow, found: Due, rule: str) -> None:
    """Keep what a schedule decided about its times.

    Parameters
    ----------
    session : Session
        Of a change.
    schedule, trigger : ScheduleRow, TriggerRow
        Whose times these are.
    found : Due
        The decision.
    rule : str
        Why the missed times start nothing.
    """
    zone, text = ZoneInfo(trigger.settings["timezone"]), trigger_text("schedule", trigger.settings)

    def shown(at: datetime) -> str:
        return at.astimezone(zone).isoformat(timespec="minutes")

    if found.first_missed is not None and found.last_missed is not None:
        more = "more than " if found.more else ""
        times = (
            f"from {shown(found.first_missed)} to {shown(found.last_missed)}"
            if found.missed > 1
            else shown(found.first_missed)
        )
        key = f"missed {found.first_missed.isoformat()}"
        noticed(
            session, schedule, trigger, key, f"{text}, {more}{found.missed} missed: {times}",
            skipped=f"missed while nothing could start, and {rule}",
        )  # fmt: skip
    for at in found.starts:
        joins = trigger.settings["catchup"] != "all"
        noticed(session, schedule, trigger, at.isoformat(), f"{text}, planned {shown(at)}", joins=joins)


def _is_end(trigger: TriggerRow, run: PipelineRun) -> bool:
    settings = trigger.settings
    return run.pipeline == settings["name"] and run.state == settings["state"] and run.end_ms >= trigger.since_ms


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
