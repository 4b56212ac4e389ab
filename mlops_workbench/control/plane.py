"""The control plane: its services and background jobs."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import cast

from mlops_workbench.client.bodies import DeployRequest
from mlops_workbench.control.audit.trail import AuditTrail, append
from mlops_workbench.control.calm import Calm
from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.releases.replays import Replays
from mlops_workbench.control.services.cards import CardService
from mlops_workbench.control.services.endpoints import EndpointService
from mlops_workbench.control.services.models import ModelService
from mlops_workbench.control.services.monitors import MonitorService
from mlops_workbench.control.services.pipelines import PipelineService
from mlops_workbench.control.services.retention import RetentionService
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.control.services.schedules import ScheduleService
from mlops_workbench.control.services.sweeps import SweepService
from mlops_workbench.control.worker import Worker
from mlops_workbench.core.audit import Subject
from mlops_workbench.core.endpoints import Endpoint
from mlops_workbench.core.errors import StorageError, Unavailable
from mlops_workbench.core.events import ProcessStatus, Topic, WorkspaceStatus
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.processes import ProcessIdentity
from mlops_workbench.core.version import __version__
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments import Supervisor
from mlops_workbench.deployments.logs import EndpointLogs
from mlops_workbench.deployments.spare import Spare
from mlops_workbench.tracking import Ingest, TrackingStore

_STOP_SECONDS = 3.0

log = logging.getLogger("mlops_workbench.control")


class ControlPlane:
    """The services and jobs of a workspace's control plane; `on_shutdown` is called when a client requests that."""

    def __init__(self, workspace: Workspace, on_shutdown: Callable[[], None]) -> None:
        self.workspace = workspace
        self.hub = EventHub()
        self.calm = Calm()
        self.url = ""
        self._on_shutdown = on_shutdown
        self._started_ms = now_ms()
        self._database = Database(workspace.database_url)
        self.audit = AuditTrail(self._database, workspace)
        store = TrackingStore(workspace)
        self.ingest = Ingest(workspace, store)
        self._index = self.ingest.index
        self.runs = RunService(workspace, self.ingest)
        self._spare = Spare(workspace)
        self.models = ModelService(workspace, self._database, store, self._index, self.runs, self.hub, self._spare)
        replays = Replays(workspace, self._database, self.models.export, self._spare.run_dry)
        supervisor = Supervisor(workspace, self._spare)
        self.endpoints = EndpointService(self._database, self.models, supervisor, self.hub, replays)
        self.models.promotions.replayed = self.endpoints.replayed
        self.cards = CardService(workspace, self.models, self.runs, self.endpoints)
        self.notice = self._database.notice
        if self.notice:
            with self._database.change() as session:
                append(session, "database.restore", Subject("database", "control.db"), reason=self.notice)
        if (self._database.is_new or self.notice) and (names := self.endpoints.recover()):
            self.notice = (
                f"{self.notice or 'control.db was gone'}; endpoints taken over, with new monitors: {', '.join(names)}"
            )
            log.warning("%s", self.notice)
        self.pipelines = PipelineService(workspace, self._database, self.models, self.runs, self.hub, self.deploy)
        self.sweeps = SweepService(workspace, self.pipelines, self.runs, self.hub)
        self.monitors = MonitorService(workspace, self._database, self.models, self.endpoints, self.pipelines, self.hub)
        self.retention = RetentionService(workspace, self.ingest, self.models, self.monitors, self.pipelines, self.runs)
        self.schedules = ScheduleService(workspace, self._database, self.pipelines, self.monitors, self.runs, self.hub)
        self._ingesting = threading.Event()
        self._ingest_thread = threading.Thread(
            target=self.ingest.run_forever, args=(self._ingesting, self.calm.wait), name="ingest", daemon=True
        )
        self._revision = 0
        self._workers = [
            Worker("index events", self._publish_runs, 0.25),
            Worker("endpoints", self._leading(self.endpoints.step), 1.0),
            Worker("ended endpoints", self._leading(self._replace_ended), 0.25),
            Worker("models", self.models.step, 1.0, self.calm.wait),
            Worker("pipelines", self._leading(self.pipelines.step), 0.5),
            Worker("schedules", self._leading(self.schedules.step), 1.0),
            Worker("monitors", self._leading(self.monitors.step), workspace.settings.monitoring.interval_seconds),
            Worker("prediction logs", self._leading(EndpointLogs(workspace).step), 30.0),
            Worker("retention", self._leading(self.retention.step), 60.0),
            Worker("audit", self._leading(self.audit.step), 60.0),
        ]
        for name in ("endpoints", "models"):
            self.models.on_alias(self._worker(name).wake)

    def check_leads(self) -> None:
        """Raise `Unavailable` if another control plane leads: see :class:`Database`."""
        self._database.check_leads()

    def start(self) -> None:
        """Start delivery and the jobs."""
        self.ingest.open_index()
        self._revision = self._index.revision()
        self._ingest_thread.start()
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """Stop delivery and the jobs; the desired state stays in the database."""
        self.hub.close()
        self.schedules.close()
        self._ingesting.set()
        for worker in self._workers:
            worker.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for worker in self._workers:
            worker.join(deadline - time.monotonic())
        self._spare.close()
        self._ingest_thread.join(max(deadline - time.monotonic(), 0.0))
        self._database.close()

    def shut_down(self, *, keep_endpoints: bool) -> None:
        """Stop the endpoints unless they are kept, then the process."""
        try:
            if not keep_endpoints:
                reconciler = self._worker("endpoints")
                reconciler.stop()
                reconciler.join(_STOP_SECONDS)
                self.endpoints.stop_all()
        finally:
            self._on_shutdown()

    def deploy(self, name: str, request: DeployRequest) -> Endpoint:
        """Deploy an endpoint and create its monitor."""
        endpoint = self.endpoints.deploy(name, request)
        self._worker("endpoints").wake()
        # Without MLflow, whose version says what to watch, the job of the monitors creates it later.
        with contextlib.suppress(Unavailable, StorageError):
            self.monitors.ensure(name)
        return endpoint

    def wake(self, worker: str) -> None:
        """Run a job at once."""
        self._worker(worker).wake()

    def status(self) -> WorkspaceStatus:
        """Processes, delivery and counts."""
        own = ProcessIdentity.of()
        endpoints = self.endpoints.all()
        standby = "" if self._database.leads() else f"stands by: {self._database.leader() or 'another one'} leads"
        problems = [
            self.notice,
            self.ingest.identity.notice,
            self.models.notice,
            self.monitors.notice,
            self.schedules.notice,
            standby,
            *(f"{job.name}: {job.problem}" for job in self._workers if job.problem),
        ]
        state = "; ".join(filter(None, problems)) or "running"
        processes = [ProcessStatus("control plane", own.pid if own else 0, self.url, state)]
        processes += [ProcessStatus(f"endpoint {e.name}", e.pid, e.url, e.state) for e in endpoints]
        return WorkspaceStatus(
            version=__version__,
            root=str(self.workspace.root),
            started_ms=self._started_ms,
            ingest=self.ingest.status(),
            processes=processes,
            runs=self._index.counts()["runs"],
            models=len(self.models.known()),
            endpoints=len(endpoints),
            open_alerts=sum(not alert.resolved_ms for alert in self.monitors.alerts()),
        )

    def _publish_runs(self) -> None:
        revision = self._index.revision()
        if revision == self._revision:
            return
        for topic, name in self._index.changed_since(self._revision):
            self.hub.publish(cast(Topic, topic), name)
        self._revision = revision

    def _leading(self, step: Callable[[], object]) -> Callable[[], None]:
        def step_if_leading() -> None:
            if self._database.leads():
                step()

        return step_if_leading

    def _replace_ended(self) -> None:
        if self.endpoints.wait_for_end(1.0):
            self._worker("endpoints").wake()

    def publish_soon(self) -> None:
        """Look at once whether a pipeline run has ended whose model is to be published."""
        self._worker("pipelines").wake()

    def _worker(self, name: str) -> Worker:
        return next(worker for worker in self._workers if worker.name == name)
