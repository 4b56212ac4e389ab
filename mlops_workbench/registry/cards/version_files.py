"""What the files of a model version say about it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mlops_workbench.core.model_card import IMPORTANCE_FILE, ModelImportance
from mlops_workbench.core.model_schema import GOLDEN_FILE, SCHEMA_FILE, ModelSchema, decode_schema

REFERENCE_FILE, REQUIREMENTS_FILE = "mlops/reference.parquet", "requirements.txt"
#: Columns of the reference that are no inputs.
TARGET, PREDICTION = "__target__", "__prediction__"
_ROW_KIND = "row kind"


@dataclass(frozen=True)
class VersionFiles:
    """What the files of a version say.

    Attributes
    ----------
    schema : ModelSchema or None
        None for a model that MLflow code logged.
    golden : dict
        Number of rows of the golden set by kind.
    importance : ModelImportance or None
        Permutation importance.
    sample : dict or None
        Columns of the sample of the training data, as Python's values; None without one.
    requirements : list of str
        Software with versions.
    notes : list of str
        Files that could not be read, and why.
    """

    schema: ModelSchema | None = None
    golden: dict[str, int] = field(default_factory=dict)
    importance: ModelImportance | None = None
    sample: dict[str, list[Any]] | None = field(default=None, repr=False)
    requirements: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_version_files(folder: Path) -> VersionFiles:
    """Read what the files of an exported version say; a damaged file becomes a note."""
    notes: list[str] = []
    return VersionFiles(
        schema=_read(folder / SCHEMA_FILE, _schema, notes),
        golden=_read(folder / GOLDEN_FILE, _golden, notes) or {},
        importance=_read(folder / IMPORTANCE_FILE, _importance, notes),
        sample=_read(folder / REFERENCE_FILE, _sample, notes),
        requirements=_read(folder / REQUIREMENTS_FILE, _requirements, notes) or [],
        notes=notes,
    )


def _read(file: Path, parse: Any, notes: list[str]) -> Any:
    if not file.is_file():
        return None
    try:
        return parse(file)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        # Errors of Arrow and msgspec are among them.
        notes.append(f"{file.name} cannot be read: {error}")
        return None


def _schema(file: Path) -> ModelSchema:
    return decode_schema(file.read_bytes())


def _importance(file: Path) -> ModelImportance:
    found = msgspec.json.decode(file.read_bytes(), type=ModelImportance)
    if not all(math.isfinite(value) for column in found.columns for value in (column.mean, column.std)):
        raise ValueError("a value is not finite")
    return found


def _golden(file: Path) -> dict[str, int]:
    from pyarrow import parquet

    return dict(Counter(parquet.read_table(file, columns=[_ROW_KIND])[_ROW_KIND].to_pylist()))


def _sample(file: Path) -> dict[str, list[Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(file)
    found: dict[str, list[Any]] = {}
    for position, name in enumerate(table.column_names):
        kind = table.schema.field(position).type
        text = kind.value_type if pa.types.is_dictionary(kind) else kind
        shown = pa.types.is_boolean(text) or pa.types.is_string(text) or pa.types.is_large_string(text)
        # Only texts and booleans are sliced; of other columns it is enough to know that they are there.
        found[name] = table.column(position).to_pylist() if shown or name in (TARGET, PREDICTION) else []
    return found


def _requirements(file: Path) -> list[str]:
    lines = (line.strip() for line in file.read_text("utf-8", "backslashreplace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
