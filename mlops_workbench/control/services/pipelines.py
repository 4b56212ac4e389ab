"""Pipeline runs, and the publication of their models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from sqlalchemy import select

from mlops_workbench.client.bodies import PromoteRequest, RegisterRequest
from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.services.models import ModelService
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.control.tables import PipelineRunRow
from mlops_workbench.core.errors import GateFailed, NotFound, StorageError, Unavailable, WorkbenchError
from mlops_workbench.core.pipelines import Pipeline, PipelineRun
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.pipelines import service as engine


class PipelineService:
    """Starts pipelines and, after their last stage, registers and promotes their model.

    A process of its own runs the stages and writes their state to a folder. A publication stays in the database until
    it is settled, and each of its steps can be repeated.
    """

    def __init__(
        self, workspace: Workspace, database: Database, models: ModelService, runs: RunService, hub: EventHub
    ) -> None:
        self._workspace = workspace
        self._database = database
        self._models = models
        self._runs = runs
        self._hub = hub
        self._published: dict[str, PipelineRun] = {}

    def pipelines(self) -> list[Pipeline]:
        """Pipelines of the workspace; invalid ones with their problem."""
        return engine.list_pipelines(self._workspace)

    def check(self, name: str, params: Mapping[str, object]) -> None:
        """Raise an error if the pipeline cannot start with these parameters."""
        engine.check_start(self._workspace, name, dict(params))

    def start(self, name: str, params: Mapping[str, object], reason: str = "manual") -> PipelineRun:
        """Check and start a pipeline."""
        run = engine.start_run(self._workspace, name, dict(params), reason=reason)
        self._track(run.id)
        self._hub.publish("pipelines", run.id)
        return run

    def runs(self, limit: int = 100) -> list[PipelineRun]:
        """Pipeline runs, newest first."""
        return [self._with_outcome(run) for run in engine.list_runs(self._workspace, limit)]

    def run(self, run_id: str) -> PipelineRun:
        """One pipeline run."""
        return self._with_outcome(engine.read_run(self._workspace, run_id))

    def cancel(self, run_id: str) -> PipelineRun:
        """Cancel a pipeline run."""
        run = engine.cancel_run(self._workspace, run_id)
        self._hub.publish("pipelines", run_id)
        return run

    def started_for(self, reason: str) -> PipelineRun | None:
        """The run that was started for this reason, or None."""
        return next((run for run in engine.list_runs(self._workspace, 1000) if run.reason == reason), None)

    def step(self) -> None:
        """Publish the models of runs that have ended, and events about runs that have changed."""
        for run in engine.list_runs(self._workspace, 50):
            if self._published.get(run.id) != run:
                self._published[run.id] = run
                self._track(run.id)
                self._hub.publish("pipelines", run.id)
        with self._database.session() as session:
            pending = session.scalars(select(PipelineRunRow.id).where(PipelineRunRow.publish == "pending")).all()
        problem: WorkbenchError | None = None
        for run_id in pending:
            try:
                self._settle(run_id)
            except (Unavailable, StorageError) as error:
                # It stays pending and is tried again; models of other runs do not wait for it.
                problem = error
        if problem is not None:
            raise problem

    def _settle(self, run_id: str) -> None:
        try:
            run = engine.read_run(self._workspace, run_id)
        except NotFound as error:
            self._close(run_id, "none", message=error.message)
            return
        except StorageError as error:
            self._close(run_id, "failed", message=error.message)
            return
        if run.state in ("pending", "running"):
            return
        if run.state != "succeeded":
            self._close(run_id, "none")
            return
        try:
            published = self._publish(run)
        except GateFailed as error:
            self._close(run_id, "refused", message=error.message)
        except (Unavailable, StorageError):
            raise
        except WorkbenchError as error:
            self._close(run_id, "failed", message=str(error))
        else:
            self._close(run_id, "done" if published else "none", published=published)

    def _publish(self, run: PipelineRun) -> str:
        request = engine.read_publish(self._workspace, run.id)
        if request is None:
            return ""
        self._runs.deliver(request.metrics_run_uid)
        version = self._models.register(request.name, RegisterRequest(run=request.run_uid))
        metrics = self._runs.find(request.metrics_run_uid)
        published = f"{request.name}/{version.version}"
        if request.gate or request.alias:
            promotion = PromoteRequest(request.alias, list(request.gate))
            self._models.promote(request.name, version.version, promotion, metrics)
        return published

    def _close(self, run_id: str, publish: str, *, published: str = "", message: str = "") -> None:
        with self._database.change() as session:
            row = session.get(PipelineRunRow, run_id)
            if row is not None:
                row.publish, row.published, row.message = publish, published, message
        self._hub.publish("pipelines", run_id)

    def _track(self, run_id: str) -> None:
        with self._database.change() as session:
            # `step` may add the row before `start` does.
            if session.get(PipelineRunRow, run_id) is None:
                session.add(PipelineRunRow(id=run_id, publish="pending", published="", message=""))

    def _row(self, run_id: str) -> PipelineRunRow | None:
        with self._database.session() as session:
            return session.get(PipelineRunRow, run_id)

    def _with_outcome(self, run: PipelineRun) -> PipelineRun:
        row = self._row(run.id)
        if row is None:
            return run
        # For clients, a run ends after its model is published.
        publishing = run.state == "succeeded" and row.publish == "pending"
        return dataclasses.replace(
            run,
            state="running" if publishing else run.state,
            published=row.published or run.published,
            message=row.message or ("publishing" if publishing else run.message),
        )
