"""Parameters, inputs and outputs of a stage, in the file that ``MLOPS_STAGE`` names to its kernel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from mlops_workbench.core.errors import StorageError
from mlops_workbench.core.files import write_atomic

#: Variable of the environment with the path of the file.
STAGE_VARIABLE = "MLOPS_STAGE"

#: What `save` writes; empty: what the value and the ending of the path say.
ValueType = Literal["table", "array", "model", "json", "figure", "file", ""]


class StageInput(msgspec.Struct, frozen=True):
    """An input of a stage: its absolute paths or URLs, and its type if that is known."""

    paths: list[str]
    type: ValueType = ""


class StageOutput(msgspec.Struct, frozen=True):
    """An output of a stage: its absolute path, and its type."""

    path: str
    type: ValueType = ""


class StageIO(msgspec.Struct, frozen=True):
    """Parameters, inputs and outputs of a stage by name.

    Attributes
    ----------
    params : dict
        The injected parameters as they were recorded for the run of the stage, without secrets.
    notebook : str
        Path of the notebook.
    """

    inputs: dict[str, StageInput] = {}
    outputs: dict[str, StageOutput] = {}
    params: dict[str, Any] = {}
    notebook: str = ""


def write_stage_io(
    path: Path,
    inputs: Mapping[str, StageInput] | None = None,
    outputs: Mapping[str, StageOutput] | None = None,
    params: Mapping[str, Any] | None = None,
    notebook: str = "",
) -> None:
    """Write the file for the kernel of a stage.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    found = StageIO(dict(inputs or {}), dict(outputs or {}), dict(params or {}), notebook)
    write_atomic(path, msgspec.json.encode(found), mode=0o600)


def read_stage_io(path: Path) -> StageIO:
    """Read the file of a stage.

    Raises
    ------
    StorageError
        The file is missing or damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=StageIO)
    except (OSError, msgspec.DecodeError) as error:
        raise StorageError(
            f"the inputs and outputs of the stage cannot be read: {error}",
            where=str(path),
            hint=f"the process of the stage writes this file; outside of a pipeline, unset {STAGE_VARIABLE}",
        ) from error
