"""The key of a stage in the cache: everything that its result depends on and that is known before it runs."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mlops_workbench.core.errors import StorageError, WorkbenchError
from mlops_workbench.core.secrets.names import name_strength
from mlops_workbench.core.workspace import Workspace
from mlops_workbench.notebooks.document import PARAMETERS_TAG
from mlops_workbench.pipelines.cache.code import digest_of, environment_names, normal_code
from mlops_workbench.pipelines.cache.entries import StageKey
from mlops_workbench.pipelines.inputs.describe import describe_input
from mlops_workbench.pipelines.plan.files import transform_cell
from mlops_workbench.pipelines.runs.requests import InputRequest, StageRequest

#: Tags that change what is run.
_TAGS = (PARAMETERS_TAG, "raises-exception", "skip-execution")
#: Variables that name a run.
_OF_RUNS = "MLOPS_"

#: The cells of a notebook: mappings as in its JSON.
Cells = Sequence[Mapping[str, Any]]


class NotCached(Exception):
    """A stage has no key, and the reason in words."""


def read_cells(path: Path) -> Cells:
    """Read the cells of a notebook that `write_notebook` wrote.

    Raises
    ------
    StorageError
        It cannot be read.
    """
    # nbformat takes a third of a second to import, and validates what it wrote itself.
    try:
        cells: Cells = msgspec.json.decode(path.read_bytes())["cells"]
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise StorageError(f"{path.name} cannot be read: {error}", where=str(path)) from error
    return cells


def stage_key(
    workspace: Workspace,
    stage: StageRequest,
    cells: Cells,
    outputs: Path,
    digest: Callable[[str], str],
    environment: Mapping[str, str],
) -> StageKey:
    """Return the key of a stage.

    Parameters
    ----------
    workspace : Workspace
        Workspace of the run.
    stage : StageRequest
        The stage; its inputs with a choice have the one chosen file.
    cells : sequence of mapping
        Cells of the copy that runs.
    outputs : Path
        Folder of its outputs.
    digest : callable
        Returns the digest of a file or folder, as `FileDigests.of` does.
    environment : mapping
        Environment variables of the stage.

    Raises
    ------
    NotCached
        An input has no version, or does not exist.
    """
    own = [(_source(cell), _tags(cell)) for cell in _code(cells, stage.injected)]
    normal = [(tags, text) for source, tags in own for text in normal_code([source], transform_cell)]
    ignored = stage.cache.ignore
    return StageKey(
        code=[digest_of("\0".join([*tags, text])) for tags, text in normal],
        params=_params(stage, cells),
        secrets=dict(stage.secrets),
        inputs={name: _version(workspace, stage, name, digest) for name in stage.inputs},
        outputs={name: (entry.type, os.path.relpath(entry.path, outputs)) for name, entry in stage.outputs.items()},
        environment={
            name: digest_of(environment[name]) if name in environment else ""
            for name in environment_names(source for source, _ in own)
            # A digest of a secret could be tried out.
            if name not in stage.secrets.values() and not name.startswith(_OF_RUNS) and not name_strength(name)
        },
        python="" if "python" in ignored else f"{sys.version_info.major}.{sys.version_info.minor}",
        kernel=stage.kernel,
    )


def _code(cells: Cells, injected: int) -> Iterator[Mapping[str, Any]]:
    for index, cell in enumerate(cells):
        if index != injected and cell.get("cell_type") == "code":
            yield cell


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _tags(cell: Mapping[str, Any]) -> list[str]:
    tags = cell.get("metadata", {}).get("tags", [])
    return [tag for tag in _TAGS if isinstance(tags, list) and tag in tags]


def _params(stage: StageRequest, cells: Cells) -> dict[str, str]:
    """The exact values of the parameters, as the code that is injected for them."""
    if stage.injected >= len(cells):
        return {}
    found = {}
    for statement in ast.parse(_source(cells[stage.injected])).body:
        if isinstance(statement, ast.Assign) and isinstance(target := statement.targets[0], ast.Name):
            found[target.id] = ast.unparse(statement.value)
    # Paths of inputs and outputs are injected, too.
    return {name: found[name] for name in stage.params if name in found}


def _version(workspace: Workspace, stage: StageRequest, name: str, digest: Callable[[str], str]) -> str:
    entry = stage.inputs[name]
    if entry.kind == "sql":
        if stage.cache.ttl is None:
            raise NotCached(
                f"input '{name}' is a query, whose rows may be others: set for how long a result holds with"
                " 'cache: {ttl: 1d}'"
            )
        return f"query:{digest_of(f'{entry.connection} {entry.source}')}"
    try:
        version = describe_input(workspace, entry, digest)
    except WorkbenchError as error:
        raise NotCached(f"input '{name}': {error.message}") from error
    if not version:
        if stage.cache.ttl is None:
            raise NotCached(
                f"the server of input '{name}' tells no version: set for how long a result holds with"
                " 'cache: {ttl: 1d}'"
            )
        version = f"url:{digest_of(entry.source)}"
    return " ".join([*_names(entry), version])


def _names(entry: InputRequest) -> list[str]:
    """What else code may depend on: readers go by the ending of a name."""
    if entry.kind == "stage":
        return sorted({Path(file).name for file in entry.files})
    return [entry.source] if entry.kind == "file" else []
