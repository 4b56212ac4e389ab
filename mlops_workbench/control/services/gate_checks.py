"""What the settings ask of a version, and the checks of it that load models in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlops_workbench.core.gates import check_conditions
from mlops_workbench.core.model_gates import ModelGate, gate_of
from mlops_workbench.core.models import GateCheck
from mlops_workbench.core.workspace import Workspace


class GateChecks:
    """Checks versions; `export` gives the folder with the files of one."""

    def __init__(self, workspace: Workspace, export: Callable[[str, int], Path]) -> None:
        self._workspace = workspace
        self._export = export

    def asked(self, name: str) -> ModelGate:
        """What the settings ask of a model."""
        gate = gate_of(self._workspace.latest().gates.models, name)
        check_conditions(gate.conditions)
        return gate

    def checks(self, name: str, version: int, gate: ModelGate) -> list[GateCheck]:
        """Checks of a version by itself."""
        if not gate.needs_process and not gate.size_mb:
            return []
        # Imported here: with scikit-learn and pandas it takes longer than the control plane's start.
        from mlops_workbench.registry.version_checks import ExportedVersion, check_version

        settings = self._workspace.latest().serving
        candidate = ExportedVersion(version, self._export(name, version))
        return check_version(gate, candidate, settings, self._workspace.root)

    def compared(self, name: str, version: int, gate: ModelGate, holder: int) -> list[GateCheck]:
        """Comparisons of a version with the champion `holder`, 0 for none."""
        from mlops_workbench.registry.version_checks import ExportedVersion, check_champion, check_data

        champion = ExportedVersion(holder, self._export(name, holder)) if holder not in (0, version) else None
        candidate = ExportedVersion(version, self._export(name, version))
        settings = self._workspace.latest().serving
        checks = [check_data(candidate, champion)] if gate.data else []
        if gate.champion is not None:
            checks += check_champion(gate.champion, candidate, champion, settings, self._workspace.root)
        return checks
