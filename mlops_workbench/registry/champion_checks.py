"""Comparisons of a version with the champion: answers to the same rows, and training data."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from mlops_workbench.core.errors import InvalidInput, StorageError
from mlops_workbench.core.manifest import read_manifest
from mlops_workbench.core.model_gates import ChampionGate
from mlops_workbench.core.model_schema import QUALITY_FILE, SCHEMA_FILE, ModelSchema, decode_schema
from mlops_workbench.core.models import GateCheck
from mlops_workbench.core.settings import ServingSettings
from mlops_workbench.registry.champion import compare
from mlops_workbench.registry.dry_run_checks import DRY_RUN_SECONDS
from mlops_workbench.serving.dry_run import tested_rows
from mlops_workbench.serving.runtimes.trial import DryRunRequest, RunDry

if TYPE_CHECKING:
    from mlops_workbench.data.compare.check import Failure

_REFERENCE = "mlops/reference.parquet"
_SHOWN_FAILURES = 3


@dataclass(frozen=True)
class ExportedVersion:
    """A version and the folder with its files."""

    version: int
    folder: Path


def check_champion(
    gate: ChampionGate,
    candidate: ExportedVersion,
    champion: ExportedVersion | None,
    settings: ServingSettings,
    run_dry: RunDry,
) -> list[GateCheck]:
    """Return the comparison of a version with the champion, None for no champion, on the rows it was tested on.

    Parameters
    ----------
    gate : ChampionGate
        How they are compared.
    candidate, champion : ExportedVersion
        The versions.
    settings : ServingSettings
        What endpoints may load.
    run_dry : callable
        Lets one of them answer.
    """
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
                found = run_dry(request, seconds=DRY_RUN_SECONDS)
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
