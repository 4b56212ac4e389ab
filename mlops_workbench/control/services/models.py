"""Registered models: registration, gates and aliases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from mlops_workbench.client.bodies import LocalModel, PromoteRequest, RegisterRequest
from mlops_workbench.control.events import EventHub
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.core.errors import GateFailed
from mlops_workbench.core.models import GateResult, ModelVersion, RegisteredModel
from mlops_workbench.core.runs import Run
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry import Registry, check_alias, check_conditions
from mlops_workbench.registry.registry import CHAMPION
from mlops_workbench.tracking import ReadIndex, TrackingStore


class ModelService:
    """Changes and reads the registry, and publishes every change as an event."""

    def __init__(
        self, workspace: Workspace, store: TrackingStore, index: ReadIndex, runs: RunService, hub: EventHub
    ) -> None:
        self._runs = runs
        self._hub = hub
        self._registry = Registry(store, index, workspace)
        # Promotion reads an alias and then writes two, so only one may run at a time.
        self._lock = threading.Lock()
        self._known: list[RegisteredModel] = []
        self._on_alias: list[Callable[[], None]] = []

    def on_alias(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every change of an alias."""
        self._on_alias.append(callback)

    def models(self) -> list[RegisteredModel]:
        """All registered models."""
        return self._registry.models()

    def known(self) -> list[RegisteredModel]:
        """All registered models as of the last step: a status must not wait for MLflow."""
        return self._known

    def step(self) -> None:
        """Publish changes that others made in the registry."""
        found = self._registry.models()
        for model in found:
            if model not in self._known:
                self._hub.publish("models", model.name)
        self._known = found

    def versions(self, name: str) -> list[ModelVersion]:
        """Versions of a model, newest first."""
        return self._registry.versions(name)

    def version(self, name: str, version: int) -> ModelVersion:
        """A version of a model."""
        return self._registry.version(name, version)

    def resolve(self, reference: str) -> tuple[str, int]:
        """Name and version number of ``name@alias``, ``name/3`` or ``name``."""
        return self._registry.resolve(reference)

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

    def register(self, name: str, request: RegisterRequest) -> ModelVersion:
        """Register a run's model, evaluate the gate and set the alias.

        Raises
        ------
        GateFailed
            The gate failed; the version stays registered.
        """
        # A version is permanent, so the request is validated before it is created.
        check_conditions(request.gate)
        if request.alias:
            check_alias(request.alias)
        self._baseline(request.baseline)
        run = self._runs.find(request.run, request.experiment or None)
        self._runs.deliver(run.uid)
        run = self._runs.find(run.uid)
        version = self._registry.register(run, name, request.model or None)
        self._hub.publish("models", name)
        if request.gate or request.alias:
            promotion = PromoteRequest(request.alias, request.gate, request.baseline)
            return self.promote(name, version.version, promotion)
        return version

    def promote(self, name: str, version: int, request: PromoteRequest) -> ModelVersion:
        """Evaluate the gate and set the alias if it passes; raises GateFailed and keeps the alias otherwise."""
        if request.gate:
            self.check_gate(name, version, request.gate, self._baseline(request.baseline))
        if request.alias:
            self.give_alias(name, version, request.alias)
        return self._registry.version(name, version)

    def give_alias(self, name: str, version: int, alias: str) -> None:
        """Set an alias; endpoints that follow it switch."""
        with self._lock:
            self._registry.promote(name, version, alias)
        self._alias_changed(name)

    def check_gate(
        self, name: str, version: int, conditions: list[str], baseline: Run | None, metrics: Run | None = None
    ) -> GateResult:
        """Evaluate a gate and store its result with the version.

        Parameters
        ----------
        metrics : Run, optional
            Run whose metrics are checked, by default the run that created the version.

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

    def rollback(self, name: str, alias: str = CHAMPION) -> ModelVersion:
        """Set an alias to the version that had it before."""
        with self._lock:
            version = self._registry.rollback(name, alias)
        self._alias_changed(name)
        return version

    def _baseline(self, reference: str) -> Run | None:
        return self._runs.find(reference) if reference else None

    def _alias_changed(self, name: str) -> None:
        self._hub.publish("models", name)
        for callback in self._on_alias:
            callback()
