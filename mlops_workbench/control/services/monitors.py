"""Monitors: evaluates windows, raises alerts and starts pipelines on alerts."""

from __future__ import annotations

import dataclasses
import logging
import math
import re
import threading
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.services.endpoints import EndpointService
from mlops_workbench.control.services.models import ModelService
from mlops_workbench.control.services.pipelines import PipelineService
from mlops_workbench.control.tables import AlertRow, MonitorRow
from mlops_workbench.core.errors import Conflict, InvalidInput, NotFound, WorkbenchError, did_you_mean
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.models import model_name
from mlops_workbench.core.monitors import Alert, MonitorReport, MonitorSpec, Window, check_metric
from mlops_workbench.core.settings import MonitoringSettings
from mlops_workbench.core.wire.patterns import WINDOW
from mlops_workbench.core.workspace import Workspace

if TYPE_CHECKING:
    from mlops_workbench.monitoring.log_summaries import LogSummaries

log = logging.getLogger("mlops_workbench.control")


class MonitorService:
    """Manages one monitor per endpoint."""

    def __init__(
        self,
        workspace: Workspace,
        database: Database,
        models: ModelService,
        endpoints: EndpointService,
        pipelines: PipelineService,
        hub: EventHub,
    ) -> None:
        self._workspace = workspace
        self._database = database
        self._models = models
        self._endpoints = endpoints
        self._pipelines = pipelines
        self._hub = hub
        self._evaluating = threading.Lock()
        #: What is known of the files of each endpoint's log.
        self._summaries: dict[str, LogSummaries] = {}
        #: What was lost and what became of it, empty for nothing.
        self.notice = ""

    def reports(self) -> list[MonitorReport]:
        """State of every monitor."""
        with self._database.session() as session:
            names = session.scalars(select(MonitorRow.endpoint).order_by(MonitorRow.endpoint)).all()
        return [self.report(name) for name in names]

    def report(self, endpoint: str) -> MonitorReport:
        """State of the monitor of an endpoint."""
        with self._database.session() as session:
            row = session.get(MonitorRow, endpoint)
            if row is None:
                known = session.scalars(select(MonitorRow.endpoint)).all()
                raise NotFound(f"no monitor for endpoint '{endpoint}'", hint=did_you_mean(endpoint, known))
            return MonitorReport(
                msgspec.convert(row.spec, MonitorSpec, strict=False),
                msgspec.convert(row.windows, list[Window], strict=False),
                self.alerts(endpoint),
                row.evaluated_ms,
            )

    def alerts(self, endpoint: str | None = None) -> list[Alert]:
        """Alerts, newest first."""
        query = select(AlertRow).order_by(AlertRow.at_ms.desc())
        if endpoint is not None:
            query = query.where(AlertRow.endpoint == endpoint)
        with self._database.session() as session:
            return [_alert(row) for row in session.scalars(query)]

    def put(self, spec: MonitorSpec) -> MonitorReport:
        """Create or change a monitor.

        Raises
        ------
        NotFound
            The endpoint or the pipeline does not exist.
        InvalidInput
            The window or the metric is invalid, no window could raise an alert, or the pipeline could not start.
        """
        _check(spec, self._workspace.settings.monitoring)
        self._endpoints.get(spec.endpoint)
        if spec.pipeline:
            # As an alert would start it.
            self._pipelines.check(spec.pipeline, _filled(spec, date(2026, 1, 1), date(2026, 1, 2), "2026-01-01"))
        self._store(spec, replace=True)
        return self.report(spec.endpoint)

    def ensure(self, endpoint: str) -> None:
        """Create a monitor for an endpoint that has none; its metric depends on the type of the predictions."""
        with self._database.session() as session:
            if session.get(MonitorRow, endpoint) is not None:
                return
        name, number = self._models.resolve(next(s.model for s in self._endpoints.specs() if s.name == endpoint))
        outputs = self._models.version(name, number).outputs
        classes = bool(outputs) and outputs[0].dtype in ("string", "boolean", "long", "integer")
        self._store(MonitorSpec(endpoint, metric="accuracy" if classes else "mae"), replace=False)

    def _store(self, spec: MonitorSpec, *, replace: bool) -> None:
        with self._database.change() as session:
            row = session.get(MonitorRow, spec.endpoint)
            if row is None:
                session.add(MonitorRow(endpoint=spec.endpoint, spec=_plain(spec), windows=[], evaluated_ms=0))
            elif replace and row.spec != _plain(spec):
                row.spec, row.windows = _plain(spec), []
        self._hub.publish("monitors", spec.endpoint)

    def evaluate(self, endpoint: str) -> MonitorReport:
        """Evaluate the windows, raise alerts and start their pipelines."""
        # The alerts that there are decide about further ones, and one that is pending starts one pipeline run.
        with self._evaluating:
            return self._evaluate(endpoint)

    def _evaluate(self, endpoint: str) -> MonitorReport:
        # Imported here: SciPy and DuckDB take seconds, which the start of the control plane must not wait for.
        import duckdb
        import pyarrow as pa

        from mlops_workbench.monitoring.alerts import decide, should_trigger
        from mlops_workbench.monitoring.monitor import evaluate
        from mlops_workbench.monitoring.windows import put_damaged_aside

        before = self.report(endpoint)
        shown = self._endpoints.get(endpoint)
        serving, model = shown.version or None, model_name(shown.model)
        settings = self._workspace.settings.monitoring
        windows_now = partial(
            evaluate,
            before.spec,
            settings,
            model=model,
            predictions=self._workspace.predictions,
            feedback=self._workspace.feedback,
            reference=partial(self._reference, model),
            previous=before.windows,
            summaries=self._summaries_of(endpoint),
        )
        try:
            windows = windows_now()
        except (duckdb.Error, pa.ArrowException, OSError):
            logs = (self._workspace.predictions, self._workspace.feedback)
            damaged = put_damaged_aside(*(folder / f"endpoint={endpoint}" for folder in logs))
            if not damaged:
                raise
            names = ", ".join(str(path.relative_to(self._workspace.root)) for path in damaged)
            self.notice = f"monitor '{endpoint}': damaged files of its log are put aside and do not count: {names}"
            log.warning("%s", self.notice)
            windows = windows_now()
        changed = windows != before.windows
        with self._database.change() as session:
            row = session.get(MonitorRow, endpoint)
            if row is None:
                raise NotFound(f"the monitor of '{endpoint}' was removed during its evaluation")
            if row.spec != _plain(before.spec):
                raise Conflict(
                    f"the monitor of '{endpoint}' was changed during its evaluation", hint="evaluate it again"
                )
            row.windows, row.evaluated_ms = [_plain(window) for window in windows], now_ms()
        for alert in decide(windows, before.alerts, settings, endpoint=endpoint, serving=serving):
            self._keep(alert, trigger=bool(before.spec.pipeline) and should_trigger(alert))
            changed = True
        self._trigger()
        if changed:
            self._hub.publish("monitors", endpoint)
        return self.report(endpoint)

    def _summaries_of(self, endpoint: str) -> LogSummaries:
        from mlops_workbench.monitoring.log_summaries import LogSummaries

        if endpoint not in self._summaries:
            self._summaries[endpoint] = LogSummaries(self._workspace.predictions, self._workspace.feedback, endpoint)
        return self._summaries[endpoint]

    def step(self) -> None:
        """Evaluate the monitor of every endpoint, which each has; raise the first error after all of them."""
        problems: list[WorkbenchError] = []
        try:
            with self._evaluating:
                self._trigger()
        except WorkbenchError as error:
            problems.append(error)
        existing = {spec.name for spec in self._endpoints.specs() if spec.wanted}
        reports = self.reports()
        # Deployed while MLflow was away, or taken over after the database was lost.
        for name in sorted(existing - {report.spec.endpoint for report in reports}):
            try:
                self.ensure(name)
            except WorkbenchError as error:
                problems.append(error)
        for report in reports:
            if report.spec.enabled and report.spec.endpoint in existing:
                try:
                    self.evaluate(report.spec.endpoint)
                except WorkbenchError as error:
                    problems.append(error)
        if problems:
            raise problems[0]

    def _keep(self, alert: Alert, *, trigger: bool) -> None:
        with self._database.change() as session:
            row = session.get(AlertRow, alert.id)
            if row is None:
                session.add(AlertRow(**dataclasses.asdict(alert), trigger="pending" if trigger else "none"))
            else:
                row.resolved_ms, row.message = alert.resolved_ms, alert.message
        self._hub.publish("alerts", alert.id)

    def _trigger(self) -> None:
        with self._database.session() as session:
            pending = [_alert(row) for row in session.scalars(select(AlertRow).where(AlertRow.trigger == "pending"))]
        for alert in pending:
            self._start_for(alert)

    def _start_for(self, alert: Alert) -> None:
        # After a crash between start and commit, the run is found again by this reason.
        reason = f"alert:{alert.id}"
        run = self._pipelines.started_for(reason)
        if run is None and not alert.resolved_ms and self._cooling(alert):
            return
        report = self.report(alert.endpoint)
        outcome, run_id, message = "done", "", alert.message
        if run is None and alert.resolved_ms:
            # The alert was resolved while it waited for the end of the cooldown.
            outcome = "none"
        elif run is None:
            try:
                run = self._pipelines.start(report.spec.pipeline, _parameters(report, alert), reason)
            except (InvalidInput, NotFound) as error:
                outcome, message = "failed", f"{alert.message}; the pipeline could not be started: {error}"
        if run is not None:
            run_id = run.id
        with self._database.change() as session:
            row = session.get(AlertRow, alert.id)
            if row is not None:
                row.pipeline_run, row.trigger, row.message = run_id, outcome, message
        self._hub.publish("alerts", alert.id)

    def _cooling(self, alert: Alert) -> bool:
        since = now_ms() - self._workspace.settings.monitoring.cooldown_seconds * 1000
        others = [other for other in self.alerts(alert.endpoint) if other.pipeline_run]
        return any(other.at_ms > since for other in others)

    def _reference(self, model: str, version: int) -> Path | None:
        try:
            path = self._models.export(model, version) / "mlops" / "reference.parquet"
        except NotFound:
            # The version was deleted; its answers are still in the log.
            return None
        return path if path.exists() else None


def _parameters(report: MonitorReport, alert: Alert) -> dict[str, object]:
    labels = [window.label for window in report.windows]
    last = labels.index(alert.window) if alert.window in labels else len(labels) - 1
    windows = report.windows[: last + 1][-2:]
    start = datetime.fromtimestamp(windows[0].start_ms / 1000, UTC).date() if windows else None
    end = datetime.fromtimestamp(windows[-1].end_ms / 1000, UTC) if windows else None
    # The end is exclusive: for a window that ends at midnight it is that day, for any other the day after.
    day_after = (end + timedelta(days=1, microseconds=-1)).date() if end else None
    return _filled(report.spec, start, day_after, alert.window)


def _filled(spec: MonitorSpec, start: date | None, end: date | None, window: str) -> dict[str, object]:
    places = {"{start}": str(start), "{end}": str(end), "{window}": window}

    def filled(value: object) -> object:
        if isinstance(value, str):
            for place, text in places.items():
                value = value.replace(place, text)
        return value

    return {name: filled(value) for name, value in spec.params.items()}


def _check(spec: MonitorSpec, settings: MonitoringSettings) -> None:
    number = re.fullmatch(r"[1-9][0-9]{0,8}", spec.window)
    if number is None and not re.fullmatch(WINDOW, spec.window):
        raise InvalidInput(
            f"'{spec.window}' is not a window", hint="use 'hour', 'day', 'month' or a number of rows such as '5000'"
        )
    if number is not None and int(spec.window) < settings.alert_rows:
        raise InvalidInput(
            f"no window of {spec.window} rows can raise an alert: it needs {settings.alert_rows}",
            hint=f"use a window of at least {settings.alert_rows} rows, or set act_rows and min_rows below [monitoring]"
            " in workbench.toml",
        )
    check_metric(spec.metric)
    if not 0 < spec.max_degradation < math.inf:
        raise InvalidInput("max_degradation must be a number above 0", hint="0.1 means 10 %")
    if spec.params and not spec.pipeline:
        raise InvalidInput("the parameters belong to no pipeline", hint="name the pipeline that an alert starts")


def _plain(noun: Any) -> Any:
    return msgspec.to_builtins(noun)


def _alert(row: AlertRow) -> Alert:
    return Alert(
        row.id, row.endpoint, row.kind, row.window, row.message, row.at_ms, row.version,  # type: ignore[arg-type]
        row.pipeline_run, row.resolved_ms,
    )  # fmt: skip
