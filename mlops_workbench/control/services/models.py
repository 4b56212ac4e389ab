"""Registered models: registration, gates and aliases, each followed by an event."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from mlops_workbench.client.bodies import LocalModel, PromoteRequest, RegisterRequest
from mlops_workbench.control.events import EventHub
from mlops_workbench.core.errors import GateFailed
from mlops_workbench.core.models import GateResult, ModelVersion, RegisteredModel
from mlops_workbench.core.runs import Run
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry import Registry, check_alias, check_conditions
from mlops_workbench.tracking import Ingest, ReadIndex, TrackingStore

_DELIVERY_SECONDS = 120.0
_PATIENCE_SECONDS = 10.0


class ModelService:
    """The registry behind REST.

    Parameters
    ----------
    workspace, store, index, ingest
        Of the control plane.
    hub : EventHub
        Told of every change.
    """

    def __init__(
        self, workspace: Workspace, store: TrackingStore, index: ReadIndex, ingest: Ingest, hub: EventHub
    ) -> None:
        self.index = index
        self._ingest = ingest
        self._hub = hub
        self._registry = Registry(store, index, workspace)
        # Promotion reads an alias and then writes two: one at a time.
        self._lock = threading.Lock()
        self._known: list[RegisteredModel] = []
        self._on_alias: list[Callable[[], None]] = []

    def on_alias(self, call: Callable[[], None]) -> None:
        """Call this after every change of an alias."""
        self._on_alias.append(call)

    def models(self) -> list[RegisteredModel]:
        """All registered models."""
        return self._registry.models()

    def known(self) -> list[RegisteredModel]:
        """All registered models as of the last look: a status must not wait for MLflow."""
        return self._known

    def step(self) -> None:
        """Look at the registry, and tell what others changed in it."""
        found = self._registry.models()
        for model in found:
            if model not in self._known:
                self._hub.publish("models", model.name)
        self._known = found

    def versions(self, name: str) -> list[ModelVersion]:
        """Versions of a model, newest first."""
        return self._registry.versions(name)

    def version(self, name: str, version: int) -> ModelVersion:
        """One version."""
        return self._registry.version(name, version)

    def resolve(self, reference: str) -> tuple[str, int]:
        """Name and version number that ``name@alias``, ``name/3`` or ``name`` stands for."""
        return self._registry.resolve(reference)

    def export(self, name: str, version: int) -> Path:
        """Folder with the version's files on this machine."""
        return self._registry.export(name, version)

    def local(self, reference: str) -> LocalModel:
        """A version's files on this machine, with what is needed to load them."""
        name, number = self.resolve(reference)
        version = self.version(name, number)
        return LocalModel(name, number, str(self.export(name, number)), version.format, version.inputs)

    def register(self, name: str, request: RegisterRequest) -> ModelVersion:
        """Register a run's model, evaluate the gate and set the alias.

        Raises
        ------
        GateFailed
            The gate said no; the version is registered all the same.
        """
        # A version is for good: what is asked of it is looked at before it is made.
        check_conditions(request.gate)
        if request.alias:
            check_alias(request.alias)
        self._ingest.catch_up()
        self._baseline(request.baseline)
        run = self.index.find(request.run, request.experiment or None)
        self._ingest.drain(run.uid, _DELIVERY_SECONDS, _PATIENCE_SECONDS)
        run = self.index.find(run.uid)
        version = self._registry.register(run, name, request.model or None)
        self._hub.publish("models", name)
        if request.gate or request.alias:
            wanted = PromoteRequest(request.alias, request.gate, request.baseline)
            return self.promote(name, version.version, wanted)
        return version

    def promote(self, name: str, version: int, request: PromoteRequest) -> ModelVersion:
        """Evaluate the gate and, when it passes, set the alias.

        Raises
        ------
        GateFailed
            The gate said no; the alias stays where it was.
        """
        if request.gate:
            self.check_gate(name, version, request.gate, self._baseline(request.baseline))
        if request.alias:
            self.give_alias(name, version, request.alias)
        return self._registry.version(name, version)

    def give_alias(self, name: str, version: int, alias: str) -> None:
        """Set an alias; endpoints that follow it are told."""
        with self._lock:
            self._registry.promote(name, version, alias)
        self._alias_changed(name)

    def check_gate(
        self, name: str, version: int, conditions: list[str], baseline: Run | None, metrics: Run | None = None
    ) -> GateResult:
        """Evaluate a gate and keep its result with the version.

        Parameters
        ----------
        metrics : Run, optional
            Run whose metrics count, by default the run that made the version.

        Raises
        ------
        GateFailed
            A condition does not hold.
        """
        result = self._registry.evaluate_gate(
            name,
            version,
            conditions,
            baseline=baseline.metrics if baseline else None,
            metrics=metrics.metrics if metrics else None,
        )
        self._hub.publish("models", name)
        if not result.passed:
            failed = "; ".join(f"{check.condition} ({check.detail})" for check in result.checks if not check.passed)
            raise GateFailed(
                f"{name}/{version} did not pass its gate: {failed}",
                hint="the version stays registered; no alias was moved",
            )
        return result

    def rollback(self, name: str) -> ModelVersion:
        """Make the previous champion champion again."""
        with self._lock:
            version = self._registry.rollback(name)
        self._alias_changed(name)
        return version

    def _baseline(self, reference: str) -> Run | None:
        return self.index.find(reference) if reference else None

    def _alias_changed(self, name: str) -> None:
        self._hub.publish("models", name)
        for call in self._on_alias:
            call()
