"""Endpoints: the database has their desired state, the reconciler applies it."""

from __future__ import annotations

import dataclasses
import threading
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from mlops_workbench.client.bodies import DeployRequest
from mlops_workbench.control.audit.actors import acting_as, process
from mlops_workbench.control.audit.subjects import endpoint_subject
from mlops_workbench.control.audit.trail import append
from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.services.models import ModelService
from mlops_workbench.control.tables import EndpointRow, ReleaseRow
from mlops_workbench.core.audit import Action
from mlops_workbench.core.endpoints import Endpoint, EndpointSpec
from mlops_workbench.core.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    StorageError,
    Unavailable,
    WorkbenchError,
    did_you_mean,
)
from mlops_workbench.core.ids import check_name, now_ms
from mlops_workbench.core.models import SERVED_FORMATS, SERVED_LIBRARIES, model_name
from mlops_workbench.deployments import Supervisor

#: Seconds between two comparisons of what an endpoint serves with the registry, which take a call each.
_COMPARE_SECONDS = 5.0


class EndpointService:
    """Deploys, rolls back and reconciles endpoints.

    Each change is first committed as the desired state; after a crash, the next reconciliation applies it.
    """

    def __init__(self, database: Database, models: ModelService, supervisor: Supervisor, hub: EventHub) -> None:
        self._database = database
        self._models = models
        self._supervisor = supervisor
        self._hub = hub
        self._published: dict[str, tuple[object, ...]] = {}
        #: When the identity of each endpoint's version is compared next.
        self._compared: dict[str, float] = {}
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
            return [_spec(row) for row in session.scalars(select(EndpointRow).order_by(EndpointRow.name))]

    def recover(self) -> list[str]:
        """Take over the endpoints that have folders and no row, after the database was lost; gives their names."""
        with self._database.change() as session:
            known = set(session.scalars(select(EndpointRow.name)))
            lost = [spec for spec in self._supervisor.wanted() if spec.name not in known]
            for spec in lost:
                session.add(row := EndpointRow(**dataclasses.asdict(spec)))
                _record(session, "endpoint.restore", row, None, "its folder was there, and the database was lost")
        return [spec.name for spec in lost]

    def deploy(self, name: str, request: DeployRequest) -> Endpoint:
        """Serve a model version as endpoint `name`; an existing endpoint switches to it."""
        check_name("endpoint", name)
        reference = request.model.removeprefix("models:/")
        model, version = self._models.resolve(reference)
        saved = ""
        with suppress(Unavailable, StorageError):
            saved = self._models.version(model, version).format
        if saved and saved not in SERVED_FORMATS:
            raise InvalidInput(
                f"{model}/{version} is a model of '{saved}', and endpoints serve {SERVED_LIBRARIES}",
                hint=f"load it with mlflow.pyfunc.load_model('models:/{model}/{version}')",
            )
        reason = f"deploy {reference}"
        with self._database.change() as session:
            row = session.get(EndpointRow, name)
            before = _spec(row) if row is not None else None
            if row is None:
                row = EndpointRow(
                    name=name, model=reference, version=version, previous=0, port=request.port, wanted=True,
                    generation=1,
                )  # fmt: skip
                session.add(row)
                session.add(_release(name, version, 0, reason))
            else:
                other = model_name(row.model) != model_name(reference)
                if other and row.wanted:
                    raise Conflict(
                        f"endpoint '{name}' serves the model '{model_name(row.model)}'",
                        hint="use another endpoint name, or remove this endpoint first",
                    )
                if other or row.version != version:
                    session.add(_release(name, version, 0 if other else row.version, reason))
                    row.previous = row.version if row.wanted else 0
                    row.version = version
                row.model = reference
                row.port = request.port or row.port
                row.wanted = True
                row.generation += 1
            _record(session, "endpoint.deploy", row, before, reason)
            spec = _spec(row)
        self._hub.publish("endpoints", name)
        return self._supervisor.observe(spec)

    def rollback(self, name: str) -> Endpoint:
        """Serve the previous version again, and move an alias that the endpoint follows back too.

        Raises Conflict if there is no previous version.
        """
        spec = self._spec(name)
        model, _, alias = spec.model.partition("@")
        if alias:
            self._models.rollback(model, alias, f"endpoint '{name}' is rolled back")
            self._follow(spec)
        else:
            if not spec.previous:
                raise Conflict(f"endpoint '{name}' has served no other version", hint="deploy the version you want")
            pinned = f"{model_name(model)}/{spec.previous}"
            self._switch(spec, spec.previous, "endpoint.rollback", "rollback", model=pinned)
        return self.get(name)

    def remove(self, name: str) -> None:
        """Stop an endpoint permanently."""
        self._spec(name)
        with self._database.change() as session:
            row = session.get(EndpointRow, name)
            if row is not None and row.wanted:
                before = _spec(row)
                row.wanted = False
                row.generation += 1
                _record(session, "endpoint.remove", row, before)
        self._hub.publish("endpoints", name)

    def follow(self) -> None:
        """Switch endpoints whose alias was moved to another version.

        Raises WorkbenchError if a model or alias no longer exists, after the other endpoints were switched.
        """
        problem: WorkbenchError | None = None
        # The first needs no answer of the registry, so it is done for all endpoints before the second.
        for action in (self._follow, self._compare):
            for spec in self.specs():
                if "@" not in spec.model or not spec.wanted:
                    continue
                try:
                    action(spec)
                except Unavailable as error:
                    # The other endpoints would run into the same timeout.
                    problem = error
                    break
                except WorkbenchError as error:
                    problem = error
        if problem is not None:
            raise problem

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
            state = (endpoint.state, endpoint.version, endpoint.pid, endpoint.message, endpoint.requests)
            if self._published.get(spec.name) != state:
                self._published[spec.name] = state
                self._hub.publish("endpoints", spec.name)
            if not spec.wanted and endpoint.state == "stopped":
                self._delete(spec.name)
        if problem is not None:
            raise problem

    def prepare(self, model: str) -> None:
        """Prepare for the first deployment of a model; a running endpoint only changes its version."""
        if not any(spec.wanted and model_name(spec.model) == model for spec in self.specs()):
            self._supervisor.prepare()

    def end_spare(self) -> None:
        """End what was prepared for a deployment that did not come."""
        self._supervisor.end_spare()

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

    def _follow(self, spec: EndpointSpec) -> None:
        name, version = self._models.follow(spec.model)
        if version != spec.version:
            change = next((change for change in self._models.changes(name) if change.version == version), None)
            by = f", {change.reason}" if change is not None else ""
            # Whoever moved the alias is in the entry about the model; that the endpoint follows is nobody's decision.
            with acting_as(process(f"endpoint {spec.name}")):
                self._switch(spec, version, "endpoint.follow", f"{spec.model} is now version {version}{by}")

    def _compare(self, spec: EndpointSpec) -> None:
        if time.monotonic() < self._compared.get(spec.name, 0.0):
            return
        self._compared[spec.name] = time.monotonic() + _COMPARE_SECONDS
        name, version = model_name(spec.model), spec.version
        folder = self._supervisor.deployed_folder(spec)
        # Version 0.1 named folders by the number alone.
        if folder is None or folder.name == str(version) or folder == self._models.export_target(name, version):
            return
        # The model was deleted and registered again, and has this number again.
        with self._database.change() as session:
            row = session.get(EndpointRow, spec.name)
            if row is not None and row.generation == spec.generation:
                reason, before = f"{spec.model} was registered again", _spec(row)
                session.add(_release(spec.name, version, version, reason))
                row.generation += 1
                with acting_as(process(f"endpoint {spec.name}")):
                    _record(session, "endpoint.follow", row, before, reason)
        self._hub.publish("endpoints", spec.name)

    def _switch(self, spec: EndpointSpec, version: int, action: Action, reason: str, model: str | None = None) -> None:
        with self._database.change() as session:
            row = session.get(EndpointRow, spec.name)
            if row is None or row.version == version:
                return
            before = _spec(row)
            session.add(_release(spec.name, version, row.version, reason))
            row.previous, row.version = row.version, version
            row.model = model or row.model
            row.generation += 1
            _record(session, action, row, before, reason)
        self._hub.publish("endpoints", spec.name)

    def _delete(self, name: str) -> None:
        self._supervisor.forget(name)
        with self._database.change() as session:
            row = session.get(EndpointRow, name)
            if row is not None and not row.wanted:
                session.delete(row)
        self._published.pop(name, None)
        self._hub.publish("endpoints", name)

    def _spec(self, name: str) -> EndpointSpec:
        specs = {spec.name: spec for spec in self.specs() if spec.wanted}
        if name not in specs:
            raise NotFound(f"no endpoint '{name}'", hint=did_you_mean(name, specs))
        return specs[name]


def _spec(row: EndpointRow) -> EndpointSpec:
    return EndpointSpec(row.name, row.model, row.version, row.previous, row.port, row.wanted, row.generation)


def _release(endpoint: str, version: int, replaced: int, reason: str) -> ReleaseRow:
    return ReleaseRow(endpoint=endpoint, version=version, replaced=replaced, reason=reason, at_ms=now_ms())


def _record(session: Session, action: Action, row: EndpointRow, before: EndpointSpec | None, reason: str = "") -> None:
    """Add a change of an endpoint to the audit trail; `row` is as it shall be, `before` what it was."""
    append(
        session, action, endpoint_subject(session, row.name, row.model, row.version), reason=reason,
        before=_served(before) if before is not None else {}, after=_served(_spec(row)),
    )  # fmt: skip


def _served(spec: EndpointSpec) -> dict[str, int | str]:
    """What an endpoint shall serve; nothing when it is removed."""
    return {"model": spec.model, "version": spec.version, "port": spec.port} if spec.wanted else {}
