"""Endpoints: the database has their desired state, the reconciler applies it."""

from __future__ import annotations

import dataclasses
import logging
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import select

from mlops_workbench.client.bodies import DeployRequest, LendRequest, LentProcess, RollbackRequest
from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.releases import quarantine
from mlops_workbench.control.releases.history import ReleaseHistory, add_release
from mlops_workbench.control.releases.replays import Replays, not_served, replay_check
from mlops_workbench.control.releases.way_back import way_back_of_endpoint
from mlops_workbench.control.services.alias_follower import AliasFollower
from mlops_workbench.control.services.endpoint_rows import record_change, spec_of
from mlops_workbench.control.services.models import ModelService
from mlops_workbench.control.tables import EndpointRow
from mlops_workbench.core.endpoints import Endpoint, EndpointSpec
from mlops_workbench.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    Quarantined,
    StorageError,
    Unavailable,
    WorkbenchError,
    did_you_mean,
)
from mlops_workbench.core.ids import check_name
from mlops_workbench.core.models import SERVED_FORMATS, SERVED_LIBRARIES, GateCheck, GateResult, model_name
from mlops_workbench.core.releases import Release, RollbackPlan
from mlops_workbench.core.surroundings import fingerprint
from mlops_workbench.deployments import Supervisor

log = logging.getLogger("mlops_workbench.control")


class EndpointService:
    """Deploys, rolls back and reconciles endpoints.

    Each change is first committed as the desired state; after a crash, the next reconciliation applies it.
    """

    def __init__(
        self, database: Database, models: ModelService, supervisor: Supervisor, hub: EventHub, replays: Replays
    ) -> None:
        self._database = database
        self._replays = replays
        self.history = ReleaseHistory(database)
        self._models = models
        self._supervisor = supervisor
        self._hub = hub
        self._follower = AliasFollower(database, models, supervisor, hub, self.specs, self._note)
        self._published: dict[str, tuple[object, ...]] = {}
        self._stopped = False
        self._starting = threading.Lock()

    def all(self) -> list[Endpoint]:
        """State of every endpoint that is not removed."""
        return [self._supervisor.observe(spec) for spec in self.specs() if spec.wanted]

    def get(self, name: str) -> Endpoint:
        """State of an endpoint."""
        return self._supervisor.observe(self._spec(name))

    def log(self, name: str, lines: int, after: int) -> tuple[str, int]:
        """Lines of the log of an endpoint's process, and the position after them."""
        return self._supervisor.log(self._spec(name).name, lines, after)

    def specs(self) -> list[EndpointSpec]:
        """Desired states, including those of removed endpoints until they have stopped."""
        with self._database.session() as session:
            return [spec_of(row) for row in session.scalars(select(EndpointRow).order_by(EndpointRow.name))]

    def recover(self) -> list[str]:
        """Take over the endpoints that have folders and no row, after the database was lost; gives their names."""
        with self._database.change() as session:
            known = set(session.scalars(select(EndpointRow.name)))
            lost = [spec for spec in self._supervisor.wanted() if spec.name not in known]
            for spec in lost:
                session.add(row := EndpointRow(**dataclasses.asdict(spec)))
                add_release(
                    session, spec.name, spec.model, spec.version, 0, "", "its folder was there, the history was lost"
                )
                record_change(session, "endpoint.restore", row, None, "its folder was there, and the database was lost")
        return [spec.name for spec in lost]

    def deploy(self, name: str, request: DeployRequest) -> Endpoint:
        """Serve a model version as endpoint `name`; an existing endpoint switches to it."""
        check_name("endpoint", name)
        for where, text in (("override", request.override), ("release_quarantine", request.release_quarantine)):
            if text:
                quarantine.check_reason(text, where, "say why it is served nevertheless")
        reference = request.model.removeprefix("models:/")
        model, version = self._models.resolve(reference)
        saved = ""
        with suppress(Unavailable, StorageError):
            saved = self._models.version(model, version).format
        digest = ""
        with suppress(Unavailable, StorageError):
            digest = self._models.digest(model, version)
        # Before the replay, which takes seconds, and again when it is changed.
        with self._refusals(model, version), self._database.session() as session:
            if not request.release_quarantine and (found := quarantine.find(session, model, version, digest)):
                raise quarantine.refusal(found, model, version)
        if saved and saved not in SERVED_FORMATS and not self._models.serves_any_flavor:
            raise InvalidInput(
                f"{model}/{version} is a model of '{saved}', and endpoints serve {SERVED_LIBRARIES}",
                hint="set serving.allow_pyfunc = true in workbench.toml if you trust its code, which MLflow then runs",
            )
        replay, by_override = self._replay(name, model, version, request)
        self._note(name)
        reason = f"deploy {reference}{by_override}"
        with self._refusals(model, version), self._database.change() as session:
            quarantine.check(session, model, version, digest, release=request.release_quarantine)
            row = session.get(EndpointRow, name)
            before = spec_of(row) if row is not None else None
            if row is None:
                row = EndpointRow(
                    name=name, model=reference, version=version, previous=0, port=request.port, wanted=True,
                    generation=1,
                )  # fmt: skip
                session.add(row)
                add_release(session, name, reference, version, 0, "deploy", reason, replay=replay)
            else:
                other = model_name(row.model) != model_name(reference)
                if other and row.wanted:
                    raise Conflict(
                        f"endpoint '{name}' serves the model '{model_name(row.model)}'",
                        hint="use another endpoint name, or remove this endpoint first",
                    )
                if other or row.version != version or not row.wanted:
                    replaced = 0 if other else row.version
                    add_release(session, name, reference, version, replaced, "deploy", reason, replay=replay)
                if other or row.version != version:
                    row.previous = row.version if row.wanted else 0
                    row.version = version
                row.model = reference
                row.port = request.port or row.port
                row.wanted = True
                row.generation += 1
            record_change(session, "endpoint.deploy", row, before, reason)
            spec = spec_of(row)
        self._hub.publish("endpoints", name)
        return self._supervisor.observe(spec)

    def releases(self, name: str) -> list[Release]:
        """What an endpoint served when, the newest first, see :meth:`ReleaseHistory.of`."""
        self._note(name)
        return self.history.of(name)

    def _note(self, name: str) -> None:
        """Note what an endpoint serves now, which it may do for less time than there is between two steps."""
        if self._database.leads():
            for spec in self.specs():
                if spec.name == name:
                    self.history.note(self._supervisor.observe(spec))

    def replayed(self, reference: str, version: int) -> list[GateCheck]:
        """Checks of a version that is to get the alias of a reference ``name@alias``, which endpoints follow."""
        checks = []
        for spec in self.specs():
            if spec.wanted and spec.model == reference:
                made = self._replays.make(spec.name, model_name(reference), version, spec.version)
                if made is not None:
                    checks.append(replay_check(made[1]))
        return checks

    def plan(self, name: str) -> RollbackPlan:
        """What a rollback of an endpoint would do.

        Raises
        ------
        Conflict
            There is no version to go back to.
        """
        spec = self._spec(name)
        model, _, alias = spec.model.partition("@")
        if alias:
            return dataclasses.replace(self._models.plan(model, alias), name=name)
        gone = self._models.gone(model_name(model))
        with self._database.session() as session:
            return way_back_of_endpoint(session, spec, gone)[0]

    def rollback(self, name: str, request: RollbackRequest) -> Endpoint:
        """Serve the previous version again, and move an alias that the endpoint follows back too.

        The version that is left is put in quarantine.

        Raises
        ------
        Conflict
            There is no previous version, or another one than `leaves` is served by now.
        """
        quarantine.check_reason(request.reason, "reason", "say why, for example: the answers for new customers are 0")
        spec = self._spec(name)
        self._note(name)
        model, _, alias = spec.model.partition("@")
        if alias:
            why = f"endpoint '{name}' is rolled back"
            self._models.rollback(model, alias, request.reason, why=why, leaves=request.leaves)
            self._follower.follow(spec)
        else:
            self._return(spec, request)
        return self.get(name)

    def _return(self, spec: EndpointSpec, request: RollbackRequest) -> None:
        """Return to the previous version of an endpoint that follows no alias."""
        model = model_name(spec.model)
        gone = self._models.gone(model)
        with self._database.change() as session:
            row = session.get(EndpointRow, spec.name)
            if row is None or not row.wanted or row.model != spec.model or request.leaves not in (0, row.version):
                now = f"version {row.version} of {row.model}" if row is not None and row.wanted else "nothing"
                raise Conflict(
                    f"endpoint '{spec.name}' serves {now} by now",
                    hint=f"nothing was changed; 'mlops releases {spec.name}' says what happened",
                )
            before = spec_of(row)
            plan, next_one = way_back_of_endpoint(session, before, gone)
            quarantine.impose(session, model, row.version, plan.returns_to, request.reason)
            row.previous, row.version = next_one, plan.returns_to
            row.model = f"{model}/{plan.returns_to}"
            row.generation += 1
            add_release(session, row.name, row.model, row.version, before.version, "rollback", request.reason)
            record_change(session, "endpoint.rollback", row, before, f"rollback: {request.reason}")
        self._hub.publish("endpoints", spec.name)

    @contextmanager
    def _refusals(self, model: str, version: int) -> Iterator[None]:
        """Add to the audit trail that a version in quarantine was not deployed."""
        try:
            yield
        except Quarantined as error:
            self._models.promotions.refuse(model, error.message, version=version)
            raise

    def _replay(self, name: str, model: str, version: int, request: DeployRequest) -> tuple[int, str]:
        """Replay requests before a switch: the id of the report, 0 for none, and what is added to the reason.

        Raises
        ------
        GateFailed
            The replay refuses the version, and nothing overrides that.
        """
        spec = next((spec for spec in self.specs() if spec.name == name and spec.wanted), None)
        if spec is None or model_name(spec.model) != model:
            return 0, ""
        made = self._replays.make(name, model, version, spec.version)
        if made is None or not made[1].refused:
            return (made[0] if made is not None else 0), ""
        number, report = made
        if request.override:
            return number, f", although {report.refused}: {request.override}"
        gate = GateResult(False, [replay_check(report)], report.at_ms)
        self._models.promotions.refuse(
            model, f"{gate.checks[0].condition}: {gate.checks[0].detail}", version=version, gate=gate
        )
        raise not_served(report, request.model, spec.version)

    def remove(self, name: str) -> None:
        """Stop an endpoint permanently."""
        self._spec(name)
        with self._database.change() as session:
            row = session.get(EndpointRow, name)
            if row is not None and row.wanted:
                before = spec_of(row)
                row.wanted = False
                row.generation += 1
                add_release(session, name, row.model, 0, row.version, "remove", "")
                record_change(session, "endpoint.remove", row, before)
        self._hub.publish("endpoints", name)

    def follow(self) -> None:
        """Switch endpoints to what is registered, see :meth:`AliasFollower.follow_all`."""
        self._follower.follow_all()

    def step(self) -> None:
        """Follow aliases, apply the desired states and publish changes."""
        if self._stopped:
            return
        problem: WorkbenchError | None = None
        try:
            self.follow()
        except WorkbenchError as error:
            # Without the registry, endpoints keep their current version.
            problem = error
        specs = self.specs()
        with self._starting:
            # Checked again under the lock: following may have been slow, and stopped endpoints must not start again.
            if self._stopped:
                return
            self._supervisor.reconcile(specs, self._folder)
        for spec in specs:
            endpoint = self._supervisor.observe(spec)
            self.history.note(endpoint)
            state = (endpoint.state, endpoint.version, endpoint.pid, endpoint.message, endpoint.requests)
            if self._published.get(spec.name) != state:
                self._published[spec.name] = state
                self._hub.publish("endpoints", spec.name)
            if not spec.wanted and endpoint.state == "stopped":
                self._delete(spec.name)
        if problem is not None:
            raise problem

    def lend_process(self, request: LendRequest) -> LentProcess:
        """Let the process that waits for the next deployment score files, if it can do that for who asks."""
        with suppress(OSError, ValueError):
            # A socket of another user or machine cannot be reached, and what is no socket would cost the process.
            found = Path(request.socket).lstat()
            is_own = found.st_uid == os.getuid() and stat.S_ISSOCK(found.st_mode)
            if is_own and request.surroundings == fingerprint():
                return LentProcess(self._supervisor.spare.lend(request.socket))
        return LentProcess(0)

    def wait_for_end(self, timeout: float) -> bool:
        """Wait until the process of an endpoint ends; False after `timeout` seconds without."""
        return self._supervisor.wait_for_end(timeout)

    def stop_all(self) -> None:
        """Stop the processes; the next control plane starts them again from the desired states."""
        with self._starting:
            self._stopped = True
        self._supervisor.stop_all()

    def _folder(self, name: str, version: int) -> Path:
        return self._models.export(name, version)

    def _delete(self, name: str) -> None:
        self._supervisor.forget(name)
        with self._database.change() as session:
            row = session.get(EndpointRow, name)
            if row is not None and not row.wanted:
                session.delete(row)
        self._published.pop(name, None)
        self.history.note_end(name)
        self._hub.publish("endpoints", name)

    def _spec(self, name: str) -> EndpointSpec:
        specs = {spec.name: spec for spec in self.specs() if spec.wanted}
        if name not in specs:
            raise NotFound(f"no endpoint '{name}'", hint=did_you_mean(name, specs))
        return specs[name]
