"""Registered models: registration, gates and aliases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from mlops_workbench.client.bodies import LocalModel, PromoteRequest, RegisterRequest
from mlops_workbench.control.audit.registrations import record_registration
from mlops_workbench.control.database import Database
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.releases import quarantine
from mlops_workbench.control.services.aliases import AliasService
from mlops_workbench.control.services.gate_checks import GateChecks
from mlops_workbench.control.services.promotions import Promotions, baseline_of, check_reasons
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.control.services.version_copies import VersionCopies
from mlops_workbench.core.errors import InvalidInput, NotFound, StorageError, Unavailable
from mlops_workbench.core.gates import check_conditions
from mlops_workbench.core.models import AliasChange, ModelVersion, RegisteredModel, model_name
from mlops_workbench.core.releases import RollbackPlan
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.deployments.spare import Spare
from mlops_workbench.registry import CHAMPION, Registry, check_alias
from mlops_workbench.registry.signing import VersionSigner
from mlops_workbench.tracking import ReadIndex, TrackingStore

#: How long a request waits until MLflow has the alias that it moved. It holds before.
_WRITE_SECONDS = 3.0


class ModelService:
    """Changes and reads the registry, and publishes every change as an event."""

    def __init__(
        self,
        workspace: Workspace,
        database: Database,
        store: TrackingStore,
        index: ReadIndex,
        runs: RunService,
        hub: EventHub,
        spare: Spare,
    ) -> None:
        self._workspace = workspace
        self._database = database
        self._runs = runs
        self._hub = hub
        self._copies = VersionCopies(database, store, index, VersionSigner(store.registry, workspace).sign)
        self._aliases = AliasService(database, store.registry, self._copies.lost)
        self._registry = Registry(store, index, workspace, self._aliases.read)
        self._spare = spare
        gates = GateChecks(workspace, self.export, spare.run_dry)
        self.promotions = Promotions(
            database, self._registry, self._aliases, runs, gates, self._noted, self._alias_changed
        )
        self._known: list[RegisteredModel] = []
        self._on_alias: list[Callable[[], None]] = []

    def on_alias(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every change of an alias."""
        self._on_alias.append(callback)

    @property
    def notice(self) -> str:
        """What is missing after MLflow's database was lost; empty for nothing."""
        return self._copies.notice

    def models(self) -> list[RegisteredModel]:
        """All registered models."""
        return self._registry.models()

    def known(self) -> list[RegisteredModel]:
        """All registered models as of the last step: a status must not wait for MLflow."""
        return self._known

    def step(self) -> None:
        """Write moved aliases to MLflow, take over those that others moved there, and publish what changed."""
        aliases = {model.name: model.aliases for model in self._known}
        stored = self._aliases.step()
        if self._database.leads():
            self._copies.step(stored)
        found = [RegisteredModel(model.name, model.latest, model.aliases, model.updated_ms) for model in stored]
        for model in found:
            if model not in self._known:
                self._hub.publish("models", model.name)
        self._known = found
        if any(model.aliases != aliases.get(model.name) for model in found):
            self._call_on_alias()

    def versions(self, name: str) -> list[ModelVersion]:
        """Versions of a model, newest first."""
        with self._or_lost(name):
            return quarantine.shown(self._database, self._registry.versions(name))

    def version(self, name: str, version: int) -> ModelVersion:
        """A version of a model."""
        with self._or_lost(name):
            return quarantine.shown(self._database, [self._registry.version(name, version)])[0]

    @property
    def serves_any_flavor(self) -> bool:
        """Whether endpoints serve models that only MLflow can load."""
        return self._workspace.latest().serving.allow_pyfunc

    def digest(self, name: str, version: int) -> str:
        """Identity of the model of a version, see :meth:`Registry.digest`."""
        with self._or_lost(name):
            return self._registry.digest(name, version)

    def resolve(self, reference: str) -> tuple[str, int]:
        """Name and version number of ``name@alias``, ``name/3`` or ``name``; an alias is known without MLflow."""
        name, _, alias = reference.removeprefix("models:/").partition("@")
        try:
            with self._or_lost(model_name(reference)):
                return self._registry.resolve(reference)
        except (Unavailable, StorageError):
            version = self._aliases.of(name).get(alias)
            if version is None:
                raise
            return name, version

    def follow(self, reference: str) -> tuple[str, int]:
        """Name and version number of ``name@alias`` as of the last step, which asks nobody if the alias is known."""
        name, _, alias = reference.partition("@")
        version = self._aliases.of(name).get(alias)
        return self.resolve(reference) if version is None else (name, version)

    def changes(self, name: str) -> list[AliasChange]:
        """Changes of the aliases of a model, newest first."""
        found = self._aliases.changes(name)
        if not found:
            self._registry.model(name)
        return found

    def export(self, name: str, version: int) -> Path:
        """Folder with the version's files on this machine."""
        return self._registry.export(name, version)

    def export_target(self, name: str, version: int) -> Path:
        """Folder to which a version is exported; another one for a version of the same number made later."""
        return self._registry.export_target(name, version)

    def local(self, reference: str) -> LocalModel:
        """Folder with a version's files on this machine, and the information needed to load them."""
        name, number = self.resolve(reference)
        version = self.version(name, number)
        return LocalModel(name, number, str(self.export(name, number)), version.format, version.inputs)

    def register(self, name: str, request: RegisterRequest, *, is_promoted: bool = False) -> ModelVersion:
        """Register a run's model, prove what answers for it, evaluate the gate and set the alias.

        Parameters
        ----------
        name : str
            Registered model.
        request : RegisterRequest
            What is registered.
        is_promoted : bool
            Whether a promotion follows, which proves it.

        Raises
        ------
        GateFailed
            The gate failed; the version stays registered.
        """
        # A version is permanent, so the request is validated before it is created.
        check_conditions(request.gate)
        if request.alias:
            check_alias(request.alias)
        check_reasons(request)
        baseline_of(self._runs, request.baseline)
        run = self._runs.find(request.run, request.experiment or None)
        # It imports its libraries meanwhile.
        self._spare.prepare()
        self._runs.deliver(run.uid)
        run = self._runs.find(run.uid)
        if name in self._copies.lost():
            self._copies.step(self._registry.store.models())
            if name in self._copies.lost() and self._runs.has_backlog():
                raise _lost(name)
        version = self._registry.register(run, name, request.model or None)
        self._copies.copy(name)
        record_registration(self._database, version, run)
        self._hub.publish("models", name)
        if is_promoted:
            return version
        if not (request.gate or request.alias):
            return _noticed(self.promotions.prove(version), version.notice)
        promotion = PromoteRequest(
            request.alias, request.gate, request.baseline, request.override, request.release_quarantine
        )
        return _noticed(self.promotions.promote(name, version.version, promotion, is_new=True), version.notice)

    def champion(self, name: str) -> ModelVersion | None:
        """The version of a model that is its champion; None without one, or without the model."""
        try:
            return self.version(*self.resolve(f"{name}@{CHAMPION}"))
        except NotFound:
            return None

    def gone(self, name: str) -> set[int]:
        """Numbers that no version of a model has any more; empty while MLflow does not answer."""
        try:
            there = {stored.version for stored in self._registry.store.versions(name)}
        except (Unavailable, StorageError, NotFound, InvalidInput):
            return set()
        return set(range(1, max(there, default=0))) - there if name not in self._copies.lost() else set()

    def plan(self, name: str, alias: str = CHAMPION) -> RollbackPlan:
        """What a rollback of an alias would do.

        Raises
        ------
        Conflict
            There is no version to go back to.
        """
        try:
            return self._aliases.plan(name, alias, self.gone(name))
        except NotFound:
            self._registry.model(name)
            raise

    def rollback(self, name: str, alias: str, reason: str, *, why: str = "", leaves: int = 0) -> ModelVersion:
        """Set an alias to the version that had it before, also while MLflow does not answer.

        The version that it leaves is put in quarantine.

        Parameters
        ----------
        name, alias : str
            Model and alias.
        reason : str
            Why, in words.
        why : str
            What it is part of.
        leaves : int
            The version that must have the alias now; 0 for any.
        """
        quarantine.check_reason(reason, "reason", "say why, for example: the answers for new customers are 0")
        gone = self.gone(name)
        holder = self._aliases.of(name).get(alias, 0)
        digest = ""
        with suppress(Unavailable, StorageError, NotFound):
            digest = self._registry.digest(name, holder) if holder else ""
        leaves = leaves or holder
        try:
            version = self._aliases.rollback(name, alias, reason, why=why, leaves=leaves, gone=gone, digest=digest)
        except NotFound:
            # MLflow may have it since the last step, or no such model.
            self._registry.model(name)
            version = self._aliases.rollback(name, alias, reason, why=why, leaves=leaves, gone=gone)
        self._alias_changed(name)
        try:
            return self.version(name, version)
        except (Unavailable, StorageError):
            aliases = sorted(key for key, number in self._aliases.of(name).items() if number == version)
            return ModelVersion(name, version, run_uid="", run_id="", aliases=aliases, created_ms=0)

    @contextmanager
    def _or_lost(self, name: str) -> Iterator[None]:
        """Raise `Unavailable` for what is not found because it is being registered again."""
        try:
            yield
        except NotFound as error:
            if name in self._copies.lost():
                raise _lost(name) from error
            raise

    def _noted(self, name: str) -> None:
        self._copies.copy(name)
        self._hub.publish("models", name)

    def _alias_changed(self, name: str) -> None:
        self._hub.publish("models", name)
        self._call_on_alias()
        self._aliases.wait_until_written(name, _WRITE_SECONDS)

    def _call_on_alias(self) -> None:
        for callback in self._on_alias:
            callback()


def _noticed(version: ModelVersion, notice: str) -> ModelVersion:
    """The version, with a notice before its own."""
    return replace(version, notice="; ".join(filter(None, (notice, version.notice))))


def _lost(name: str) -> Unavailable:
    return Unavailable(
        f"the versions of model '{name}' are being registered again, after MLflow's database was lost",
        hint="try again when 'mlops status' shows no backlog; it names the versions whose run is missing",
    )
