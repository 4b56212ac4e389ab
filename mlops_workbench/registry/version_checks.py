"""Checks of a version that the settings ask for: answers, latency, size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.model_gates import ModelGate
from mlops_workbench.core.models import GateCheck
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.serving.dry_run import DryRun

#: Longest time of a dry run in seconds, in which the libraries are imported.
_TIMEOUT = 300.0
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def check_version(gate: ModelGate, folder: Path, settings: ServingSettings, root: Path) -> list[GateCheck]:
    """Return the checks of a version.

    Parameters
    ----------
    gate : ModelGate
        What is asked for.
    folder : Path
        The exported version.
    settings : ServingSettings
        What endpoints may load.
    root : Path
        The workspace, in which endpoints run.
    """
    checks = []
    if gate.size_mb:
        size = sum(entry.size for entry in read_manifest(folder).files.values()) / 1e6
        checks.append(GateCheck(f"size <= {gate.size_mb:g} MB", size <= gate.size_mb, f"{size:.3g} MB", "size"))
    if not gate.needs_process:
        return checks
    found = _dry_run(folder, settings, root)
    if gate.golden:
        rows = ", ".join(f"{count:,} {kind}" for kind, count in found.rows.items())
        detail = found.problem or (f"rows with its own answers: {rows}" if rows else "the version has no golden set")
        checks.append(GateCheck("golden set reproduced", bool(rows) and not found.problem, detail, "golden"))
    if gate.latency_ms:
        passed = bool(found.requests) and found.p95_ms <= gate.latency_ms
        timed = f"p95 {found.p95_ms:.3g} ms, p50 {found.p50_ms:.3g} ms in {found.requests} requests of one row"
        detail = timed if found.requests else found.problem or "there is no row to ask about"
        checks.append(GateCheck(f"latency <= {gate.latency_ms:g} ms", passed, detail, "latency"))
    return checks


def _dry_run(folder: Path, settings: ServingSettings, root: Path) -> DryRun:
    done = None
    environment = {name: value for name, value in os.environ.items() if name != "MLOPS_SIGNING_KEY"}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "mlops_workbench.serving.dry_run", str(folder)],
            input=msgspec.json.encode(settings),
            capture_output=True,
            timeout=_TIMEOUT,
            cwd=root,
            env={**dict.fromkeys(_THREADS, "1"), **environment},
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=DryRun)
    except subprocess.TimeoutExpired:
        return DryRun(problem=f"it was not loaded and asked within {_TIMEOUT:g} seconds")
    except (OSError, msgspec.DecodeError):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] if done is not None else []
        return DryRun(problem=f"the process that loads it ended: {' '.join(last)[:500] or 'no message'}")
