"""What the settings ask of a version, and the checks of it that load models in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.gates import check_conditions
from mlops_workbench.core.model_gates import ModelGate, gate_of
from mlops_workbench.core.models import GateCheck
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.registry.dry_run_checks import DRY_RUN_SECONDS, check_dry_run, check_size
from mlops_workbench.serving.runtimes.trial import DryRun, DryRunRequest, RunDry


class GateChecks:
    """Checks versions.

    Parameters
    ----------
    workspace : Workspace
        Has the settings.
    export : callable
        Folder with the files of a version of a model.
    run_dry : callable
        Does a dry run of such a folder.
    """

    def __init__(self, workspace: Workspace, export: Callable[[str, int], Path], run_dry: RunDry) -> None:
        self._workspace = workspace
        self._export = export
        self._run_dry = run_dry

    @property
    def proves(self) -> bool:
        """Whether the settings ask for a dry run of each version that is registered."""
        return self._workspace.latest().gates.prove_on_register

    def asked(self, name: str) -> ModelGate:
        """What the settings ask of a model."""
        gate = gate_of(self._workspace.latest().gates.models, name)
        check_conditions(gate.conditions)
        return gate

    def dry_run(self, name: str, version: int, gate: ModelGate) -> DryRun:
        """Load a version as an endpoint does, in a process of its own, and let it show what a gate asks for."""
        request = DryRunRequest(
            str(self._export(name, version)),
            self._workspace.latest().serving,
            is_timed=gate.latency_ms > 0,
            has_tests=gate.tests,
        )
        return self._run_dry(request, seconds=DRY_RUN_SECONDS)

    def checks(self, name: str, version: int, gate: ModelGate, found: DryRun | None) -> list[GateCheck]:
        """Checks of a version by itself, by what it showed in a dry run."""
        size = [check_size(gate, self._export(name, version))] if gate.size_mb else []
        return size + (check_dry_run(gate, found) if found is not None else [])

    def compared(self, name: str, version: int, gate: ModelGate, holder: int) -> list[GateCheck]:
        """Comparisons of a version with the champion `holder`, 0 for none."""
        # Imported here: with scikit-learn and pandas it takes longer than the control plane's start.
        from mlops_workbench.registry.champion_checks import ExportedVersion, check_champion, check_data

        champion = ExportedVersion(holder, self._export(name, holder)) if holder not in (0, version) else None
        candidate = ExportedVersion(version, self._export(name, version))
        settings = self._workspace.latest().serving
        checks = [check_data(candidate, champion)] if gate.data else []
        if gate.champion is not None:
            checks += check_champion(gate.champion, candidate, champion, settings, self._run_dry)
        return checks
