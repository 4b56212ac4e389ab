"""Endpoints follow the aliases of models, and models that were deleted and registered again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from mlops_workbench.control.audit.actors import acting_as, process
from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.releases import quarantine
from mlops_workbench.control.releases.history import add_release
from mlops_workbench.control.releases.replays import last_replay
from mlops_workbench.control.releases.way_back import next_way_back
from mlops_workbench.control.services.alias_rows import ROLLED_BACK
from mlops_workbench.control.services.endpoint_rows import record_change, spec_of
from mlops_workbench.control.services.models import ModelService
from mlops_workbench.control.tables import AliasRow, EndpointRow
from mlops_workbench.core.endpoints import EndpointSpec
from mlops_workbench.core.errors import Unavailable, WorkbenchError
from mlops_workbench.core.models import model_name
from mlops_workbench.core.releases import ReleaseKind
from mlops_workbench.deployments import Supervisor

log = logging.getLogger("mlops_workbench.control")

#: Seconds between two comparisons of what an endpoint serves with the registry, which take a call each.
_COMPARE_SECONDS = 5.0


class AliasFollower:
    """Changes the desired states of endpoints.

    Parameters
    ----------
    database : Database
        Has the desired states.
    models : ModelService
        The registry.
    supervisor : Supervisor
        Knows what is deployed.
    hub : EventHub
        Gets the changes.
    specs : callable
        Returns the desired states.
    note : callable
        Notes what an endpoint serves before it switches.
    """

    def __init__(
        self,
        database: Database,
        models: ModelService,
        supervisor: Supervisor,
        hub: EventHub,
        specs: Callable[[], Sequence[EndpointSpec]],
        note: Callable[[str], None],
    ) -> None:
        self._database = database
        self._models = models
        self._supervisor = supervisor
        self._hub = hub
        self._specs = specs
        self._note = note
        #: Versions in quarantine to which endpoints did not switch, and which the log has named.
        self._held_back: set[tuple[str, int]] = set()
        #: When the identity of each endpoint's version is compared next.
        self._compared: dict[str, float] = {}

    def follow_all(self) -> None:
        """Switch endpoints whose alias was moved to another version.

        Raises WorkbenchError if a model or alias no longer exists, after the other endpoints were switched.
        """
        problem: WorkbenchError | None = None
        # The first needs no answer of the registry, so it is done for all endpoints before the second.
        for action in (self.follow, self._compare):
            for spec in self._specs():
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

    def follow(self, spec: EndpointSpec) -> None:
        """Switch an endpoint if its alias was moved to another version."""
        name, version = self._models.follow(spec.model)
        if version == spec.version:
            return
        self._note(spec.name)
        change = next((change for change in self._models.changes(name) if change.version == version), None)
        kind: ReleaseKind = "alias"
        by, words, decided_by = "", "", ""
        if change is not None:
            by, words, decided_by = f", {change.reason}", change.why, change.by
            kind = "rollback" if change.reason == ROLLED_BACK else "alias"
        # Whoever moved the alias is in the entry about the model; that the endpoint follows is nobody's decision.
        with acting_as(process(f"endpoint {spec.name}")), self._database.change() as session:
            row = session.get(EndpointRow, spec.name)
            alias = session.get(AliasRow, (name, spec.model.partition("@")[2]))
            if row is None or row.model != spec.model or row.version == version:
                return
            if alias is not None and alias.version != version:
                # It was moved again; the next look follows it.
                return
            if (found := quarantine.find(session, name, version)) is not None:
                if (spec.name, version) not in self._held_back:
                    self._held_back.add((spec.name, version))
                    error = quarantine.refusal(found, name, version)
                    log.warning("endpoint '%s' stays at version %d: %s", spec.name, spec.version, error.message)
                return
            before = spec_of(row)
            reason = f"{spec.model} is now version {version}{by}"
            add_release(
                session, spec.name, spec.model, version, row.version, kind, words or reason, by=decided_by,
                replay=last_replay(session, spec.name, name, version) if kind == "alias" else 0,
            )  # fmt: skip
            left = next_way_back(session, spec.model, version) if kind == "rollback" else row.version
            row.previous, row.version = left, version
            row.generation += 1
            record_change(session, "endpoint.follow", row, before, reason)
        self._hub.publish("endpoints", spec.name)

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
                reason, before = f"{spec.model} was registered again", spec_of(row)
                add_release(
                    session, spec.name, spec.model, version, version, "again", reason, by=process("control").name
                )
                row.generation += 1
                with acting_as(process(f"endpoint {spec.name}")):
                    record_change(session, "endpoint.follow", row, before, reason)
        self._hub.publish("endpoints", spec.name)
