"""Checks of a version that the settings ask for: size, answers, latency, comparison with the champion."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from mlops_workbench.core.errors import InvalidInput, StorageError
from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.model_gates import ChampionGate, ModelGate
from mlops_workbench.core.model_schema import QUALITY_FILE, SCHEMA_FILE, ModelSchema, decode_schema
from mlops_workbench.core.models import GateCheck
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.registry.champion import compare
from mlops_workbench.serving.dry_run import tested_rows
from mlops_workbench.serving.runtimes.trial import DryRunRequest, run_dry

if TYPE_CHECKING:
    from mlops_workbench.data.compare.check import Failure

#: Longest time of a dry run in seconds, in which the libraries are imported. A request that waits for a gate of three
#: ends after two minutes.
_TIMEOUT = 38.0
_REFERENCE = "mlops/reference.parquet"
_SHOWN_FAILURES = 3


@dataclass(frozen=True)
class ExportedVersion:
    """A version and the folder with its files."""

    version: int
    folder: Path


def check_version(
    gate: ModelGate, candidate: ExportedVersion, settings: ServingSettings, root: Path
) -> list[GateCheck]:
    """Return the checks of a version by itself.

    Parameters
    ----------
    gate : ModelGate
        What is asked for.
    candidate : ExportedVersion
        The version.
    settings : ServingSettings
        What endpoints may load.
    root : Path
        The workspace, in which endpoints run.
    """
    checks = []
    if gate.size_mb:
        size = sum(entry.size for entry in read_manifest(candidate.folder).files.values()) / 1e6
        checks.append(GateCheck(f"size <= {gate.size_mb:g} MB", size <= gate.size_mb, f"{size:.3g} MB", "size"))
    if not gate.needs_process:
        return checks
    request = DryRunRequest(str(candidate.folder), settings, is_timed=gate.latency_ms > 0, has_tests=gate.tests)
    found = run_dry(request, cwd=root, seconds=_TIMEOUT)
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


def check_champion(
    gate: ChampionGate,
    candidate: ExportedVersion,
    champion: ExportedVersion | None,
    settings: ServingSettings,
    root: Path,
) -> list[GateCheck]:
    """Return the comparison of a version with the champion, None for no champion, on the rows it was tested on."""
    condition = f"{gate.metric} not worse than the champion's by more than {gate.margin:g}"
    if champion is None:
        return [GateCheck(condition, True, "there is no other champion to compare with", "champion")]
    problem = ""
    with tempfile.TemporaryDirectory(prefix="mlops-compare-") as name:
        file = Path(name) / "answers.parquet"
        try:
            rows, schema = tested_rows(candidate.folder), _schema(candidate.folder)
            answers = []
            # What was recorded with the candidate is not taken on trust: both are asked.
            for one in (candidate, champion):
                request = DryRunRequest(str(one.folder), settings, tested=str(candidate.folder), answers=str(file))
                found = run_dry(request, cwd=root, seconds=_TIMEOUT)
                problem = found.problem or found.unanswered
                if problem:
                    break
                answers.append(parquet.read_table(file))
            if not problem:
                mine = {name: answers[0][name] for name in answers[0].column_names}
                rows, classes = replace(rows, answers=mine), _schema(champion.folder).classes
                return compare(gate, condition, schema, rows, answers[1], classes, champion.version)
        except (ValueError, StorageError) as error:
            problem = _why(candidate.folder) or (error.message if isinstance(error, StorageError) else str(error))
    return [GateCheck(condition, False, f"they cannot be compared: {problem}", "champion")]


def check_data(candidate: ExportedVersion, champion: ExportedVersion | None) -> GateCheck:
    """Return the check of a version's training data by what the champion's gave, None for no champion."""
    from mlops_workbench.data.compare.check import check_frame

    condition = "training data as the champion's"
    if champion is None:
        return GateCheck(condition, True, "there is no other champion to compare with", "data")
    try:
        quality = read_manifest(champion.folder).read(champion.folder, QUALITY_FILE)
        content = read_manifest(candidate.folder).read(candidate.folder, _REFERENCE)
        frame = parquet.read_table(pa.BufferReader(content)).to_pandas()
        found, _ = check_frame(frame, quality)
    except (StorageError, InvalidInput, pa.ArrowException, OSError) as error:
        problem = error.message if isinstance(error, StorageError | InvalidInput) else str(error)
        return GateCheck(condition, False, f"they cannot be compared: {problem}", "data")
    if found.passed:
        detail = f"{found.columns} columns in {found.rows:,} rows, as in version {champion.version}"
        return GateCheck(condition, True, detail, "data")
    shown = [_failure(failure) for failure in found.failures[:_SHOWN_FAILURES]]
    more = f" and {len(found.failures) - len(shown)} more" if len(found.failures) > len(shown) else ""
    return GateCheck(condition, False, "; ".join(shown) + more, "data")


def _failure(failure: Failure) -> str:
    rows = f", not so in {failure.rows:,} rows" if failure.rows is not None else ""
    examples = f", such as {', '.join(failure.examples)}" if failure.examples else ""
    return f"'{failure.column}': {failure.check}{rows}{examples}"


def _schema(folder: Path) -> ModelSchema:
    return decode_schema(read_manifest(folder).read(folder, SCHEMA_FILE))


def _why(folder: Path) -> str:
    """Why a version has no rows that it was tested on."""
    try:
        untested = _schema(folder).untested
    except (ValueError, StorageError):
        return ""
    if not untested:
        return ""
    return f"the rows that it was tested on are not kept, since {untested}; log_model(model, X_test=..., y_test=...)"
