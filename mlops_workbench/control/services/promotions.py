"""Gates of versions, and the aliases that they get if they pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mlops_workbench.client.bodies import PromoteRequest, RegisterRequest
from mlops_workbench.control.audit.subjects import model_subject
from mlops_workbench.control.audit.trail import append
from mlops_workbench.control.database import Database
from mlops_workbench.control.releases import quarantine
from mlops_workbench.control.services.aliases import AliasService, ChampionChanged
from mlops_workbench.control.services.gate_checks import GateChecks
from mlops_workbench.control.services.runs import RunService
from mlops_workbench.core.errors import GateFailed, Quarantined, StorageError, Unavailable
from mlops_workbench.core.gates import MetricValues
from mlops_workbench.core.model_gates import ModelGate
from mlops_workbench.core.models import GateCheck, GateResult, ModelVersion, ProvenRuntime
from mlops_workbench.core.runs import Run
from mlops_workbench.registry import CHAMPION, Registry, check_alias
from mlops_workbench.serving.runtimes.trial import DryRun


@dataclass(frozen=True)
class _Proof:
    """What a version showed in a process of its own, as far as it was asked; why endpoints would refuse it."""

    found: DryRun | None = None
    runtime: ProvenRuntime | None = None
    notice: str = ""


class Promotions:
    """Evaluates gates and moves aliases.

    Parameters
    ----------
    database, registry, aliases, runs
        Those of the workspace.
    gates : GateChecks
        What the settings ask for.
    on_noted, on_moved : callable
        Called with the name of a model when something was noted with a version, or an alias was moved.
    """

    def __init__(
        self,
        database: Database,
        registry: Registry,
        aliases: AliasService,
        runs: RunService,
        gates: GateChecks,
        on_noted: Callable[[str], None],
        on_moved: Callable[[str], None],
    ) -> None:
        self._database = database
        self._registry = registry
        self._aliases = aliases
        self._runs = runs
        self._gates = gates
        self._on_noted = on_noted
        self._on_moved = on_moved
        #: Replays requests of the endpoints that follow a reference, before its alias is moved.
        self.replayed: Callable[[str, int], list[GateCheck]] = lambda reference, version: []

    def promote(
        self,
        name: str,
        version: int,
        request: PromoteRequest,
        metrics: MetricValues | None = None,
        stages: Sequence[tuple[list[str], MetricValues]] = (),
        is_new: bool = False,
    ) -> ModelVersion:
        """Evaluate the gate and set the alias if it passes; endpoints that follow it switch.

        The gate is evaluated again when another version became the champion meanwhile.

        Parameters
        ----------
        metrics : mapping, optional
            Metrics that are checked and kept with the version, before those of the run that created it.
        stages : sequence of (conditions, metrics)
            Gates of stages, which must pass too.
        is_new : bool
            Whether it was registered just now, and not proven yet.

        Raises
        ------
        GateFailed
            A condition does not hold; the alias was not moved.
        Quarantined
            The version was rolled back before.
        """
        if request.alias:
            check_alias(request.alias)
            self._check_quarantine(name, version, request)
        check_reasons(request)
        baseline = baseline_of(self._runs, request.baseline)
        asked = self._gates.asked(name) if request.alias == CHAMPION else ModelGate()
        proof = self._prove(self._version(name, version), asked, is_new=is_new)
        own = self._gates.checks(name, version, asked, proof.found)
        if request.alias and self._aliases.of(name).get(request.alias) != version:
            own += self.replayed(f"{name}@{request.alias}", version)
        compared: tuple[int, list[GateCheck]] = (-1, [])
        conditions = list(dict.fromkeys([*request.gate, *asked.conditions]))
        while True:
            gate, champion = None, None
            if asked.compares:
                holder = self._registry.model(name).aliases.get(CHAMPION, 0)
                if holder != compared[0]:
                    compared = holder, self._gates.compared(name, version, asked, holder)
            checks = [*own, *compared[1]]
            if conditions or metrics or stages or checks:
                gate, champion = self._check_gate(name, version, request, conditions, baseline, metrics, stages, checks)
                if asked.compares and champion != compared[0]:
                    # It was compared with the champion of before.
                    continue
            if not request.alias:
                return replace(self._version(name, version), notice=proof.notice)
            try:
                model = self._registry.model(name)
                digest = self._registry.digest(name, version)
                self._aliases.move(
                    model, request.alias, version, gate=gate, champion=champion, digest=digest,
                    release=request.release_quarantine,
                )  # fmt: skip
            except ChampionChanged:
                continue
            except Quarantined as error:
                self.refuse(name, error.message, version=version, alias=request.alias)
                raise
            self._on_moved(name)
            return replace(self._version(name, version), notice=proof.notice)

    def prove(self, version: ModelVersion) -> ModelVersion:
        """Find out which runtime answers for a new version, and with what it was proven, unless that is known.

        Returns
        -------
        ModelVersion
            With the runtime, or a notice why there is none.
        """
        proof = self._prove(version, ModelGate(), is_new=True)
        return replace(version, runtime=proof.runtime or version.runtime, notice=proof.notice)

    def _prove(self, version: ModelVersion, gate: ModelGate, *, is_new: bool) -> _Proof:
        is_due = is_new and self._gates.proves and not (version.runtime or version.problem or version.untrusted)
        if not (is_due or gate.needs_process):
            return _Proof()
        try:
            found = self._gates.dry_run(version.name, version.version, gate)
            runtime = None
            if not found.problem:
                runtime = ProvenRuntime(found.runtime, found.uncompiled, sum(found.rows.values()))
            if runtime != version.runtime and not found.crashed:
                self._registry.note_runtime(version.name, version.version, runtime)
                self._on_noted(version.name)
        except (Unavailable, StorageError) as error:
            if gate.needs_process:
                raise
            return _Proof(notice=f"it could not be proven: {error}")
        if not found.problem:
            return _Proof(found, runtime)
        outcome = "it could not be proven" if found.crashed else "endpoints would refuse it"
        return _Proof(found, notice=f"{outcome}: {found.problem}")

    def _version(self, name: str, version: int) -> ModelVersion:
        return quarantine.shown(self._database, [self._registry.version(name, version)])[0]

    def _check_quarantine(self, name: str, version: int, request: PromoteRequest) -> None:
        """Raise `Quarantined` before the checks of a gate, which take seconds; it is asked again with the move."""
        digest = self._registry.digest(name, version)
        with self._database.session() as session:
            found = quarantine.find(session, name, version, digest)
        if found is not None and not request.release_quarantine:
            error = quarantine.refusal(found, name, version)
            self.refuse(name, error.message, version=version, alias=request.alias)
            raise error

    def _check_gate(
        self,
        name: str,
        version: int,
        request: PromoteRequest,
        conditions: list[str],
        baseline: Run | None,
        metrics: MetricValues | None,
        stages: Sequence[tuple[list[str], MetricValues]],
        checks: Sequence[GateCheck],
    ) -> tuple[GateResult | None, int]:
        result, champion = self._registry.evaluate_gate(
            name,
            version,
            conditions,
            baseline=baseline.metrics if baseline else None,
            metrics=metrics,
            stages=stages,
            checks=checks,
            override=request.override if request.alias else "",
        )
        self._on_noted(name)
        if not result.passed and not result.override:
            failed = "; ".join(f"{check.condition} ({check.detail})" for check in result.checks if not check.passed)
            self.refuse(name, failed, version=version, alias=request.alias, gate=result)
            raise GateFailed(
                f"{name}/{version} did not pass its gate: {failed}",
                hint="the version stays registered; no alias was moved. To promote it nevertheless: "
                f"mlops promote {name}/{version} --override REASON",
            )
        return result if result.checks else None, champion

    def refuse(
        self, name: str, reason: str, *, version: int = 0, alias: str = "", gate: GateResult | None = None
    ) -> None:
        """Add to the audit trail that a version, 0 for one that is not registered, did not pass its gate.

        Nothing else is changed, so the entry is in a transaction of its own.
        """
        current = self._aliases.of(name).get(alias, 0)
        with self._database.change() as session:
            append(
                session, "model.refuse", model_subject(session, name, version), outcome="refused", reason=reason,
                before={alias: current} if alias else {}, after={alias: current} if alias else {}, evidence=gate,
            )  # fmt: skip


def baseline_of(runs: RunService, reference: str) -> Run | None:
    """The baseline run of a gate, None for no reference."""
    return runs.find(reference) if reference else None


def check_reasons(request: PromoteRequest | RegisterRequest) -> None:
    """Raise `InvalidInput` for a reason that says nothing."""
    if request.override:
        hint = "say why the version is promoted although its gate failed"
        quarantine.check_reason(request.override, "override", hint)
    if request.release_quarantine:
        quarantine.check_reason(request.release_quarantine, "release_quarantine", "say why the version comes back")
