"""Checks of a version by itself: its size, and what it showed in a dry run."""

from __future__ import annotations

from pathlib import Path

from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.model_gates import ModelGate
from mlops_workbench.core.models import GateCheck
from mlops_workbench.serving.runtimes.trial import DryRun

#: Longest time of a dry run in seconds, in which the libraries are imported. A request that waits for a gate of three
#: ends after two minutes.
DRY_RUN_SECONDS = 38.0


def check_size(gate: ModelGate, folder: Path) -> GateCheck:
    """Return the check of the size of a version's files."""
    size = sum(entry.size for entry in read_manifest(folder).files.values()) / 1e6
    return GateCheck(f"size <= {gate.size_mb:g} MB", size <= gate.size_mb, f"{size:.3g} MB", "size")


def check_dry_run(gate: ModelGate, found: DryRun) -> list[GateCheck]:
    """Return the checks of a version that a gate asks for.

    Parameters
    ----------
    gate : ModelGate
        What is asked for.
    found : DryRun
        What the version showed.
    """
    checks = []
    if gate.golden:
        rows = ", ".join(f"{count:,} {kind}" for kind, count in found.rows.items())
        why = f" ({found.uncompiled})" if found.uncompiled else ""
        reproduced = f"rows with its own answers: {rows}; {found.runtime}{why} answers"
        detail = found.problem or (reproduced if rows else "the version has no golden set")
        checks.append(GateCheck("golden set reproduced", bool(rows) and not found.problem, detail, "golden"))
    if gate.tests:
        none = found.problem or "no cell of its notebook was tagged model-test when the model was saved"
        checks += [
            GateCheck(f"model test {test.name}", test.passed, test.detail or "passed", "test") for test in found.tests
        ] or [GateCheck("model tests", False, none, "test")]
    if gate.latency_ms:
        passed = bool(found.requests) and found.p95_ms <= gate.latency_ms
        timed = f"p95 {found.p95_ms:.3g} ms, p50 {found.p50_ms:.3g} ms in {found.requests} requests of one row"
        detail = timed if found.requests else found.problem or found.untimed or "there is no row to ask about"
        checks.append(GateCheck(f"latency <= {gate.latency_ms:g} ms", passed, detail, "latency"))
    return checks
