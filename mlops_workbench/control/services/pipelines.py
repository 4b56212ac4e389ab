"""Runs of pipelines and notebooks, and the publication of their models."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import select

from mlops_workbench.client.bodies import DeployRequest, NotebookRunRequest, PromoteRequest, RegisterRequest
from mlops_workbench.control.audit.actors import acting_as, process
from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.services.models import ModelService
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.control.tables import EndpointRow, PipelineRunRow
from mlops_workbench.core.errors import (
    Conflict,
    GateFailed,
    InvalidInput,
    NotFound,
    StorageError,
    Unavailable,
    WorkbenchError,
)
from mlops_workbench.core.gates import MetricValues
from mlops_workbench.core.ids import now_ms
from mlops_workbench.core.metrics import own_metrics
from mlops_workbench.core.models import ModelVersion
from mlops_workbench.core.pipelines import Pipeline, PipelineRun, PlannedRun, RunProgress, StageResult
from mlops_workbench.core.records import Number
from mlops_workbench.core.runs import Run
from mlops_workbench.core.wire.json_numbers import JsonNumber, real_number
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.parameters.text import Text
from mlops_workbench.pipelines import service as engine
from mlops_workbench.pipelines.execution.notebook_run import NotebookOptions
from mlops_workbench.pipelines.execution.selection import WHOLE, Selection
from mlops_workbench.pipelines.execution.verdict import judge
from mlops_workbench.pipelines.plan.specs import list_pipelines
from mlops_workbench.pipelines.runs.publication import PublishRequest

#: Deploys an endpoint.
Deploy = Callable[[str, DeployRequest], object]


def given_values(params: Mapping[str, object], texts: Mapping[str, str]) -> dict[str, object]:
    """Values for parameters from a request; what was typed is marked as such."""
    return {**params, **{name: Text(text) for name, text in texts.items()}}


class PipelineService:
    """Starts pipelines and notebooks and, after the last stage of a pipeline, registers and promotes its model.

    A process of its own runs the stages and writes their state to a folder. A publication stays in the database until
    it is settled, and each of its steps can be repeated.
    """

    def __init__(
        self,
        workspace: Workspace,
        database: Database,
        models: ModelService,
        runs: RunService,
        hub: EventHub,
        deploy: Deploy,
    ) -> None:
        self._workspace = workspace
        self._database = database
        self._models = models
        self._runs = runs
        self._hub = hub
        self._deploy = deploy
        self._published: dict[str, PipelineRun] = {}
        self._outcomes = 0  # publications that have ended

    def pipelines(self) -> list[Pipeline]:
        """Pipelines of the workspace; invalid ones with their problem."""
        return list_pipelines(self._workspace)

    def check(self, name: str, params: Mapping[str, object]) -> None:
        """Raise an error if the pipeline cannot start with these parameters."""
        engine.check_start(self._workspace, name, dict(params))

    def plan(self, name: str, params: Mapping[str, object], selection: Selection = WHOLE) -> PlannedRun:
        """What a run of a pipeline would do; raises what starting it would raise."""
        return engine.plan_run(self._workspace, name, dict(params), selection)

    def start(
        self, name: str, params: Mapping[str, object], reason: str = "manual", selection: Selection = WHOLE
    ) -> PipelineRun:
        """Check and start a pipeline."""
        run = engine.start_run(self._workspace, name, dict(params), reason, self.champion_metrics, selection)
        return self._started(run)

    def start_notebook(self, request: NotebookRunRequest, reason: str = "manual") -> PipelineRun:
        """Check and run a notebook; relative paths are in the workspace."""
        options = NotebookOptions(
            params=given_values(request.params, request.texts),
            secrets=request.secrets,
            name=request.name,
            experiment=request.experiment,
            timeout=request.timeout,
            output=self.path(request.output) if request.output else None,
        )
        return self._started(engine.start_notebook(self._workspace, self.path(request.notebook), options, reason))

    def _started(self, run: PipelineRun) -> PipelineRun:
        # A run that publishes nothing has ended when its stages have.
        self._track(run.id, publishes=engine.publish_spec(self._workspace, run.id) is not None)
        self._hub.publish("pipelines", run.id)
        return run

    def path(self, text: str) -> Path:
        """An absolute path, or one in the workspace; raises InvalidInput."""
        path = Path(text)
        if not text or "\0" in text:
            raise InvalidInput(f"{text!r} is not a path", hint="give the path of a notebook")
        if path.is_absolute():
            return path
        found = Path(os.path.normpath(self._workspace.root / path))
        if not found.is_relative_to(self._workspace.root):
            raise InvalidInput(
                f"'{text}' is outside the workspace", hint=f"give an absolute path, or one in {self._workspace.root}"
            )
        return found

    def runs(self, limit: int = 100) -> list[PipelineRun]:
        """Pipeline runs, newest first."""
        return [self._with_outcome(run) for run in engine.list_runs(self._workspace, limit)]

    def run(self, run_id: str) -> PipelineRun:
        """One pipeline run."""
        return self._with_outcome(engine.read_run(self._workspace, run_id))

    def version(self, run_id: str) -> str:
        """A text that changes with each event of a run; cheap to get."""
        return f"{engine.log_size(self._workspace, run_id)}-{self._outcomes}"

    def progress(self, run_id: str, lines: int) -> RunProgress:
        """How far a run is, with the last lines that its running stages printed."""
        found = engine.read_progress(self._workspace, run_id, lines)
        return dataclasses.replace(found, run=self._with_outcome(found.run))

    def results(self, run_id: str) -> list[StageResult]:
        """Executed notebooks of a run's stages, and where they failed."""
        return engine.read_results(self._workspace, run_id)

    def cancel(self, run_id: str) -> PipelineRun:
        """Cancel a pipeline run."""
        run = engine.cancel_run(self._workspace, run_id)
        self._hub.publish("pipelines", run_id)
        return run

    def resume(self, run_id: str) -> PipelineRun:
        """Let a run that has failed or was cancelled go on: stages that succeeded are kept."""
        run = engine.resume_run(self._workspace, run_id)
        with self._database.change() as session:
            row = session.get(PipelineRunRow, run_id)
            if row is not None:
                row.message = ""
                row.publish = "pending" if engine.publish_spec(self._workspace, run_id) is not None else "none"
        self._hub.publish("pipelines", run_id)
        return run

    def started_for(self, reason: str) -> PipelineRun | None:
        """The run that was started for this reason, or None."""
        return next((run for run in engine.list_runs(self._workspace, 1000) if run.reason == reason), None)

    def newest_and_active(self, limit: int) -> list[PipelineRun]:
        """So many runs, newest first, and all older ones that are active."""
        newest = engine.list_runs(self._workspace, limit)
        return [*newest, *self._older(newest)]

    def publishing(self) -> set[str]:
        """Ids of the runs whose model is not published yet."""
        with self._database.session() as session:
            return set(session.scalars(select(PipelineRunRow.id).where(PipelineRunRow.publish == "pending")))

    def step(self) -> None:
        """Resume runs whose runner has ended, publish models of runs that have ended, and events about changed runs."""
        # At first also those whose runner has ended while no control plane led.
        problem: WorkbenchError | None = None
        runs = engine.list_runs(self._workspace, 50 if self._published else 1000)
        older = self._older(runs)
        kept = {run.id for run in (*runs, *older)}
        self._published = {run_id: run for run_id, run in self._published.items() if run_id in kept}
        for run in [*runs, *older]:
            if engine.is_interrupted(run):
                try:
                    run = engine.resume_run(self._workspace, run.id, by_hand=False)
                except StorageError as error:
                    problem = error
                except Conflict:
                    pass  # it was resumed by hand, or has ended
            if self._published.get(run.id) != run:
                self._published[run.id] = run
                self._track(run.id)
                self._hub.publish("pipelines", run.id)
        for run_id in sorted(self.publishing()):
            try:
                self._settle(run_id)
            except (Unavailable, StorageError) as error:
                # It stays pending and is tried again; models of other runs do not wait for it.
                problem = error
        if problem is not None:
            raise problem

    def _older(self, listed: Sequence[PipelineRun]) -> list[PipelineRun]:
        """Runs that were active when they were last looked at, although many newer ones, which are listed, began."""
        found, ids = [], {run.id for run in listed}
        for run_id, run in list(self._published.items()):
            if run.active and run_id not in ids:
                with contextlib.suppress(NotFound, StorageError):
                    found.append(engine.read_run(self._workspace, run_id))
        return found

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
        with acting_as(process(f"pipeline {run.pipeline}", "pipeline")):
            self._settle_ended(run)

    def _settle_ended(self, run: PipelineRun) -> None:
        run_id = run.id
        if run.state != "succeeded":
            spec = engine.publish_spec(self._workspace, run_id)
            if run.state == "not_published" and spec is not None:
                self._models.promotions.refuse(spec.name, run.message, alias=spec.alias)
            self._close(run_id, "none")
            return
        published, message = "", ""
        try:
            published, message = self._publish(run)
        except GateFailed as error:
            self._close(run_id, "refused", message=error.message)
        except (Unavailable, StorageError):
            raise
        except WorkbenchError as error:
            self._close(run_id, "failed", message=error.message)
        else:
            self._close(run_id, "done" if published else "none", published=published, message=message)

    def _publish(self, run: PipelineRun) -> tuple[str, str]:
        """Publish the model of a run: the version, empty for nothing to publish, and what did not work with it.

        Raises
        ------
        GateFailed
            A gate that passed in the run does not pass any more, or the gate of the publication does not.
        """
        request = engine.read_publish(self._workspace, run.id)
        if request is None:
            return "", ""
        found = self._measured(request)
        self._check_gates(request, found)
        # A model that the notebook wrote without `save` has another name, or that of its class.
        logged = [model.name for model in self._runs.detail(request.run_uid).models]
        model = request.model if request.model in logged else ""
        version = self._models.register(
            request.name, RegisterRequest(run=request.run_uid, model=model), is_promoted=True
        )
        published = f"{request.name}/{version.version}"
        kept = _merged(found, request.metrics_run_uids)
        own = [gate for gate in request.gates if not gate.stage]
        stages = [(gate.conditions, _merged(found, gate.run_uids)) for gate in request.gates if gate.stage]
        promotion = PromoteRequest(request.alias, [condition for gate in own for condition in gate.conditions])
        promoted = self._models.promotions.promote(request.name, version.version, promotion, kept, stages, is_new=True)
        messages = [version.notice, promoted.notice, self._serve(request, version) if request.serve else ""]
        return published, "; ".join(filter(None, messages))

    def _measured(self, request: PublishRequest) -> dict[str, Run]:
        """The runs with metrics for a publication."""
        uids = {request.run_uid, *request.metrics_run_uids, *(uid for gate in request.gates for uid in gate.run_uids)}
        for uid in sorted(uids):
            self._runs.deliver(uid)
        return {uid: self._runs.find(uid) for uid in uids}

    def _check_gates(self, request: PublishRequest, found: Mapping[str, Run]) -> None:
        """Raise GateFailed if a gate fails now: the champion may be another one than at the start of the run.

        A version is permanent, so this comes before it is registered; `Promotions.promote` checks again when it
        moves the alias.
        """
        champion = self._models.champion(request.name) if request.gates else None
        # The version of this very run, when the publication is repeated after a crash.
        best = champion.metrics if champion is not None and champion.run_uid != request.run_uid else None
        reasons = []
        for gate in request.gates:
            values = _numbers(_merged(found, gate.run_uids))
            if reason := judge(gate.conditions, values, best, now_ms(), gate.metrics):
                reasons.append(f"stage '{gate.stage}' was refused: {reason}" if gate.stage else reason)
        if reasons:
            self._models.promotions.refuse(request.name, "; ".join(reasons), alias=request.alias)
            raise GateFailed("; ".join(reasons))

    def champion_metrics(self, name: str) -> MetricValues | None:
        """Metrics of the present champion of a model, None without one."""
        champion = self._models.champion(name)
        return None if champion is None else champion.metrics

    def _serve(self, request: PublishRequest, version: ModelVersion) -> str:
        """Deploy the endpoint of a model if there is none; returns why it cannot be served."""
        with self._database.session() as session:
            row = session.get(EndpointRow, request.name)
            if row is not None and row.wanted:
                return ""
        reference = f"{request.name}@{request.alias}" if request.alias else f"{request.name}/{version.version}"
        try:
            self._deploy(request.name, DeployRequest(reference))
        except (InvalidInput, Conflict, NotFound) as error:
            return f"published, but not served: {error.message}"
        return ""

    def _close(self, run_id: str, publish: str, *, published: str = "", message: str = "") -> None:
        with self._database.change() as session:
            row = session.get(PipelineRunRow, run_id)
            if row is not None:
                row.publish, row.published, row.message = publish, published, message
        self._outcomes += 1
        self._hub.publish("pipelines", run_id)

    def _track(self, run_id: str, *, publishes: bool = True) -> None:
        with self._database.change() as session:
            # `step` may add the row before `start` does.
            row = session.get(PipelineRunRow, run_id)
            if row is None:
                state = "pending" if publishes else "none"
                session.add(PipelineRunRow(id=run_id, publish=state, published="", message=""))
            elif not publishes:
                row.publish = "none"

    def _row(self, run_id: str) -> PipelineRunRow | None:
        with self._database.session() as session:
            return session.get(PipelineRunRow, run_id)

    def _with_outcome(self, run: PipelineRun) -> PipelineRun:
        row = self._row(run.id)
        if row is None:
            return run
        state, message = run.state, row.message or run.message
        if run.state == "succeeded" and row.publish == "pending":
            # For clients, a run ends after its model is published.
            state, message = "running", message or "publishing"
        elif run.state == "succeeded" and row.publish == "refused":
            state = "not_published"
        elif run.state == "succeeded" and row.publish == "failed":
            state, message = "failed", f"its model could not be published: {message}"
        return dataclasses.replace(run, state=state, published=row.published or run.published, message=message)


def _merged(found: Mapping[str, Run], uids: list[str]) -> dict[str, JsonNumber | None]:
    """Metrics of runs without the use of resources; those of a later run go first."""
    return own_metrics({name: value for uid in uids for name, value in found[uid].metrics.items()})


def _numbers(metrics: MetricValues) -> dict[str, Number]:
    return {name: real_number(value) for name, value in metrics.items() if value is not None}
